// ThreadPool: where requests wait for disks. Threads are started when a task comes, and end when there has been none
// for a while: a device that nobody uses has none. Tasks are run in order of arrival, and one that has not begun can be
// taken back (INTERRUPT).
//
// Threading: every method from any thread. Tasks are intrusive: submitting allocates nothing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread.h"
#include "device/prepare_thread.h"
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
  static constexpr std::chrono::milliseconds kIdle{2000};

  // `prepare_thread` runs first on each thread; if it fails the thread ends for good, and with no thread left tasks are
  // abandoned with its error. `idle`: how long a thread waits for a task before it ends.
  ThreadPool(std::string name, unsigned threads_max, PrepareThread prepare_thread,
             std::chrono::milliseconds idle = kIdle);
  ~ThreadPool();

  void submit(PoolTask& task);
  void cancel(std::uint64_t unique) override;
  // Abandons what waits (EIO), lets what runs finish, joins. Idempotent.
  void close();
  void add_to(fuse::Counters::Snapshot& sum) const;
  // Threads that are there now.
  unsigned threads() const;

 private:
  enum class State : std::uint8_t { kNone, kRunning, kUnprepared };
  struct Worker {
    vfs::Thread thread;
    fuse::Counters counters;  // of all threads that have had this place
    State state = State::kNone;
  };

  void work(std::size_t index, Worker& worker);
  // Holding mutex_:
  void start_threads();
  PoolTask* take_first();
  PoolTask* take_all();
  void abandon_all(Errno reason);

  const std::string name_;
  const PrepareThread prepare_thread_;
  const std::chrono::milliseconds idle_time_;

  mutable std::mutex mutex_;  // guards all below; no task runs while it is held
  std::condition_variable wake_;
  PoolTask* head_ = nullptr;
  PoolTask* tail_ = nullptr;
  bool closing_ = false;
  unsigned waiting_ = 0;  // tasks
  unsigned idle_ = 0;     // threads that wait for one
  unsigned usable_ = 0;   // threads that run, and have not failed to prepare
  std::vector<std::unique_ptr<Worker>> workers_;
  fuse::Counters abandoned_;  // of tasks that no pool thread ran
};

}  // namespace vfs::device
