#include "device/throttle.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/sys.h"
#include "device/intercept_plan.h"

namespace vfs::device {

namespace {

using abi::Opcode;

bool moves_bytes(const fuse::OpRow& row) {
  switch (row.opcode) {
    case Opcode::kRead:
    case Opcode::kWrite:
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64:
      return true;
    default:
      return false;
  }
}

// How many a request is going to move. What a copy has moved is charged afterwards: it asks for more than there is.
std::uint64_t bytes_of(const fuse::Request& request) {
  if (request.row()->opcode == Opcode::kWrite) return request.data_bytes();
  if (request.row()->opcode != Opcode::kRead) return 0;
  const auto in = request.decoder().take<abi::ReadIn>();
  // No more than there is room for.
  return in.ok() ? std::min(in.value().size, request.room_bytes()) : 0;
}

std::uint64_t operations_of(const policy::PaceValues& pace) {
  std::uint64_t operations = 0;
  for (const fuse::OpRow& row : fuse::op_rows()) {
    const bool counts = pace.operations_per_second != 0 && interceptable(row);
    if (counts || (pace.bytes_per_second != 0 && moves_bytes(row))) {
      operations |= std::uint64_t{1} << fuse::op_slot(&row);
    }
  }
  return operations;
}

}  // namespace

Throttle::Throttle(fuse::Server& server, policy::Pace& pace, Setup setup)
    : server_(server), pace_(pace), setup_(std::move(setup)) {
  pace_changed();
}

Throttle::~Throttle() { close(); }

void Throttle::pace_changed() {
  const std::uint64_t operations = operations_of(pace_.values());
  const std::lock_guard lock(mutex_);
  operations_.store(operations, std::memory_order_relaxed);
  Entries waiting = std::exchange(entries_, {});
  // In their order.
  for (auto& [begin, entry] : waiting) entries_.emplace(Clock::time_point(), entry);
  wake_.notify_one();
}

bool Throttle::hold(ThrottledTask& task, const void* owner, bool pumped) {
  const fuse::Request& request = task.throttled();
  // From here on: a pace that changes meanwhile finds it here, or has changed before.
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  const auto begin = pace_.admit(moves_bytes(*request.row()), bytes_of(request), now);
  if (begin <= now) return false;
  if (!started_) {
    auto thread = Thread::start([this] { work(); });
    if (!thread.ok()) return false;
    thread_ = std::move(thread).value();
    started_ = true;
  }
  const bool first = entries_.empty() || begin < entries_.begin()->first;
  entries_.emplace(begin, Entry{.task = &task, .owner = owner, .pumped = pumped});
  if (first) wake_.notify_one();
  return true;
}

std::uint32_t Throttle::waiting(const void* owner) const {
  const std::lock_guard lock(mutex_);
  const auto count =
      std::count_if(entries_.begin(), entries_.end(), [owner](const auto& each) { return each.second.owner == owner; });
  return static_cast<std::uint32_t>(count);
}

void Throttle::retry(const void* owner, fuse::Counters& counters) {
  std::unique_lock lock(mutex_);
  go_on(lock, owner, Clock::now(), counters);
}

void Throttle::let_go(const void* owner, fuse::Counters& counters) {
  std::unique_lock lock(mutex_);
  go_on(lock, owner, Clock::time_point::max(), counters);
}

void Throttle::forget_all(const void* owner) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [owner](const auto& each) { return each.second.owner == owner; });
}

bool Throttle::cancel(std::uint64_t unique) {
  std::unique_lock lock(mutex_);
  const auto at = std::find_if(entries_.begin(), entries_.end(), [unique](const auto& each) {
    return !each.second.cancelled && each.second.task->throttled().header().unique == unique;
  });
  if (at == entries_.end()) return false;
  Entry entry = at->second;
  entries_.erase(at);
  if (entry.pumped) {
    entry.cancelled = true;
    entry.told = false;
    entries_.emplace(Clock::time_point(), entry);
    wake_.notify_one();
    return true;
  }
  lock.unlock();
  const std::lock_guard counting(settling_);
  server_.refuse(entry.task->throttled(), Errno(EINTR), counters_);
  return true;
}

void Throttle::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    operations_.store(0, std::memory_order_relaxed);
  }
  wake_.notify_all();
  thread_.join();
}

void Throttle::add_to(fuse::Counters::Snapshot& sum) const {
  const std::lock_guard lock(settling_);
  counters_.add_to(sum);
}

void Throttle::go_on(std::unique_lock<std::mutex>& lock, const void* owner, Clock::time_point until,
                     fuse::Counters& counters) {
  for (;;) {
    const auto end = entries_.upper_bound(until);
    const auto at = std::find_if(entries_.begin(), end, [owner](const auto& each) {
      return owner == nullptr ? !each.second.pumped : each.second.owner == owner;
    });
    if (at == end) return;
    const Entry entry = at->second;
    entries_.erase(at);
    lock.unlock();
    if (entry.cancelled) {
      server_.refuse(entry.task->throttled(), Errno(EINTR), counters);
    } else {
      entry.task->go_on(counters);
    }
    lock.lock();
  }
}

void Throttle::work() {
  constexpr std::string_view kSuffix = ":t";
  sys::name_thread(setup_.thread_name.substr(0, 15 - kSuffix.size()).append(kSuffix));
  // Nothing is served here: without an identity of its own this thread can do all that it does.
  static_cast<void>(setup_.prepare_thread().ok());
  std::unique_lock lock(mutex_);
  while (!closing_) {
    const auto now = Clock::now();
    auto next = Clock::time_point::max();
    bool due = false;
    for (auto& [begin, entry] : entries_) {
      if (begin > now) {
        next = begin;
        break;
      }
      due = due || !entry.pumped;
      if (entry.pumped && !std::exchange(entry.told, true)) setup_.wants_pump();
    }
    if (due) {
      lock.unlock();
      const std::lock_guard counting(settling_);
      lock.lock();
      go_on(lock, nullptr, now, counters_);
    } else if (next == Clock::time_point::max()) {
      wake_.wait(lock);
    } else {
      wake_.wait_until(lock, next);
    }
  }
}

}  // namespace vfs::device
