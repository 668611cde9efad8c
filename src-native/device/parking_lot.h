// ParkingLot: where requests wait for what others do, a lock to be given up, for as long as that takes. They occupy no
// thread: they are tried again, at once when the file system says that it may be worth it (unpark), and else from time
// to time, because nobody tells us of locks that processes of the host give up.
//
// Order: tasks are tried in order of arrival, so that of two that wait for the same the first gets it.
//
// Pumped queues have no thread that could be woken, and their memory is there only during a pump: their tasks are tried
// by retry(), and cancelling one marks it for the next.
//
// Threading: every method from any thread, except where it says "the owner's". Tasks are intrusive: parking allocates
// nothing.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/thread.h"
#include "device/prepare_thread.h"
#include "fuse/server.h"

namespace vfs::device {

class ParkedTask;

// A place in the list of what is parked.
struct ParkedPlace {
  ParkedPlace* previous = nullptr;
  ParkedPlace* next = nullptr;
  ParkedTask* task = nullptr;  // null: the list's end, or a place that is kept
  const void* owner = nullptr;
  bool pumped = false;
  std::optional<Errno> verdict{};  // of a pumped one: what it will be abandoned with
  std::chrono::steady_clock::time_point due{};
  std::chrono::milliseconds pause{0};
};

class ParkedTask {
 public:
  // True: it has answered, and may be gone. False: it would still have to wait. `counters` are the calling thread's.
  virtual bool try_again(fuse::Counters& counters) = 0;
  // Instead of being served.
  virtual void abandon(Errno reason, fuse::Counters& counters) = 0;
  // The FUSE request that it serves, and the node whose locks it waits for.
  virtual std::uint64_t unique() const = 0;
  virtual std::uint64_t node() const = 0;

  ParkedPlace place;  // the lot's, while it holds the task

 protected:
  ~ParkedTask() = default;
};

class ParkingLot final : public fuse::Unparker {
 public:
  // How long the thread stays without a task.
  static constexpr std::chrono::milliseconds kIdle{2000};

  // `prepare_thread` as in ThreadPool. The thread is started when a task comes that is not pumped.
  ParkingLot(std::string name, PrepareThread prepare_thread);
  ~ParkingLot();

  // Takes a task that would have to wait; it may be abandoned before this returns. EINTR: it has been cancelled
  // already. ENOLCK: there is no thread to try it again.
  // `owner` stands for the queue. `pumped`: only retry() tries it.
  void park(ParkedTask& task, const void* owner, bool pumped);

  // INTERRUPT: the task with this number is abandoned with EINTR; one that is not here yet will be when it comes.
  void cancel(std::uint64_t unique);

  // 0 begins anew: numbers of cancelled requests are forgotten, too.
  void unpark(std::uint64_t nodeid) override;

  // Tries the tasks of a pumped queue. The owner's thread, its memory attached.
  void retry(const void* owner, fuse::Counters& counters);

  // All tasks of a queue are abandoned; one that is being tried just now, as soon as that has failed. The owner's
  // thread; nothing more is parked by it.
  void abandon_all(const void* owner, Errno reason);
  // All tasks of a queue are let go of without an answer. Of a pumped one, and the owner's thread.
  void forget_all(const void* owner);

  // Abandons what is left (EIO) and joins. Idempotent.
  void close();

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  void add_to(fuse::Counters::Snapshot& sum) const;

 private:
  using Clock = std::chrono::steady_clock;

  // The task that the thread tries, which is out of the list meanwhile.
  struct Trying {
    const void* owner;
    std::uint64_t unique;
    std::uint64_t node;
    std::optional<Errno> verdict;  // if it does not succeed
    bool again;                    // if it does not succeed: at once
  };

  void work();
  // Holding mutex_:
  void start_thread();
  void append(ParkedTask& task);
  static void link_before(ParkedPlace& at, ParkedPlace& link);
  static void unlink(ParkedPlace& link);
  void take_out(ParkedTask& task);
  std::optional<Clock::time_point> earliest() const;
  void pass(std::unique_lock<std::mutex>& lock);
  ParkedPlace* try_one(std::unique_lock<std::mutex>& lock, ParkedTask& task);
  void abandon_everything(Errno reason);
  bool cancelled_before(std::uint64_t unique);

  const std::string name_;
  const PrepareThread prepare_thread_;

  mutable std::mutex mutex_;  // guards all below; no task is tried while it is held
  std::condition_variable wake_;
  ParkedPlace list_;  // both ends of the ring
  std::optional<Trying> trying_;
  bool closing_ = false;
  bool started_ = false;
  bool usable_ = false;
  // Numbers that were cancelled and not found: an INTERRUPT travels on another queue than the request that it names and
  // may be faster. The oldest is overwritten. 0 is no request's.
  std::array<std::uint64_t, 64> early_{};
  std::size_t next_early_ = 0;
  fuse::Counters abandoned_;
  Thread thread_;

  fuse::Counters counters_;  // of the thread
  std::atomic<std::size_t> size_{0};
};

}  // namespace vfs::device
