// ThreadPool: where requests wait for disks. Threads are started when the first task comes; tasks are run in order of
// arrival, and one that has not begun can be taken back (INTERRUPT).
//
// Threading: every method from any thread. Tasks are intrusive: submitting allocates nothing.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread.h"
#include "fuse/server.h"

namespace vfs::device {

class PoolTask {
 public:
  // On a pool thread; `counters` are that thread's own. The task may be gone when it returns.
  virtual void run(fuse::Counters& counters) = 0;
  // Instead of run(), on the thread that cancelled it or closed the pool.
  virtual void abandon(Errno reason, fuse::Counters& counters) = 0;
  // The FUSE request that it serves.
  virtual std::uint64_t unique() const = 0;

  PoolTask* next_in_pool = nullptr;  // the pool's, while it holds the task

 protected:
  ~PoolTask() = default;
};

class ThreadPool final : public fuse::Canceller {
 public:
  // `prepare_thread` runs first on each thread; if it fails the thread ends, and with no thread left tasks are
  // abandoned with its error.
  ThreadPool(std::string name, unsigned threads_max, Status (*prepare_thread)());
  ~ThreadPool();

  void submit(PoolTask& task);
  void cancel(std::uint64_t unique) override;
  // Abandons what waits (EIO), lets what runs finish, joins. Idempotent.
  void close();
  void add_to(fuse::Counters::Snapshot& sum) const;

 private:
  struct Worker {
    vfs::Thread thread;
    fuse::Counters counters;
  };

  void work(std::size_t index, fuse::Counters& counters);
  void start_threads();  // holding mutex_
  PoolTask* take_all();  // holding mutex_

  const std::string name_;
  const unsigned threads_max_;
  Status (*const prepare_thread_)();

  mutable std::mutex mutex_;  // guards all below; no task runs while it is held
  std::condition_variable wake_;
  PoolTask* head_ = nullptr;
  PoolTask* tail_ = nullptr;
  bool closing_ = false;
  bool started_ = false;
  unsigned usable_ = 0;  // threads that passed prepare_thread
  std::vector<std::unique_ptr<Worker>> threads_;
  fuse::Counters abandoned_;  // of tasks that no pool thread ran
};

}  // namespace vfs::device
