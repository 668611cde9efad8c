#include "sandbox/root.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "base/sys_sandbox.h"

namespace vfs::sandbox {

namespace {

constexpr unsigned long kEmptyFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

// Of nothing but empty directories.
constexpr const char* kEmptyOptions = "size=1m,mode=0755";

// A kernel that cannot make the mounts stricter leaves what holds without that: the device opens regular files and
// directories alone.
Status make_strict(const char* path) {
  const auto done = sys::restrict_mounts_below(path);
  return !done.ok() && done.error() == Errno(ENOSYS) ? ok_status() : done;
}

}  // namespace

NewRoot::NewRoot(std::vector<std::string> shares) : shares_(std::move(shares)) {
  // Nothing can be mounted over the root by its name.
  const auto place = std::find_if(shares_.begin(), shares_.end(), [](const auto& share) { return share != "/"; });
  if (place != shares_.end()) place_ = *place;
  if (!changes() || shares_.size() == 1) {
    targets_ = shares_;
    return;
  }
  for (std::size_t i = 0; i < shares_.size(); ++i) targets_.push_back(place_ + "/" + std::to_string(i));
}

Status NewRoot::assemble() const {
  VFS_CHECK(sys::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr));
  if (!changes()) return Unit{};
  VFS_CHECK(shares_.size() == 1 ? bind_one() : bind_all());
  return make_strict(place_.c_str());
}

Status NewRoot::bind_one() const {
  return sys::mount(place_.c_str(), place_.c_str(), nullptr, MS_BIND | MS_REC, nullptr);
}

Status NewRoot::bind_all() const {
  // All of them before the place is covered: one that is below it is not found by its name any more then.
  if (shares_.size() > kSharesMax) return Errno(E2BIG);
  std::array<UniqueFd, kSharesMax> mounts;
  for (std::size_t i = 0; i < shares_.size(); ++i) {
    VFS_TRY(mounts[i], sys::clone_mounts(shares_[i].c_str()));
  }
  VFS_CHECK(sys::mount("virtio-fs", place_.c_str(), "tmpfs", kEmptyFlags, kEmptyOptions));
  for (std::size_t i = 0; i < shares_.size(); ++i) {
    VFS_CHECK(sys::mkdirat(AT_FDCWD, targets_[i].c_str(), 0755));
    VFS_CHECK(sys::attach_mounts(mounts[i].get(), targets_[i].c_str()));
  }
  return sys::mount(nullptr, place_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kEmptyFlags, nullptr);
}

Status NewRoot::change() const {
  VFS_CHECK(sys::change_directory(place_.c_str()));
  // The old root comes to lie over the new one (pivot_root(2)), and goes.
  VFS_CHECK(sys::pivot_root(".", "."));
  VFS_CHECK(sys::unmount_lazily("."));
  return sys::change_directory("/");
}

}  // namespace vfs::sandbox
