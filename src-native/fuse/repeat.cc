#include "fuse/repeat.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include "fuse/abi_file.h"
#include "fuse/op_table.h"

namespace vfs::fuse {

namespace {

// Written at an offset it is the same bytes again; appended it would be there twice.
bool is_positioned(const Request& request) {
  Decoder decoder = request.decoder();
  const auto in = decoder.take<abi::WriteIn>();
  return in.ok() && (in.value().flags & O_APPEND) == 0;
}

// A value that is set is set; "only if it is not there" (XATTR_CREATE) and the like fail the second time.
bool is_unconditional(const Request& request) {
  Decoder decoder = request.decoder();
  const auto in = decoder.take<abi::SetxattrInCompat>();
  return in.ok() && in.value().flags == 0;
}

// Collapsing and inserting move what is behind.
bool stays_in_place(const Request& request) {
  constexpr std::uint32_t kMoves = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
  Decoder decoder = request.decoder();
  const auto in = decoder.take<abi::FallocateIn>();
  return in.ok() && (in.value().mode & kMoves) == 0;
}

}  // namespace

// No default: a new operation does not compile (-Wswitch) until somebody has thought about it.
bool repeatable(const Request& request) {
  using abi::Opcode;
  if (request.row() == nullptr) return true;  // it only gets an error
  switch (request.row()->opcode) {
    case Opcode::kLookup:  // one more in the lookup count, which keeps an inode longer than needed, but never shorter
    case Opcode::kGetattr:
    case Opcode::kSetattr:
    case Opcode::kReadlink:
    case Opcode::kOpen:  // O_TRUNC included; the first handle is left over until the session ends
    case Opcode::kRead:
    case Opcode::kStatfs:
    case Opcode::kFsync:
    case Opcode::kGetxattr:
    case Opcode::kListxattr:
    case Opcode::kFlush:
    case Opcode::kInit:
    case Opcode::kOpendir:
    case Opcode::kReaddir:
    case Opcode::kFsyncdir:
    case Opcode::kGetlk:
    case Opcode::kSetlk:  // the same owner gets the same lock again
    case Opcode::kSetlkw:
    case Opcode::kAccess:
    case Opcode::kInterrupt:
    case Opcode::kDestroy:
    case Opcode::kReaddirplus:
    case Opcode::kLseek:
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64:
    case Opcode::kSyncfs:
    case Opcode::kTmpfile:  // nobody can have found the first file
    case Opcode::kChromeosTmpfile:
    case Opcode::kStatx:
      return true;
    case Opcode::kWrite:
      return is_positioned(request);
    case Opcode::kSetxattr:
      return is_unconditional(request);
    case Opcode::kFallocate:
      return stays_in_place(request);
    case Opcode::kForget:  // would be counted down twice
    case Opcode::kBatchForget:
    case Opcode::kRelease:  // the handle's number may be another's by then
    case Opcode::kReleasedir:
    case Opcode::kSymlink:  // EEXIST for what the guest itself has made
    case Opcode::kMknod:
    case Opcode::kMkdir:
    case Opcode::kLink:
    case Opcode::kCreate:
    case Opcode::kOpenAtomic:
    case Opcode::kUnlink:  // ENOENT, or somebody else's new file is gone
    case Opcode::kRmdir:
    case Opcode::kRename:
    case Opcode::kRename2:
    case Opcode::kRemovexattr:
    case Opcode::kIoctl:  // whatever it does
      return false;
  }
  return false;
}

}  // namespace vfs::fuse
