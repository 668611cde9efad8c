#include "passthrough/open_flags.h"

#include <fcntl.h>
#include <unistd.h>

namespace vfs::passthrough {

namespace {

// Flags that mean the same for guest and host and have an effect on regular files. A list of what passes, because the
// others are not ours to take over (O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY decide what is opened, and that is decided
// here) or differ between architectures (O_LARGEFILE).
constexpr int kPassed = O_ACCMODE | O_SYNC | O_NONBLOCK;

constexpr int kNoWayToOpen = O_PATH | (O_TMPFILE & ~O_DIRECTORY);

}  // namespace

// O_SYNC contains the bit of O_DSYNC.
bool OpenFlags::synchronous() const { return (host & O_DSYNC) != 0; }

int OpenFlags::access() const {
  const int mode = host & O_ACCMODE;
  return (mode == O_WRONLY ? 0 : R_OK) | (mode == O_RDONLY && (host & O_TRUNC) == 0 ? 0 : W_OK);
}

Result<OpenFlags> to_open_flags(std::uint32_t guest, const fuse::Negotiated& negotiated, const OpenPolicy& policy) {
  const int wanted = static_cast<int>(guest);
  if ((wanted & O_ACCMODE) == O_ACCMODE || (wanted & kNoWayToOpen) != 0) return Errno(EINVAL);
  int host = wanted & kPassed;
  // With O_DIRECT, which bypasses the guest's cache in any case, the host's cache is bypassed too, and the guest's
  // buffers, sizes and offsets must be aligned as the host's disk wants them. A guest of another architecture has
  // another number for it, and asks in vain.
  if (policy.direct_io) host |= wanted & O_DIRECT;
  // Needs to own the file or a privilege; a guest's process that has it in the guest may not have it here.
  if (policy.noatime) host |= wanted & O_NOATIME;
  const bool changes = (wanted & O_ACCMODE) != O_RDONLY || (wanted & O_TRUNC) != 0;
  // Without ATOMIC_O_TRUNC the guest truncates by SETATTR; doing it here too would be a second time.
  if (negotiated.has(abi::init_flag::kAtomicOTrunc)) host |= wanted & O_TRUNC;
  const bool writeback = negotiated.has(abi::init_flag::kWritebackCache);
  // A guest with a writeback cache fills partial pages by reading, also for a process that opened write-only.
  if (writeback && (host & O_ACCMODE) == O_WRONLY) host = (host & ~O_ACCMODE) | O_RDWR;
  // O_APPEND is not on the descriptor (but of append-only files): pwritev(2) would ignore its offset, and writes from a
  // page cache have the right one. `appends` says which handles' writes go to the end. With a writeback cache the guest
  // alone knows where the end is.
  const bool to_append = (wanted & O_APPEND) != 0;
  return OpenFlags{host, to_append && !writeback, changes, to_append};
}

}  // namespace vfs::passthrough
