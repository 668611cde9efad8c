#include "passthrough/object_xattr.h"

#include "base/thread.h"
#include "passthrough/credentials.h"

namespace vfs::passthrough {

namespace {

// Whether this thread's current directory is /proc/self/fd. One flag for all shares of the process, because it is one
// directory for all.
thread_local bool in_directory = false;

Status enter(int directory) {
  if (in_directory) return Unit{};
  VFS_CHECK(sys::fchdir(directory));
  in_directory = true;
  return Unit{};
}

}  // namespace

ObjectXattr::Way ObjectXattr::best_way() {
  if (sys::has_xattrat()) return Way::kAt;
  return thread_prepared() ? Way::kOwnDirectory : Way::kHelper;
}

template <typename Call>
auto ObjectXattr::in_proc_directory(Call call) const -> decltype(call()) {
  if (way_ == Way::kOwnDirectory) {
    VFS_CHECK(enter(directory_));
    return call();
  }
  decltype(call()) result = Errno(EIO);
  // The thread inherits identity and capabilities as they are now.
  VFS_TRY(auto helper, Thread::start([&] {
            result = [&]() -> decltype(call()) {
              VFS_CHECK(sys::unshare_fs());
              VFS_CHECK(sys::fchdir(directory_));
              return call();
            }();
          }));
  helper.join();
  return result;
}

Result<std::size_t> ObjectXattr::get(const char* name, MutableByteSpan into) const {
  if (way_ == Way::kAt) return sys::getxattrat(directory_, name_.c_str(), name, into);
  return in_proc_directory([&] { return sys::getxattr(name_.c_str(), name, into); });
}

Status ObjectXattr::set(const char* name, ByteSpan value, int flags) const {
  if (way_ == Way::kAt) return sys::setxattrat(directory_, name_.c_str(), name, value, flags);
  return in_proc_directory([&] { return sys::setxattr(name_.c_str(), name, value, flags); });
}

Result<std::size_t> ObjectXattr::list(MutableByteSpan into) const {
  if (way_ == Way::kAt) return sys::listxattrat(directory_, name_.c_str(), into);
  return in_proc_directory([&] { return sys::listxattr(name_.c_str(), into); });
}

Status ObjectXattr::remove(const char* name) const {
  if (way_ == Way::kAt) return sys::removexattrat(directory_, name_.c_str(), name);
  return in_proc_directory([&] { return sys::removexattr(name_.c_str(), name); });
}

}  // namespace vfs::passthrough
