#include "device/parking_lot.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/sys.h"

namespace vfs::device {

namespace {

// A lock of another process that is held briefly is had soon, and one that is held for hours costs nothing to speak of:
// 50 system calls in a second.
constexpr std::chrono::milliseconds kPauseMin{1};
constexpr std::chrono::milliseconds kPauseMax{20};

}  // namespace

ParkingLot::ParkingLot(std::string name, PrepareThread prepare_thread)
    : name_(std::move(name)), prepare_thread_(std::move(prepare_thread)) {
  list_.previous = &list_;
  list_.next = &list_;
}

ParkingLot::~ParkingLot() { close(); }

void ParkingLot::link_before(ParkedPlace& at, ParkedPlace& link) {
  link.previous = at.previous;
  link.next = &at;
  at.previous->next = &link;
  at.previous = &link;
}

void ParkingLot::unlink(ParkedPlace& link) {
  link.previous->next = link.next;
  link.next->previous = link.previous;
}

void ParkingLot::append(ParkedTask& task) {
  task.place.task = &task;
  link_before(list_, task.place);
  size_.fetch_add(1, std::memory_order_relaxed);
}

void ParkingLot::take_out(ParkedTask& task) {
  unlink(task.place);
  size_.fetch_sub(1, std::memory_order_relaxed);
}

void ParkingLot::start_thread() {
  started_ = true;
  thread_.join();  // of one that has ended, which has left the lock for good
  auto thread = Thread::start([this] { work(); });
  if (!thread.ok()) return;
  thread_ = std::move(thread).value();
  usable_ = true;
}

bool ParkingLot::cancelled_before(std::uint64_t unique) {
  const auto found = std::find(early_.begin(), early_.end(), unique);
  if (found == early_.end() || unique == 0) return false;
  *found = 0;
  return true;
}

// In these methods tasks are abandoned under the lock, as in ThreadPool: `abandoned_` has one writer at a time, and
// abandoning only hands the chain back.

void ParkingLot::park(ParkedTask& task, const void* owner, bool pumped) {
  std::unique_lock lock(mutex_);
  if (cancelled_before(task.unique())) return task.abandon(Errno(EINTR), abandoned_);
  if (closing_) return task.abandon(Errno(EIO), abandoned_);
  if (!pumped) {
    if (!started_) start_thread();
    if (!usable_) return task.abandon(Errno(ENOLCK), abandoned_);
  }
  task.place.owner = owner;
  task.place.pumped = pumped;
  task.place.verdict.reset();
  // At once: what it waits for may have come true after it was tried and before unpark() could find it here.
  task.place.due = Clock::now();
  task.place.pause = kPauseMin;
  append(task);
  lock.unlock();
  if (!pumped) wake_.notify_one();
}

void ParkingLot::cancel(std::uint64_t unique) {
  const std::lock_guard lock(mutex_);
  if (trying_.has_value() && trying_->unique == unique) {
    trying_->verdict = Errno(EINTR);
    return;
  }
  for (ParkedPlace* link = list_.next; link != &list_; link = link->next) {
    ParkedTask* const task = link->task;
    if (task == nullptr || task->unique() != unique) continue;
    if (task->place.pumped) {
      task->place.verdict = Errno(EINTR);
      return;
    }
    take_out(*task);
    return task->abandon(Errno(EINTR), abandoned_);
  }
  early_[next_early_++ % early_.size()] = unique;
}

void ParkingLot::unpark(std::uint64_t nodeid) {
  // What was parked before a lock was given up is seen here: whoever failed to get it was in the list, or about to be
  // tried once more (park), when the kernel said no.
  if (nodeid != 0 && size() == 0) return;
  bool found = false;
  {
    const std::lock_guard lock(mutex_);
    if (nodeid == 0) early_.fill(0);
    if (trying_.has_value() && (nodeid == 0 || trying_->node == nodeid)) trying_->again = true;
    for (ParkedPlace* link = list_.next; link != &list_; link = link->next) {
      ParkedTask* const task = link->task;
      if (task == nullptr || task->place.pumped || (nodeid != 0 && task->node() != nodeid)) continue;
      task->place.due = {};
      found = true;
    }
  }
  if (found) wake_.notify_one();
}

void ParkingLot::retry(const void* owner, fuse::Counters& counters) {
  if (size() == 0) return;
  std::unique_lock lock(mutex_);
  for (ParkedPlace* link = list_.next; link != &list_;) {
    ParkedTask* const task = link->task;
    if (task == nullptr || task->place.owner != owner) {
      link = link->next;
      continue;
    }
    if (!task->place.verdict.has_value()) {
      // It stays in the list: only this thread takes it out, also when it has answered.
      lock.unlock();
      const bool done = task->try_again(counters);
      lock.lock();
      link = link->next;
      if (done) take_out(*task);
      continue;
    }
    link = link->next;
    take_out(*task);
    task->abandon(*task->place.verdict, abandoned_);
  }
}

void ParkingLot::abandon_all(const void* owner, Errno reason) {
  if (size() == 0) return;
  const std::lock_guard lock(mutex_);
  if (trying_.has_value() && trying_->owner == owner && !trying_->verdict.has_value()) trying_->verdict = reason;
  for (ParkedPlace* link = list_.next; link != &list_;) {
    ParkedTask* const task = link->task;
    link = link->next;
    if (task == nullptr || task->place.owner != owner) continue;
    take_out(*task);
    task->abandon(task->place.verdict.value_or(reason), abandoned_);
  }
}

void ParkingLot::forget_all(const void* owner) {
  if (size() == 0) return;
  const std::lock_guard lock(mutex_);
  for (ParkedPlace* link = list_.next; link != &list_;) {
    ParkedTask* const task = link->task;
    link = link->next;
    if (task != nullptr && task->place.owner == owner) take_out(*task);
  }
}

void ParkingLot::abandon_everything(Errno reason) {
  if (trying_.has_value() && !trying_->verdict.has_value()) trying_->verdict = reason;
  for (ParkedPlace* link = list_.next; link != &list_;) {
    ParkedTask* const task = link->task;
    link = link->next;
    // Not a pumped one: it can answer only on its own thread.
    if (task == nullptr || task->place.pumped) continue;
    take_out(*task);
    task->abandon(reason, abandoned_);
  }
}

void ParkingLot::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    abandon_everything(Errno(EIO));
  }
  wake_.notify_all();
  thread_.join();
}

std::optional<ParkingLot::Clock::time_point> ParkingLot::earliest() const {
  std::optional<Clock::time_point> earliest;
  for (const ParkedPlace* link = list_.next; link != &list_; link = link->next) {
    const ParkedTask& task = *link->task;  // no places are kept between two passes
    if (!task.place.pumped && (!earliest.has_value() || task.place.due < *earliest)) earliest = task.place.due;
  }
  return earliest;
}

// Tries one task, with its place in the order kept. Returns what follows it.
ParkedPlace* ParkingLot::try_one(std::unique_lock<std::mutex>& lock, ParkedTask& task) {
  ParkedPlace kept;
  link_before(task.place, kept);
  unlink(task.place);
  trying_ = Trying{task.place.owner, task.unique(), task.node(), std::nullopt, false};
  lock.unlock();
  // Once it has answered, its memory may serve another request.
  const bool done = task.try_again(counters_);
  lock.lock();
  const Trying tried = *std::exchange(trying_, std::nullopt);
  ParkedPlace* const next = kept.next;
  unlink(kept);
  if (!done && !tried.verdict.has_value()) {
    task.place.due = tried.again ? Clock::time_point{} : Clock::now() + task.place.pause;
    task.place.pause = std::min(task.place.pause * 2, kPauseMax);
    link_before(*next, task.place);
    return next;
  }
  size_.fetch_sub(1, std::memory_order_relaxed);
  if (!done) task.abandon(*tried.verdict, abandoned_);
  return next;
}

void ParkingLot::pass(std::unique_lock<std::mutex>& lock) {
  const auto now = Clock::now();
  for (ParkedPlace* link = list_.next; link != &list_ && !closing_;) {
    ParkedTask& task = *link->task;
    link = task.place.pumped || task.place.due > now ? link->next : try_one(lock, task);
  }
}

void ParkingLot::work() {
  constexpr std::string_view kSuffix = ":w";
  sys::name_thread(name_.substr(0, 15 - kSuffix.size()).append(kSuffix));
  const Status ready = prepare_thread_();
  std::unique_lock lock(mutex_);
  if (!ready.ok()) {
    usable_ = false;
    abandon_everything(Errno(ENOLCK));
    return;
  }
  while (!closing_) {
    const auto due = earliest();
    if (!due.has_value()) {
      if (wake_.wait_for(lock, kIdle) == std::cv_status::no_timeout || earliest().has_value() || closing_) continue;
      // Nobody waits for anything: the next that does starts a thread again.
      started_ = usable_ = false;
      return;
    } else if (*due > Clock::now()) {
      wake_.wait_until(lock, *due);
    } else {
      pass(lock);
    }
  }
}

void ParkingLot::add_to(fuse::Counters::Snapshot& sum) const {
  const std::lock_guard lock(mutex_);
  abandoned_.add_to(sum);
  counters_.add_to(sum);
}

}  // namespace vfs::device
