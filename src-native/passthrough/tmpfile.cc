// TMPFILE: a file without a name, open (O_TMPFILE). The guest may give it a name by LINK, unless it asked for O_EXCL.
#include <fcntl.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "passthrough/creation_scope.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// O_TMPFILE contains O_DIRECTORY, which means nothing by itself here.
constexpr auto kNamelessBit = static_cast<std::uint32_t>(O_TMPFILE & ~O_DIRECTORY);

// What Linux's overlayfs makes to find out whether its upper file system has files without names (fs/overlayfs/super.c,
// ovl_check_tmpfile). It must hear that there are none: until "ovl: fold copy-up helpers into callers" is repaired, it
// keeps what it copies up by the dentry that has no name, which FUSE cannot look up again, and every file that was
// copied up is ESTALE as soon as its entry's timeout is over. Without, it copies to a name and renames. Nobody else can
// want a file that may not be opened again, by anybody, and only be written.
bool is_probe_of_overlayfs(const abi::CreateIn& in) {
  return (in.flags & O_ACCMODE) == O_WRONLY && (in.mode & mode_t{07777}) == 0;
}

}  // namespace

Result<abi::CreateOut> PassthroughFs::tmpfile(const fuse::Call& call, const abi::CreateIn& in, const fuse::IgnoredName&,
                                              const fuse::Creation& creation) {
  if (is_probe_of_overlayfs(in)) return Errno(EOPNOTSUPP);
  VFS_TRY(const OpenFlags flags, open_flags(in.flags & ~kNamelessBit, call));
  VFS_TRY(const auto parent, inodes_.get(call.nodeid));
  VFS_TRY(const auto directory, parent->path_fd());
  VFS_TRY(auto inode_token, budget_.take());
  VFS_TRY(auto handle_token, budget_.take());
  const mode_t mask = umask_of(call, in.umask);
  Created created{directory.get(), nullptr, S_IFREG | (in.mode & mode_t{07777}), &creation};
  VFS_TRY(created.mode, prepare_mode(created, mask));
  UniqueFd fd;
  {
    // With O_EXCL the kernel refuses a later link(2); the guest's refuses it too, but need not be believed.
    CreationScope scope;
    VFS_CHECK(enter(scope, call, created.directory, creation, mask));
    const int exclusive = static_cast<int>(in.flags) & O_EXCL;
    VFS_TRY(fd, sys::openat(directory.get(), ".", flags.host | O_TMPFILE | exclusive, created.mode & mode_t{07777}));
    if (!thread_prepared()) created.owner = sys::user_ids().effective;
  }
  return hand_out(call, std::move(fd), flags, created, std::move(inode_token), std::move(handle_token));
}

}  // namespace vfs::passthrough
