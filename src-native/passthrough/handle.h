// What OPEN, CREATE and OPENDIR give out: a file or a directory that is open on the host. A handle is good only
// together with the node that it was opened on.
#pragma once

#include <fcntl.h>
#include <sys/file.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "base/unique_fd.h"
#include "passthrough/dir_stream.h"
#include "passthrough/fd_budget.h"
#include "passthrough/inode.h"
#include "passthrough/open_flags.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

// What is known of reads that must not wait (RWF_NOWAIT) on a file's file system.
enum class NowaitReads {
  kTry,      // supported, or not tried yet
  kInline,   // not supported, but reading never waits for a disk: the file is in memory
  kPostpone  // not supported: reads go where waiting is allowed
};

class FileHandle {
 public:
  FileHandle(std::shared_ptr<Inode> inode, UniqueFd fd, const OpenFlags& flags, FdBudget::Token token)
      : inode_(std::move(inode)), fd_(std::move(fd)), flags_(flags), token_(std::move(token)) {}

  const Inode& inode() const { return *inode_; }
  int fd() const { return fd_.get(); }
  // Writes of the guest's processes go to the end of the file.
  bool appends() const { return flags_.appends; }
  // O_RDONLY, O_WRONLY or O_RDWR.
  int access() const { return flags_.host & O_ACCMODE; }
  // Each write waits for the disk.
  bool synchronous() const { return flags_.synchronous(); }

  std::atomic<NowaitReads> nowait_reads{NowaitReads::kTry};
  // The flock(2) lock of the descriptor, as far as we know: LOCK_SH, LOCK_EX or LOCK_UN. Two requests at once on one
  // handle may leave the wrong word here; then somebody who waits hears a little later that the lock is free.
  std::atomic<int> flock{LOCK_UN};

 private:
  const std::shared_ptr<Inode> inode_;
  const UniqueFd fd_;
  const OpenFlags flags_;
  const FdBudget::Token token_;
};

class DirHandle {
 public:
  DirHandle(std::shared_ptr<Inode> inode, UniqueFd fd, FdBudget::Token token)
      : stream(std::move(fd)), inode_(std::move(inode)), token_(std::move(token)) {}

  const Inode& inode() const { return *inode_; }

  // Two READDIRs of one handle take turns. Held over lookups (shards of the inode table), never the other way round.
  std::mutex mutex;
  DirStream stream;  // guarded by mutex

 private:
  const std::shared_ptr<Inode> inode_;
  const FdBudget::Token token_;
};

// Files and directories have a table each, so that neither can be taken for the other.
template <typename H>
class HandleTable {
 public:
  explicit HandleTable(std::size_t capacity) : slots_(capacity) {}

  // EIO: `session` is over. ENFILE: full.
  template <typename... Arguments>
  Result<std::uint64_t> open(std::uint32_t session, Arguments&&... arguments) {
    VFS_TRY(auto inserted, slots_.emplace(session, [&](std::uint64_t) {
      return std::make_shared<H>(std::forward<Arguments>(arguments)...);
    }));
    return inserted.id;
  }

  // EBADF: no such handle, or it is not of this node.
  Result<std::shared_ptr<H>> get(std::uint64_t id, std::uint64_t node) const {
    auto handle = slots_.get(id);
    if (handle == nullptr || handle->inode().id() != node) return Errno(EBADF);
    return handle;
  }

  // The same, and the number is good no more.
  Status close(std::uint64_t id, std::uint64_t node) {
    VFS_CHECK(get(id, node));
    return slots_.remove(id) != nullptr ? ok_status() : Status(Errno(EBADF));
  }

  void begin_session(std::uint32_t session) {
    slots_.begin_session(session);
    slots_.clear();
  }

  std::size_t size() const { return slots_.size(); }

 private:
  SlotTable<H> slots_;
};

}  // namespace vfs::passthrough
