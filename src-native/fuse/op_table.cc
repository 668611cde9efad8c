#include "fuse/op_table.h"

#include <array>

#include "fuse/handlers.h"
#include "fuse/invoke.h"

namespace vfs::fuse {

namespace {

using abi::Opcode;
using FS = FileSystem;

// A row for a handler that is written by hand: see handlers.h for why.
constexpr OpRow special(Opcode opcode, const char* name, std::uint8_t since_minor, Handler handler,
                        std::uint16_t fixed_bytes, Wait wait = Wait::kNever) {
  return {.opcode = opcode,
          .name = name,
          .since_minor = since_minor,
          .wait = wait,
          .answer = Answer::kReply,
          .effect = Effect::kRead,
          .before_init = false,
          .has_bulk_data = false,
          .fixed_bytes = fixed_bytes,
          .body_bytes = kBodyBytes,
          .reply_bytes = 0,
          .handler = handler};
}

constexpr OpRow writes(OpRow row) {
  row.effect = Effect::kWrite;
  return row;
}

constexpr OpRow may_write(OpRow row) {
  row.effect = Effect::kDepends;
  return row;
}

// SETXATTR with a value of XATTR_SIZE_MAX; IOCTL with whatever a file's ioctl takes (a verity signature has 16 KiB).
constexpr OpRow long_body(OpRow row) {
  row.body_bytes = 68 * 1024;
  return row;
}

constexpr OpRow silent(OpRow row, bool bulk) {
  row.answer = Answer::kSilent;
  row.has_bulk_data = bulk;
  return row;
}

constexpr OpRow with_data(OpRow row, std::uint32_t reply_bytes) {
  row.has_bulk_data = true;
  row.reply_bytes = reply_bytes;
  return row;
}

constexpr OpRow first_of_all(OpRow row, std::uint32_t reply_bytes) {
  row.before_init = true;
  row.reply_bytes = reply_bytes;
  return row;
}

// By opcode. `since_minor` as in the changelog of <linux/fuse.h>; 0 for what was always there.
constexpr std::array kRows{
    special(Opcode::kLookup, "LOOKUP", 0, handle_lookup, 0),
    silent(special(Opcode::kForget, "FORGET", 0, handle_forget, sizeof(abi::ForgetIn)), false),
    op<&FS::getattr>(Opcode::kGetattr, "GETATTR", 0),
    writes(op<&FS::setattr>(Opcode::kSetattr, "SETATTR", 0)),
    special(Opcode::kReadlink, "READLINK", 0, handle_readlink, 0),
    writes(op<&FS::symlink>(Opcode::kSymlink, "SYMLINK", 0)),
    writes(op<&FS::mknod>(Opcode::kMknod, "MKNOD", 0)),
    writes(op<&FS::mkdir>(Opcode::kMkdir, "MKDIR", 0)),
    writes(op<&FS::unlink>(Opcode::kUnlink, "UNLINK", 0)),
    writes(op<&FS::rmdir>(Opcode::kRmdir, "RMDIR", 0)),
    writes(special(Opcode::kRename, "RENAME", 0, handle_rename, sizeof(abi::RenameIn))),
    writes(op<&FS::link>(Opcode::kLink, "LINK", 0)),
    may_write(op<&FS::open>(Opcode::kOpen, "OPEN", 0)),
    special(Opcode::kRead, "READ", 0, handle_read, sizeof(abi::ReadIn), Wait::kTryFirst),
    writes(with_data(special(Opcode::kWrite, "WRITE", 0, handle_write, sizeof(abi::WriteIn), Wait::kTryFirst),
                     sizeof(abi::WriteOut))),
    op<&FS::statfs>(Opcode::kStatfs, "STATFS", 0),
    op<&FS::release>(Opcode::kRelease, "RELEASE", 0),
    op<&FS::fsync>(Opcode::kFsync, "FSYNC", 0, Wait::kTryFirst),
    writes(long_body(special(Opcode::kSetxattr, "SETXATTR", 0, handle_setxattr, sizeof(abi::SetxattrInCompat)))),
    special(Opcode::kGetxattr, "GETXATTR", 0, handle_getxattr, sizeof(abi::GetxattrIn)),
    special(Opcode::kListxattr, "LISTXATTR", 0, handle_listxattr, sizeof(abi::GetxattrIn)),
    writes(op<&FS::removexattr>(Opcode::kRemovexattr, "REMOVEXATTR", 0)),
    op<&FS::flush>(Opcode::kFlush, "FLUSH", 0),
    first_of_all(special(Opcode::kInit, "INIT", 0, handle_init, sizeof(abi::InitIn)), sizeof(abi::InitOut)),
    op<&FS::opendir>(Opcode::kOpendir, "OPENDIR", 0),
    special(Opcode::kReaddir, "READDIR", 0, handle_readdir, sizeof(abi::ReadIn)),
    op<&FS::releasedir>(Opcode::kReleasedir, "RELEASEDIR", 0),
    op<&FS::fsyncdir>(Opcode::kFsyncdir, "FSYNCDIR", 0, Wait::kTryFirst),
    op<&FS::getlk>(Opcode::kGetlk, "GETLK", 0),
    op<&FS::setlk>(Opcode::kSetlk, "SETLK", 0),
    op<&FS::setlkw>(Opcode::kSetlkw, "SETLKW", 0, Wait::kPark),
    may_write(op<&FS::access>(Opcode::kAccess, "ACCESS", 0)),
    may_write(op<&FS::create>(Opcode::kCreate, "CREATE", 0)),
    silent(special(Opcode::kInterrupt, "INTERRUPT", 0, handle_interrupt, sizeof(abi::InterruptIn)), false),
    first_of_all(special(Opcode::kDestroy, "DESTROY", 0, handle_destroy, 0), 0),
    may_write(long_body(special(Opcode::kIoctl, "IOCTL", 11, handle_ioctl, sizeof(abi::IoctlIn), Wait::kMay))),
    silent(special(Opcode::kBatchForget, "BATCH_FORGET", 16, handle_batch_forget, sizeof(abi::BatchForgetIn)), true),
    writes(op<&FS::fallocate>(Opcode::kFallocate, "FALLOCATE", 19, Wait::kMay)),
    special(Opcode::kReaddirplus, "READDIRPLUS", 21, handle_readdirplus, sizeof(abi::ReadIn)),
    writes(op<&FS::rename>(Opcode::kRename2, "RENAME2", 23)),
    op<&FS::lseek>(Opcode::kLseek, "LSEEK", 24),
    writes(special(Opcode::kCopyFileRange, "COPY_FILE_RANGE", 28, handle_copy_file_range, sizeof(abi::CopyFileRangeIn),
                   Wait::kMay)),
    op<&FS::syncfs>(Opcode::kSyncfs, "SYNCFS", 34, Wait::kMay),
    writes(op<&FS::tmpfile>(Opcode::kTmpfile, "TMPFILE", 37)),
    op<&FS::statx>(Opcode::kStatx, "STATX", 39),
    writes(op<&FS::copy_file_range>(Opcode::kCopyFileRange64, "COPY_FILE_RANGE_64", 45, Wait::kMay)),
    may_write(op<&FS::open_atomic>(Opcode::kOpenAtomic, "OPEN_ATOMIC", 0)),
    writes(op<&FS::chromeos_tmpfile>(Opcode::kChromeosTmpfile, "CHROMEOS_TMPFILE", 0)),
};

constexpr std::uint8_t kNoRow = 255;

// slot of the opcode -> place in kRows
constexpr std::array<std::uint8_t, kOpSlots> index_rows() {
  std::array<std::uint8_t, kOpSlots> index{};
  for (auto& place : index) place = kNoRow;
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    index[slot_of_opcode(static_cast<std::uint32_t>(kRows[i].opcode))] = static_cast<std::uint8_t>(i);
  }
  return index;
}

constexpr auto kIndex = index_rows();

}  // namespace

const OpRow* find_op(std::uint32_t opcode) {
  const std::uint8_t place = kIndex[slot_of_opcode(opcode)];
  return place == kNoRow ? nullptr : &kRows[place];
}

std::span<const OpRow> op_rows() { return kRows; }

}  // namespace vfs::fuse
