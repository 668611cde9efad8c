// TMPFILE: a file without a name, open (O_TMPFILE). The guest may give it a name by LINK, unless it asked for O_EXCL.
#include <fcntl.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "passthrough/credentials.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// O_TMPFILE contains O_DIRECTORY, which means nothing by itself here.
constexpr auto kNamelessBit = static_cast<std::uint32_t>(O_TMPFILE & ~O_DIRECTORY);

}  // namespace

Result<abi::CreateOut> PassthroughFs::tmpfile(const fuse::Call& call, const abi::CreateIn& in, const fuse::IgnoredName&,
                                              const fuse::Creation&) {
  VFS_TRY(const OpenFlags flags, open_flags(in.flags & ~kNamelessBit, call));
  VFS_TRY(const auto parent, inodes_.get(call.nodeid));
  VFS_TRY(const auto directory, parent->path_fd());
  VFS_TRY(auto inode_token, budget_.take());
  VFS_TRY(auto handle_token, budget_.take());
  const mode_t permissions = in.mode & 07777;
  Created created{directory.get(), S_IFREG | permissions, 0};
  UniqueFd fd;
  {
    // With O_EXCL the kernel refuses a later link(2); the guest's refuses it too, but need not be believed.
    ScopedCredentials credentials;
    VFS_CHECK(credentials.become_creator(call.uid, call.gid));
    const int exclusive = static_cast<int>(in.flags) & O_EXCL;
    VFS_TRY(fd, sys::openat(directory.get(), ".", flags.host | O_TMPFILE | exclusive, permissions));
    if (!thread_prepared()) created.owner = sys::user_ids().effective;
  }
  return hand_out(call, std::move(fd), flags, created, std::move(inode_token), std::move(handle_token));
}

}  // namespace vfs::passthrough
