// What OPEN, CREATE and OPENDIR give out: a file or a directory that is open on the host. A handle is good only
// together with the node that it was opened on.
#pragma once

#include <fcntl.h>
#include <sys/file.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/unique_fd.h"
#include "passthrough/dir_stream.h"
#include "passthrough/fd_budget.h"
#include "passthrough/inode.h"
#include "passthrough/open_flags.h"
#include "passthrough/session_records.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

// What is known of reads that must not wait (RWF_NOWAIT) on a file's file system.
enum class NowaitReads {
  kTry,      // supported, or not tried yet
  kInline,   // not supported, but reading never waits for a disk: the file is in memory
  kPostpone  // not supported: reads go where waiting is allowed
};

// The same by file system, so that not each file has to find out by itself: one file system of either kind without
// RWF_NOWAIT is remembered, which are all that most shares have. A device number may mean another file system after an
// unmount; then reads of new handles wait in the wrong place, and nothing else happens.
class NowaitReadsSeen {
 public:
  NowaitReads of(std::uint64_t device) const {
    if (inline_.load(std::memory_order_relaxed) == device) return NowaitReads::kInline;
    return postpone_.load(std::memory_order_relaxed) == device ? NowaitReads::kPostpone : NowaitReads::kTry;
  }
  void note(std::uint64_t device, NowaitReads found) {
    if (found == NowaitReads::kInline) inline_.store(device, std::memory_order_relaxed);
    if (found == NowaitReads::kPostpone) postpone_.store(device, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  std::atomic<std::uint64_t> inline_{kNone};
  std::atomic<std::uint64_t> postpone_{kNone};
};

class FileHandle {
 public:
  FileHandle(std::shared_ptr<Inode> inode, UniqueFd fd, const OpenFlags& flags, FdBudget::Token token)
      : inode_(std::move(inode)), fd_(std::move(fd)), flags_(flags), token_(std::move(token)) {}

  const Inode& inode() const { return *inode_; }
  int fd() const { return fd_.get(); }
  // Of a process before this one, and could not be opened again.
  bool lost() const { return !fd_.valid(); }
  // What opens it again: it has been truncated.
  HandleRecord record() const {
    return {inode_->id(), static_cast<std::uint32_t>(flags_.host & ~O_TRUNC), flags_.appends ? 1U : 0U,
            flags_.changes ? 1U : 0U, static_cast<std::uint32_t>(flock.load(std::memory_order_relaxed))};
  }
  const OpenFlags& flags() const { return flags_; }
  // Writes of the guest's processes go to the end of the file.
  bool appends() const { return flags_.appends; }
  // The descriptor itself does nothing else: the file was append-only when it was opened.
  bool only_appends() const { return (flags_.host & O_APPEND) != 0; }
  // O_RDONLY, O_WRONLY or O_RDWR.
  int access() const { return flags_.host & O_ACCMODE; }

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
  DirHandle(std::shared_ptr<Inode> inode, UniqueFd fd, std::shared_ptr<DirBuffers> buffers, FdBudget::Token token)
      : stream(std::move(fd), std::move(buffers)), inode_(std::move(inode)), token_(std::move(token)) {}

  const Inode& inode() const { return *inode_; }
  bool lost() const { return stream.fd() < 0; }
  HandleRecord record() const { return {inode_->id(), 0, 0, 0, LOCK_UN}; }

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

  // Handles are recorded from now on; before the first.
  void record_in(HandleRecords* records) { records_ = records; }

  // EIO: `session` is over. ENFILE: full.
  template <typename... Arguments>
  Result<std::uint64_t> open(std::uint32_t session, Arguments&&... arguments) {
    VFS_TRY(auto inserted, slots_.emplace(session, [&](std::uint64_t) {
      return std::make_shared<H>(std::forward<Arguments>(arguments)...);
    }));
    return recorded(inserted);
  }

  // The same with one that is there.
  Result<std::uint64_t> keep(std::uint32_t session, std::shared_ptr<H> handle) {
    VFS_TRY(auto inserted, slots_.emplace(session, [&](std::uint64_t) { return std::move(handle); }));
    return recorded(inserted);
  }

  // EBADF: no such handle, or it is not of this node. ESTALE: it is lost.
  Result<std::shared_ptr<H>> get(std::uint64_t id, std::uint64_t node) const {
    auto handle = slots_.get(id);
    if (handle == nullptr || handle->inode().id() != node) return Errno(EBADF);
    if (handle->lost()) return Errno(ESTALE);
    return handle;
  }

  // The same, and the number is good no more; also of one that is lost.
  Status close(std::uint64_t id, std::uint64_t node) {
    const auto handle = slots_.get(id);
    if (handle == nullptr || handle->inode().id() != node) return Errno(EBADF);
    forget_record(id);
    return slots_.remove(id) != nullptr ? ok_status() : Status(Errno(EBADF));
  }

  // The handle's lock is another one now.
  void record_flock(std::uint64_t id, int operation) {
    // Closed meanwhile: the lock is gone, too.
    if (records_ == nullptr || !records_->is(id, Slots::slot_of(id))) return;
    std::uint32_t& place = records_->content(Slots::slot_of(id)).flock;
    std::atomic_ref(place).store(static_cast<std::uint32_t>(operation), std::memory_order_relaxed);
  }

  void begin_session(std::uint32_t session) {
    slots_.begin_session(session);
    slots_.clear([this](std::uint64_t id) { forget_record(id); });
  }

  // See SlotTable.
  template <typename At>
  void restore(std::uint32_t count, At at) {
    slots_.restore(count, at);
  }

  std::size_t size() const { return slots_.size(); }
  std::size_t slots() const { return slots_.slots(); }

 private:
  using Slots = SlotTable<H>;

  Result<std::uint64_t> recorded(const typename Slots::Inserted& inserted) {
    if (records_ == nullptr) return inserted.id;
    if (records_->add(inserted.id, Slots::slot_of(inserted.id), inserted.value->record())) return inserted.id;
    slots_.remove(inserted.id);
    return Errno(ENFILE);
  }

  void forget_record(std::uint64_t id) {
    if (records_ != nullptr) records_->remove(id, Slots::slot_of(id), Slots::next_of(id));
  }

  Slots slots_;
  HandleRecords* records_ = nullptr;
};

}  // namespace vfs::passthrough
