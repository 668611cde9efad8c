// Worker: the thread of a started queue. It waits for a kick, for completions of other threads and for the order to
// stop; serves what is in the ring; and gives one call per batch.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/thread.h"
#include "base/unique_fd.h"
#include "device/call_lead.h"
#include "device/poll_window.h"
#include "device/prepare_thread.h"
#include "device/queue_engine.h"

namespace vfs::device {

// Told from the worker's thread. Must not wait for the worker.
struct WorkerEvents {
  // The ring is broken: nothing more is taken from it. The worker still waits to be stopped.
  std::function<void(Fault)> failed;
  // Requests in flight are finished, those that wait for a lock given up, and the thread is about to end: stop() will
  // not have to wait.
  std::function<void()> stopped;
};

class Worker {
 public:
  struct Setup {
    std::string name;  // of the thread; at most 15 bytes
    virtio::QueueSetup queue;
    std::shared_ptr<GuestMemory> memory;
    UniqueFd kick;
    UniqueFd call;  // may be none: the driver polls
    PrepareThread prepare_thread;
    UniqueFd err = {};  // may be none
    BeforeBatch before_batch = nullptr;
    Polling polling = {};
    bool urgent = true;  // somebody waits for what it serves
  };

  // Starts the thread. Errors: of eventfd, epoll and thread creation. What is wrong with the ring, the `failed` event
  // says.
  static Result<std::unique_ptr<Worker>> start(Setup setup, fuse::Server& server, ThreadPool& pool, ParkingLot& lot,
                                               WorkerEvents events, Gates gates = {});
  ~Worker();

  // Asks the thread to end once what is in flight is finished; `stopped` follows. Idempotent.
  void request_stop();
  // request_stop() and wait. The state says where another may go on.
  virtio::QueueState stop();
  // Replaces the call eventfd. The driver gets one call, because one may just have gone to the old one.
  void set_call(UniqueFd call);
  // Replaces the eventfd that is signalled when the ring breaks; at once, if it is broken.
  void set_err(UniqueFd err);
  void switch_memory(std::shared_ptr<GuestMemory> memory) { engine_->switch_memory(std::move(memory)); }
  void set_used_log(std::optional<GuestAddress> address) { engine_->set_used_log(address); }
  void add_to(fuse::Counters::Snapshot& sum) const { engine_->counters().add_to(sum); }

 private:
  explicit Worker(Setup setup, WorkerEvents events);
  Status open_descriptors();
  void run();
  bool serve_ring();
  Result<std::size_t, Fault> serve_batch();
  bool look_for_more();
  bool polls() const;
  void wait_for_events();
  void finish_in_flight();
  void fail(Fault fault);
  void signal_call();
  void signal_err();

  Setup setup_;
  const WorkerEvents events_;
  std::shared_ptr<UniqueFd> wake_;  // shared with the engine, which may outlive us
  UniqueFd stop_event_;
  UniqueFd epoll_;
  std::atomic<bool> stopping_{false};
  std::shared_ptr<QueueEngine> engine_;
  std::mutex call_mutex_;  // guards setup_.call, setup_.err and these two; nothing else is taken while it is held
  bool call_may_block_;
  bool broken_ = false;
  PollWindow poll_;
  CallLead lead_;
  std::size_t taken_since_sleep_ = 0;
  Thread thread_;
};

}  // namespace vfs::device
