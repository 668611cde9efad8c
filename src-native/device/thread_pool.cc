#include "device/thread_pool.h"

#include <utility>

#include "base/sys.h"

namespace vfs::device {

ThreadPool::ThreadPool(std::string name, unsigned threads_max, PrepareThread prepare_thread,
                       std::chrono::milliseconds idle)
    : name_(std::move(name)), prepare_thread_(std::move(prepare_thread)), idle_time_(idle) {
  for (unsigned i = 0; i < threads_max; ++i) workers_.push_back(std::make_unique<Worker>());
}

ThreadPool::~ThreadPool() { close(); }

void ThreadPool::start_threads() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = *workers_[i];
    if (worker.state != State::kNone) continue;
    // The thread that was here has left the lock for good: this wait is short.
    worker.thread.join();
    auto thread = Thread::start([this, i, &worker] { work(i, worker); });
    if (!thread.ok()) break;  // fewer threads, or none: submit() sees it
    worker.thread = std::move(thread).value();
    worker.state = State::kRunning;
    ++usable_;
  }
}

void ThreadPool::submit(PoolTask& task) {
  std::unique_lock lock(mutex_);
  if (waiting_ >= idle_ && !closing_) start_threads();
  if (closing_ || usable_ == 0) {
    task.abandon(Errno(EIO), abandoned_);
    return;
  }
  task.next_in_pool = nullptr;
  (tail_ == nullptr ? head_ : tail_->next_in_pool) = &task;
  tail_ = &task;
  ++waiting_;
  lock.unlock();
  wake_.notify_one();
}

void ThreadPool::cancel(std::uint64_t unique) {
  const std::lock_guard lock(mutex_);
  PoolTask* before = nullptr;
  for (PoolTask* task = head_; task != nullptr; before = std::exchange(task, task->next_in_pool)) {
    if (task->unique() != unique) continue;
    (before == nullptr ? head_ : before->next_in_pool) = task->next_in_pool;
    if (tail_ == task) tail_ = before;
    --waiting_;
    // Under the lock: `abandoned_` has one writer at a time, and abandoning only hands the chain back.
    task->abandon(Errno(EINTR), abandoned_);
    return;
  }
}

PoolTask* ThreadPool::take_first() {
  PoolTask* task = head_;
  head_ = task->next_in_pool;
  if (head_ == nullptr) tail_ = nullptr;
  --waiting_;
  return task;
}

PoolTask* ThreadPool::take_all() {
  tail_ = nullptr;
  waiting_ = 0;
  return std::exchange(head_, nullptr);
}

void ThreadPool::abandon_all(Errno reason) {
  for (PoolTask* task = take_all(); task != nullptr;) {
    PoolTask* next = task->next_in_pool;
    task->abandon(reason, abandoned_);
    task = next;
  }
}

void ThreadPool::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    abandon_all(Errno(EIO));
  }
  wake_.notify_all();
  for (const auto& worker : workers_) worker->thread.join();
}

void ThreadPool::work(std::size_t index, Worker& worker) {
  // The index stays readable where the kernel cuts the name to 15 bytes.
  std::string suffix(":p");
  suffix += std::to_string(index);
  sys::name_thread(name_.substr(0, 15 - suffix.size()).append(suffix));
  std::unique_lock lock(mutex_);
  if (const Status ready = prepare_thread_(); !ready.ok()) {
    worker.state = State::kUnprepared;
    // Where nobody is left to run what waits.
    if (--usable_ == 0) abandon_all(ready.error());
    return;
  }
  for (;;) {
    ++idle_;
    const bool woken = wake_.wait_for(lock, idle_time_, [this] { return head_ != nullptr || closing_; });
    --idle_;
    if (!woken || head_ == nullptr) break;
    PoolTask* task = take_first();
    lock.unlock();
    task->run(worker.counters);
    lock.lock();
  }
  worker.state = State::kNone;
  --usable_;
}

unsigned ThreadPool::threads() const {
  const std::lock_guard lock(mutex_);
  return usable_;
}

void ThreadPool::add_to(fuse::Counters::Snapshot& sum) const {
  const std::lock_guard lock(mutex_);
  abandoned_.add_to(sum);
  for (const auto& worker : workers_) worker->counters.add_to(sum);
}

}  // namespace vfs::device
