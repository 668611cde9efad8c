#include "device/thread_pool.h"

#include <utility>

#include "base/sys.h"

namespace vfs::device {

ThreadPool::ThreadPool(std::string name, unsigned threads_max, Status (*prepare_thread)())
    : name_(std::move(name)), threads_max_(threads_max), prepare_thread_(prepare_thread) {}

ThreadPool::~ThreadPool() { close(); }

void ThreadPool::start_threads() {
  started_ = true;
  for (std::size_t i = 0; i < threads_max_; ++i) {
    auto worker = std::make_unique<Worker>();
    auto thread = Thread::start([this, i, &counters = worker->counters] { work(i, counters); });
    if (!thread.ok()) break;  // fewer threads, or none: submit() sees it
    worker->thread = std::move(thread).value();
    threads_.push_back(std::move(worker));
    ++usable_;
  }
}

void ThreadPool::submit(PoolTask& task) {
  std::unique_lock lock(mutex_);
  if (!started_ && !closing_) start_threads();
  if (closing_ || usable_ == 0) {
    task.abandon(Errno(EIO), abandoned_);
    return;
  }
  task.next_in_pool = nullptr;
  (tail_ == nullptr ? head_ : tail_->next_in_pool) = &task;
  tail_ = &task;
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
    // Under the lock: `abandoned_` has one writer at a time, and abandoning only hands the chain back.
    task->abandon(Errno(EINTR), abandoned_);
    return;
  }
}

PoolTask* ThreadPool::take_all() {
  tail_ = nullptr;
  return std::exchange(head_, nullptr);
}

void ThreadPool::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (PoolTask* task = take_all(); task != nullptr;) {
      PoolTask* next = task->next_in_pool;
      task->abandon(Errno(EIO), abandoned_);
      task = next;
    }
  }
  wake_.notify_all();
  for (const auto& worker : threads_) worker->thread.join();
}

void ThreadPool::work(std::size_t index, fuse::Counters& counters) {
  // The index stays readable where the kernel cuts the name to 15 bytes.
  std::string suffix(":p");
  suffix += std::to_string(index);
  sys::name_thread(name_.substr(0, 15 - suffix.size()).append(suffix));
  std::unique_lock lock(mutex_);
  if (const Status ready = prepare_thread_(); !ready.ok()) {
    if (--usable_ > 0) return;
    // Nobody is left to run what waits.
    for (PoolTask* task = take_all(); task != nullptr;) {
      PoolTask* next = task->next_in_pool;
      task->abandon(ready.error(), abandoned_);
      task = next;
    }
    return;
  }
  for (;;) {
    wake_.wait(lock, [this] { return head_ != nullptr || closing_; });
    if (head_ == nullptr) return;
    PoolTask* task = head_;
    head_ = task->next_in_pool;
    if (head_ == nullptr) tail_ = nullptr;
    lock.unlock();
    task->run(counters);
    lock.lock();
  }
}

void ThreadPool::add_to(fuse::Counters::Snapshot& sum) const {
  const std::lock_guard lock(mutex_);
  abandoned_.add_to(sum);
  for (const auto& worker : threads_) worker->counters.add_to(sum);
}

}  // namespace vfs::device
