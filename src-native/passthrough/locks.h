// LockTable: the POSIX locks of a guest's processes, as locks of the host.
//
// A lock owner of the guest (a process, roughly: what FUSE calls lock_owner) gets, for each file that it locks, an open
// file description of the host, and its locks are locks of that description (F_OFD_SETLK). So the host's kernel does
// the work: owners exclude each other, processes of the host, and the guests of other devices; and a description that
// is closed leaves no lock behind. Descriptors of open files (FileHandle) would not do: an owner may lock through
// several of them, and several owners through one.
//
// Who waits for a lock is known too, because nobody else could tell that some wait for each other: the host's kernel
// looks for that among classic locks only, and a guest's process that waits for a device cannot be killed.
//
// The description lives as long as the owner holds something. close(2) in the guest ends it (FLUSH), as close(2) gives
// up POSIX locks.
//
// Locks: an owner's mutex is held while its description is used, which makes system calls, but none that waits for
// another's lock; inside it the table's mutex, for memory only.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fuse/abi.h"
#include "passthrough/fd_budget.h"
#include "passthrough/handle.h"
#include "passthrough/lock_ranges.h"
#include "passthrough/proc_fd.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

// EINVAL: what no fcntl(2) turns into a request.
Result<LockRange> to_lock_range(const abi::FileLock& lock);

class LockTable {
 public:
  // Ranges of all owners together: each costs the host's kernel some 200 bytes that nothing else accounts for.
  static constexpr std::size_t kRangesMax = 1U << 16;

  // `range` as a lock of `owner`, by a file that it has open; never waits. EAGAIN: somebody has a lock that conflicts.
  // EBADF: the file is not open for this. ENOLCK: no more ranges or descriptors. EIO: `session` is over.
  Status set(std::uint32_t session, std::uint64_t owner, const FileHandle& file, const LockRange& range,
             const FdBudget& budget, const ProcFd& proc);

  // A lock that keeps `owner` from having `range`; none: it could have it. The pid is 0 where the holder is no process
  // of this guest: fuse (convert_fuse_file_lock) and NFS report processes of other machines so.
  Result<std::optional<LockRange>> conflict(std::uint64_t owner, const FileHandle& file, const LockRange& range);

  // `owner` waits for `range` of a file until stops_waiting(). EDEADLK, and it does not wait: it would for ever,
  // because somebody who has a part of it waits, directly or by way of others, for `owner`. As in Linux
  // (posix_locks_deadlock) an owner whose threads wait for different locks may be told so wrongly, and the search has
  // an end.
  Status waits(std::uint64_t unique, std::uint64_t node, std::uint64_t owner, const LockRange& range);
  void stops_waiting(std::uint64_t unique);

  // All locks of an owner on a file. True: it had some.
  bool drop(std::uint64_t node, std::uint64_t owner);
  // All locks on a file.
  bool drop_node(std::uint64_t node);
  // All locks; from now on only this session makes new ones.
  void begin_session(std::uint32_t session);

  // Whether there are owners at all; for requests that have nothing to do if not.
  bool any() const { return owners_count_.load(std::memory_order_relaxed) > 0; }
  std::size_t owners() const { return owners_count_.load(std::memory_order_relaxed); }
  std::size_t ranges() const;

 private:
  struct Owner {
    std::mutex mutex;  // guards fd, token and access; see above
    UniqueFd fd;       // none before the first lock
    FdBudget::Token token;
    int access = 0;  // of fd: O_RDONLY, O_WRONLY, O_RDWR

    LockRanges ranges;  // written with this mutex and the table's held, read with either
    bool gone = false;  // guarded by the table's: not in the table any more, its locks are as good as given up
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // node, owner
  struct Wait {
    std::uint64_t node;
    std::uint64_t owner;
    LockRange range;
  };

  Result<std::shared_ptr<Owner>> find_or_make(std::uint32_t session, const Key& key);
  std::shared_ptr<Owner> find(const Key& key);
  // Holding the owner's mutex:
  static Status prepare(Owner& owner, const FileHandle& file, short type, const FdBudget& budget, const ProcFd& proc);
  Status take(Owner& owner, const LockRange& range);
  void drop_if_empty(const Key& key, Owner& owner);
  // Out of the table, its descriptor still open. Holding the table's mutex.
  std::shared_ptr<Owner> remove(std::map<Key, std::shared_ptr<Owner>>::iterator at);
  static void close(Owner& owner);
  // Holding the table's mutex: whoever has what keeps `wait` waiting and is not in the list yet is appended.
  void add_holders(const Wait& wait, std::vector<std::uint64_t>& owners) const;

  mutable std::mutex mutex_;  // guards all below; nothing else is taken while it is held
  std::uint32_t session_ = kNoSession;
  std::map<Key, std::shared_ptr<Owner>> owners_;
  std::size_t ranges_ = 0;
  std::map<std::uint64_t, Wait> waits_;  // by the number of the request
  std::atomic<std::size_t> waits_count_{0};
  std::atomic<std::size_t> owners_count_{0};
};

}  // namespace vfs::passthrough
