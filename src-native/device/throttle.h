// Throttle: where requests wait for their turn when a policy says how fast the guest may go. They wait before anything
// is decided about them, occupy no thread, and hold up no other: what may begin at once overtakes them.
//
// Threading: every method from any thread, except where it says "the owner's": of the queue.
// Ownership: tasks belong to their queues, which wait for them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/thread.h"
#include "device/prepare_thread.h"
#include "fuse/server.h"
#include "policy/pace.h"

namespace vfs::device {

// A request in a queue, as the throttle needs it.
class ThrottledTask {
 public:
  virtual fuse::Request& throttled() = 0;
  // Its turn has come. Of a pumped queue: on the owner's thread.
  virtual void go_on(fuse::Counters& counters) = 0;

 protected:
  ~ThrottledTask() = default;
};

class Throttle {
 public:
  struct Setup {
    std::string thread_name;
    PrepareThread prepare_thread;
    // Told from any thread, under the lock: the turn of a pumped queue's request has come.
    std::function<void()> wants_pump;
  };
  Throttle(fuse::Server& server, policy::Pace& pace, Setup setup);
  ~Throttle();

  // After another pace has been set: who waits goes on, with nothing owed.
  void pace_changed();

  // --- the queues' side
  // Whether such operations may have to wait: all that other requests pay.
  bool covers(const fuse::OpRow& row) const {
    return (operations_.load(std::memory_order_relaxed) >> fuse::op_slot(&row) & 1U) != 0;
  }
  // Takes a request until its turn. False: that is now, or there is no thread to be had that would wait for it. The
  // owner's thread.
  bool hold(ThrottledTask& task, const void* owner, bool pumped);
  // How many of a queue's wait.
  std::uint32_t waiting(const void* owner) const;
  // For pumped queues, by the owner: those whose turn has come go on.
  void retry(const void* owner, fuse::Counters& counters);
  // The queue stops: all of its go on. What they owe is owed by those that come next. The owner's thread.
  void let_go(const void* owner, fuse::Counters& counters);
  // For pumped queues, by the owner: lets go of everything without an answer.
  void forget_all(const void* owner);
  // INTERRUPT. False: it is not here.
  bool cancel(std::uint64_t unique);

  // What waits goes on, and nothing waits any more. Joins. Idempotent.
  void close();
  void add_to(fuse::Counters::Snapshot& sum) const;

 private:
  using Clock = policy::Pace::Clock;

  struct Entry {
    ThrottledTask* task;
    const void* owner;
    bool pumped;
    bool told = false;       // that its queue is to be pumped
    bool cancelled = false;  // of a pumped queue, which has to answer itself
  };
  using Entries = std::multimap<Clock::time_point, Entry>;

  void work();
  // Holding mutex_: what has the time `until` goes on, `owner`'s or, for null, of every queue with a thread.
  void go_on(std::unique_lock<std::mutex>& lock, const void* owner, Clock::time_point until, fuse::Counters& counters);

  fuse::Server& server_;
  policy::Pace& pace_;
  const Setup setup_;
  std::atomic<std::uint64_t> operations_{0};

  mutable std::mutex mutex_;  // guards all below; nothing is served or answered while it is held
  std::condition_variable wake_;
  Entries entries_;
  bool closing_ = false;
  // Not before somebody has to wait: who makes a device may want to give up what all threads of the process have.
  bool started_ = false;
  Thread thread_;

  mutable std::mutex settling_;  // guards the counters; taken after mutex_ has been let go of
  fuse::Counters counters_;
};

}  // namespace vfs::device
