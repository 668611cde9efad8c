#include "passthrough/locks.h"

#include <fcntl.h>

#include <algorithm>

#include "base/sys.h"

namespace vfs::passthrough {

namespace {

// struct flock's length: 0 is "to the end of the file, however long it becomes".
std::int64_t length_of(const LockRange& range) { return range.end == INT64_MAX ? 0 : range.end - range.start + 1; }

bool may_read(int access) { return access == O_RDONLY || access == O_RDWR; }
bool may_write(int access) { return access == O_WRONLY || access == O_RDWR; }

bool allows(int access, short type) {
  return type == F_UNLCK || (type == F_RDLCK ? may_read(access) : may_write(access));
}

// What fcntl(2) says where there is no room for a lock.
Errno as_lock_error(Errno error) {
  return error == Errno(ENFILE) || error == Errno(EMFILE) || error == Errno(ENOMEM) ? Errno(ENOLCK) : error;
}

// O_NONBLOCK: a lease of another process is no reason to wait. (There is none: the file is open already.)
Result<UniqueFd> open_again(const FileHandle& file, int access, const ProcFd& proc) {
  return proc.reopen(file.fd(), access | O_NONBLOCK);
}

// Owners that a search for a deadlock looks at.
constexpr std::size_t kDeadlockOwnersMax = 64;

}  // namespace

Result<LockRange> to_lock_range(const abi::FileLock& lock) {
  constexpr std::uint64_t kEnd = INT64_MAX;
  if (lock.start > kEnd || lock.end > kEnd || lock.start > lock.end) return Errno(EINVAL);
  if (lock.type != F_RDLCK && lock.type != F_WRLCK && lock.type != F_UNLCK) return Errno(EINVAL);
  return LockRange{static_cast<std::int64_t>(lock.start), static_cast<std::int64_t>(lock.end),
                   static_cast<short>(lock.type), lock.pid};
}

Result<std::shared_ptr<LockTable::Owner>> LockTable::find_or_make(std::uint32_t session, const Key& key) {
  const std::lock_guard lock(mutex_);
  if (session != session_ || session == kNoSession) return Errno(EIO);
  auto& place = owners_[key];
  if (place == nullptr) {
    place = std::make_shared<Owner>();
    owners_count_.store(owners_.size(), std::memory_order_relaxed);
  }
  return place;
}

std::shared_ptr<LockTable::Owner> LockTable::find(const Key& key) {
  const std::lock_guard lock(mutex_);
  const auto found = owners_.find(key);
  return found == owners_.end() ? nullptr : found->second;
}

std::shared_ptr<LockTable::Owner> LockTable::remove(std::map<Key, std::shared_ptr<Owner>>::iterator at) {
  std::shared_ptr<Owner> owner = std::move(at->second);
  owner->gone = true;
  ranges_ -= owner->ranges.size();
  owners_.erase(at);
  owners_count_.store(owners_.size(), std::memory_order_relaxed);
  return owner;
}

void LockTable::close(Owner& owner) {
  // A request that uses the description just now finishes first; what it locks is given up here.
  const std::lock_guard lock(owner.mutex);
  owner.fd = UniqueFd();
  owner.token = FdBudget::Token();
}

// Makes the owner's description one that a lock of this type can be taken on.
Status LockTable::prepare(Owner& owner, const FileHandle& file, short type, const FdBudget& budget,
                          const ProcFd& proc) {
  if (owner.fd.valid() && allows(owner.access, type)) return Unit{};
  // What it holds may be write locks, which no second description can have beside it.
  if (owner.fd.valid() && owner.access == O_WRONLY) return Errno(ENOLCK);
  // What the file is open for is what the host allows us for sure. But a description that can write gets both, because
  // one owner may come with another file that reads.
  int access = may_write(file.access()) || owner.fd.valid() ? O_RDWR : O_RDONLY;
  auto fd = open_again(file, access, proc);
  if (!fd.ok() && fd.error() == Errno(EACCES) && !owner.fd.valid()) {
    access = file.access();
    fd = open_again(file, access, proc);
  }
  if (!fd.ok()) return fd.error();
  if (owner.fd.valid()) {
    // From a description that reads to one that does both: what it holds are read locks, which the new one can have
    // beside it. So there is no moment in which another could come between.
    for (const auto& [start, range] : owner.ranges) {
      VFS_CHECK(sys::ofd_setlk(fd.value().get(), range.type, range.start, length_of(range)));
    }
  } else {
    VFS_TRY(owner.token, budget.take());
  }
  owner.fd = std::move(fd).value();
  owner.access = access;
  return Unit{};
}

Status LockTable::take(Owner& owner, const LockRange& range) {
  {
    const std::lock_guard lock(mutex_);
    if (ranges_ + owner.ranges.growth_max(range) > kRangesMax) return Errno(ENOLCK);
  }
  VFS_CHECK(sys::ofd_setlk(owner.fd.get(), range.type, range.start, length_of(range)));
  const std::lock_guard lock(mutex_);
  // Closed meanwhile: the guest raced a lock with close(2), and Linux gives such a lock up too.
  if (owner.gone) return Unit{};
  const std::size_t before = owner.ranges.size();
  owner.ranges.set(range);
  ranges_ += owner.ranges.size();
  ranges_ -= before;
  return Unit{};
}

void LockTable::drop_if_empty(const Key& key, Owner& owner) {
  const std::lock_guard lock(mutex_);
  if (owner.gone || !owner.ranges.empty()) return;
  const auto found = owners_.find(key);
  VFS_ASSERT(found != owners_.end() && found->second.get() == &owner);
  static_cast<void>(remove(found));  // the caller has a reference
  owner.fd = UniqueFd();
  owner.token = FdBudget::Token();
}

Status LockTable::set(std::uint32_t session, std::uint64_t owner_id, const FileHandle& file, const LockRange& range,
                      const FdBudget& budget, const ProcFd& proc) {
  if (!allows(file.access(), range.type)) return Errno(EBADF);
  const Key key{file.inode().id(), owner_id};
  for (;;) {
    std::shared_ptr<Owner> owner;
    if (range.type == F_UNLCK) {
      owner = find(key);
      if (owner == nullptr) return Unit{};
    } else {
      VFS_TRY(owner, find_or_make(session, key));
    }
    const std::lock_guard lock(owner->mutex);
    {
      const std::lock_guard table(mutex_);
      if (owner->gone) continue;  // dropped since we found it
    }
    Status done = Unit{};
    if (range.type != F_UNLCK || owner->fd.valid()) {
      done = prepare(*owner, file, range.type, budget, proc);
      if (done.ok()) done = take(*owner, range);
    }
    drop_if_empty(key, *owner);
    return done.ok() ? done : Status(as_lock_error(done.error()));
  }
}

Result<std::optional<LockRange>> LockTable::conflict(std::uint64_t owner_id, const FileHandle& file,
                                                     const LockRange& range) {
  const std::uint64_t node = file.inode().id();
  struct flock found{};
  if (const auto owner = find({node, owner_id}); owner != nullptr) {
    const std::lock_guard lock(owner->mutex);
    VFS_TRY(found,
            sys::ofd_getlk(owner->fd.valid() ? owner->fd.get() : file.fd(), range.type, range.start, length_of(range)));
  } else {
    // The file's own description never has such a lock, so all that there are would be in its way.
    VFS_TRY(found, sys::ofd_getlk(file.fd(), range.type, range.start, length_of(range)));
  }
  if (found.l_type == F_UNLCK) return std::optional<LockRange>();
  LockRange holder{found.l_start, found.l_len == 0 ? INT64_MAX : found.l_start + found.l_len - 1, found.l_type, 0};
  // A process of the host has a number, which means nothing in the guest; what has none may be one of ours.
  if (found.l_pid > 0) return std::optional(holder);
  const std::lock_guard lock(mutex_);
  for (auto it = owners_.lower_bound({node, 0}); it != owners_.end() && it->first.first == node; ++it) {
    if (it->first.second == owner_id) continue;
    // The very lock: others may share a part of it.
    const LockRange* held = it->second->ranges.overlapping(holder.start, holder.start, holder.type);
    if (held == nullptr || held->start != holder.start || held->end != holder.end) continue;
    holder.pid = held->pid;
    break;
  }
  return std::optional(holder);
}

void LockTable::add_holders(const Wait& wait, std::vector<std::uint64_t>& owners) const {
  const auto& [start, end, type, pid] = wait.range;
  for (auto it = owners_.lower_bound({wait.node, 0}); it != owners_.end() && it->first.first == wait.node; ++it) {
    const std::uint64_t holder = it->first.second;
    const LockRanges& held = it->second->ranges;
    if (holder == wait.owner || std::find(owners.begin(), owners.end(), holder) != owners.end()) continue;
    const bool writes = held.overlapping(start, end, F_WRLCK) != nullptr;
    if (writes || (type == F_WRLCK && held.overlapping(start, end, F_RDLCK) != nullptr)) owners.push_back(holder);
    if (owners.size() == kDeadlockOwnersMax) return;
  }
}

Status LockTable::waits(std::uint64_t unique, std::uint64_t node, std::uint64_t owner, const LockRange& range) {
  const std::lock_guard lock(mutex_);
  const Wait wait{node, owner, range};
  if (!waits_.try_emplace(unique, wait).second) return Unit{};
  waits_count_.store(waits_.size(), std::memory_order_relaxed);
  // Who has what it waits for, what they wait for, and so on. The list grows meanwhile.
  std::vector<std::uint64_t> holders;
  add_holders(wait, holders);
  for (std::size_t i = 0; i < holders.size(); i++) {
    for (const auto& [other_unique, other] : waits_) {
      if (other.owner != holders[i]) continue;
      add_holders(other, holders);
      if (std::find(holders.begin(), holders.end(), owner) == holders.end()) continue;
      waits_.erase(unique);
      waits_count_.store(waits_.size(), std::memory_order_relaxed);
      return Errno(EDEADLK);
    }
  }
  return Unit{};
}

void LockTable::stops_waiting(std::uint64_t unique) {
  if (waits_count_.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(mutex_);
  waits_.erase(unique);
  waits_count_.store(waits_.size(), std::memory_order_relaxed);
}

bool LockTable::drop(std::uint64_t node, std::uint64_t owner_id) {
  std::shared_ptr<Owner> owner;
  {
    const std::lock_guard lock(mutex_);
    const auto found = owners_.find({node, owner_id});
    if (found == owners_.end()) return false;
    owner = remove(found);
  }
  close(*owner);
  return true;
}

bool LockTable::drop_node(std::uint64_t node) {
  bool dropped = false;
  for (;;) {
    std::shared_ptr<Owner> owner;
    {
      const std::lock_guard lock(mutex_);
      const auto found = owners_.lower_bound({node, 0});
      if (found == owners_.end() || found->first.first != node) return dropped;
      owner = remove(found);
    }
    close(*owner);
    dropped = true;
  }
}

void LockTable::begin_session(std::uint32_t session) {
  std::map<Key, std::shared_ptr<Owner>> dropped;
  {
    const std::lock_guard lock(mutex_);
    session_ = session;
    for (auto& [key, owner] : owners_) owner->gone = true;
    ranges_ = 0;
    waits_.clear();
    waits_count_.store(0, std::memory_order_relaxed);
    dropped.swap(owners_);
    owners_count_.store(0, std::memory_order_relaxed);
  }
  for (auto& [key, owner] : dropped) close(*owner);
}

std::size_t LockTable::ranges() const {
  const std::lock_guard lock(mutex_);
  return ranges_;
}

}  // namespace vfs::passthrough
