// Operations of ChromeOS kernels, off unless the configuration asks for them.
#include <fcntl.h>

#include <array>
#include <cstring>
#include <string>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// How often OPEN_ATOMIC begins anew when the file that was in the way of creating is gone a moment later.
constexpr int kAttemptsMax = 3;

// Texts of the two ioctls: with a NUL behind, if they are shorter.
using Text = std::array<char, 128>;
struct PermissionArgument {
  std::uint32_t guest_uid;
  std::uint32_t guest_gid;
  std::uint32_t host_uid;
  std::uint32_t host_gid;
  std::uint32_t umask;
  std::uint32_t padding;
  Text path;
};
static_assert(sizeof(PermissionArgument) == 152);
struct PathXattrArgument {
  Text path;
  Text name;
  Text value;
};
static_assert(sizeof(PathXattrArgument) == 384);

std::string to_string(const Text& text) { return {text.data(), ::strnlen(text.data(), text.size())}; }

// Both change what every process of the guest sees, so that they are root's.
template <typename Argument>
Result<Argument> take_argument(const fuse::Call& call, std::size_t allowed, ByteSpan data) {
  if (allowed == 0) return Errno(ENOTTY);
  if (call.uid != 0) return Errno(EPERM);
  if (data.size() != sizeof(Argument)) return Errno(EINVAL);
  return value_from<Argument>(data);
}

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
    const auto found = find(call, directory.fd.get(), {call.nodeid, called.c_str()});
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
    if (opens_silently(call)) {
      out.open = file_opened(kNoHandle);
    } else {
      VFS_TRY(out.open, open_file(call, found.inode, flags, in.open_flags));
    }
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
  if (!opens_silently(call)) VFS_CHECK(files_.close(made.open.fh, made.entry.nodeid));
  return made.entry;
}

// FS_IOC_SETPERMISSION: a rule as those of ugid_map.
Result<fuse::FileSystem::IoctlAnswer> PassthroughFs::register_permission(const fuse::Call& call, ByteSpan data) {
  VFS_TRY(const auto in, take_argument<PermissionArgument>(call, options_.identity.registered_rules_max, data));
  const PathOwner owner{GuestUid{in.guest_uid}, GuestGid{in.guest_gid}, HostUid{in.host_uid}, HostGid{in.host_gid},
                        mode_t{in.umask}};
  VFS_CHECK(identity_.add_rule({to_string(in.path), owner}));
  return IoctlAnswer{0, 0};
}

// FS_IOC_SETPATHXATTR: the attribute is there for everything below the path, and setting it does nothing.
Result<fuse::FileSystem::IoctlAnswer> PassthroughFs::register_xattr(const fuse::Call& call, ByteSpan data) {
  VFS_TRY(const auto in, take_argument<PathXattrArgument>(call, options_.registered_xattrs_max, data));
  VFS_CHECK(path_xattrs_.add(to_string(in.path), to_string(in.name), to_string(in.value)));
  return IoctlAnswer{0, 0};
}

}  // namespace vfs::passthrough
