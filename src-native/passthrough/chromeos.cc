// Operations of ChromeOS kernels, off unless the configuration asks for them.
#include <fcntl.h>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// How often OPEN_ATOMIC begins anew when the file that was in the way of creating is gone a moment later.
constexpr int kAttemptsMax = 3;

}  // namespace

Result<abi::CreateOut> PassthroughFs::open_atomic(const fuse::Call& call, const abi::CreateIn& in,
                                                  const fuse::Name& name, const fuse::Creation& creation) {
  if (!options_.open_atomic) return Errno(ENOSYS);
  VFS_TRY(const OpenFlags flags, open_flags(in.flags, call));
  const bool creates = (in.flags & O_CREAT) != 0;
  const bool exclusive = creates && (in.flags & O_EXCL) != 0;
  for (int attempt = 1;; ++attempt) {
    VFS_TRY(const Directory directory, directory_of(call.nodeid));
    VFS_TRY(const HostName called, host_name(directory, name));
    const auto found = find(call, directory.fd.get(), called.c_str());
    if (found.ok()) return open_found(call, in, flags, found.value(), exclusive);
    if (found.error() != Errno(ENOENT)) return found.error();
    if (!creates) {
      VFS_TRY(const auto nothing, missing_entry());
      return abi::CreateOut{nothing, {}};
    }
    if (options_.read_only) return Errno(EROFS);
    auto made = create_new(call, in, flags, name, creation);
    if (made.ok()) {
      abi::CreateOut out = made.value();
      out.open.open_flags |= abi::fopen::kFileCreated;
      return out;
    }
    if (exclusive || made.error() != Errno(EEXIST) || attempt == kAttemptsMax) return made;
  }
}

// The entry alone is the answer for what is not opened here: the guest goes on with it by its own rules.
Result<abi::CreateOut> PassthroughFs::open_found(const fuse::Call& call, const abi::CreateIn& in,
                                                 const OpenFlags& flags, const Found& found, bool exclusive) {
  abi::CreateOut out{};
  const auto open_it = [&]() -> Status {
    if (exclusive) return Errno(EEXIST);
    if (!found.inode->is_regular()) return Unit{};
    // The guest checks the caller's permission after the answer. That is too late for what truncating has done.
    if ((flags.host & O_TRUNC) != 0) VFS_CHECK(check_access(call, *found.inode, flags.access()));
    VFS_TRY(const HandleId handle, open_file(call, found.inode, flags, in.open_flags));
    out.open = file_opened(handle);
    return Unit{};
  };
  if (const Status opened = open_it(); !opened.ok()) {
    undo(found);
    return opened.error();
  }
  out.entry = entry_now(found);
  return out;
}

Result<abi::EntryOut> PassthroughFs::chromeos_tmpfile(const fuse::Call& call, const abi::ChromeosTmpfileIn& in,
                                                      const fuse::Creation& creation) {
  if (!options_.chromeos_tmpfile) return Errno(ENOSYS);
  const abi::CreateIn as_upstream{static_cast<std::uint32_t>(O_RDWR), in.mode, in.umask, 0};
  VFS_TRY(const auto made, tmpfile(call, as_upstream, fuse::IgnoredName{}, creation));
  // This one is not opened: the guest has the inode and opens it by OPEN.
  VFS_CHECK(files_.close(made.open.fh, made.entry.nodeid));
  return made.entry;
}

}  // namespace vfs::passthrough
