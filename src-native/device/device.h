// Device: one virtio-fs device: a share, its FUSE server, its queues and their threads. What an FsBackend stands on.
//
// Threading: all methods from one thread (the JavaScript thread that made it); observers are told from any thread.
// Nothing here waits for the observer, so closing from the observer's thread cannot deadlock.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "device/interceptor.h"
#include "device/parking_lot.h"
#include "device/pumped_queue.h"
#include "device/request_tap.h"
#include "device/thread_pool.h"
#include "device/throttle.h"
#include "device/worker.h"
#include "overlay/overlay_fs.h"
#include "passthrough/passthrough_fs.h"
#include "policy/policy_fs.h"
#include "sandbox/thread_confinement.h"

namespace vfs::device {

struct DeviceOptions {
  std::string tag;          // names the threads
  unsigned request_queues;  // besides the hiprio queue; any number
  unsigned pool_threads;
  std::uint32_t write_bytes_max = 1U << 20;  // of one WRITE or READ; a whole number of pages
  bool measure_latency = false;
  Polling polling = {};  // of the request queues
  passthrough::PassthroughOptions share;
  // The share stays as it is, and what the guest does goes to another directory.
  std::optional<overlay::OverlayOptions> overlay = std::nullopt;
  sandbox::ConfinementOptions confinement;  // of the threads; a pumped queue has none
  // What the guest may see and do. Without one nothing is asked, and none can be given later.
  std::optional<policy::PolicySource> policy = std::nullopt;
  // With a policy: handlers will be attached, and until then nothing is served that could concern any.
  bool awaits_handlers = false;
  // What is told of requests. Paths are known with a policy only.
  std::optional<TapOptions> tap = std::nullopt;
};

class DeviceObserver {
 public:
  // The queue has finished everything and can be reaped.
  virtual void queue_stopped(unsigned index) = 0;
  // Its ring is broken; it takes nothing more, and can be stopped.
  virtual void queue_failed(unsigned index, Fault fault) = 0;
  // A pumped queue has something to do that its driver does not know of: handlers have decided, or it is a request's
  // turn.
  virtual void wants_pump() = 0;
  // The tap has something to take.
  virtual void requests_tapped() = 0;

 protected:
  ~DeviceObserver() = default;
};

struct DeviceStats {
  fuse::Counters::Snapshot counters;
  std::size_t inodes;
  std::size_t handles;
  std::uint64_t records_lost = 0;  // by the tap
};

// INTERRUPT reaches a request wherever it waits. Linux's virtio-fs driver has never sent one (virtio_fs_send_interrupt
// is empty in 7.x, too): there a process that waits for a lock waits until it has it, and only then sees its signals.
// The drivers of other systems do as the specification says (virtio 1.3 §5.11.6.1).
class Interrupts final : public fuse::Canceller {
 public:
  Interrupts(ThreadPool& pool, ParkingLot& lot, Gates gates = {}) : pool_(pool), lot_(lot), gates_(gates) {}
  void cancel(std::uint64_t unique) override {
    if (gates_.throttle != nullptr && gates_.throttle->cancel(unique)) return;
    if (gates_.interceptor != nullptr && gates_.interceptor->cancel(unique)) return;
    pool_.cancel(unique);
    lot_.cancel(unique);
  }

 private:
  ThreadPool& pool_;
  ParkingLot& lot_;
  const Gates gates_;
};

class Device {
 public:
  // Errors: of opening the share; of an overlay, see OverlayFs::create. `observer` outlives the device.
  static Result<std::unique_ptr<Device>> create(const DeviceOptions& options, DeviceObserver& observer);
  ~Device();

  // Whether a queue with this index exists, started and not yet reaped.
  bool has_queue(unsigned index) const { return workers_.contains(index) || pumped_.contains(index); }
  // The index must be free. `call` and `err` may be none.
  struct Notifiers {
    UniqueFd kick;
    UniqueFd call;
    UniqueFd err = {};
  };
  Status start_worker(unsigned index, const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory,
                      Notifiers notifiers);
  // A queue without a thread: see PumpedQueue.
  void start_pumped(unsigned index, const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory);
  PumpedQueue* pumped_queue(unsigned index);

  // Asks a queue to stop; `queue_stopped` follows (for a pumped one before this returns). False: no such queue.
  bool stop_queue(unsigned index);
  // Takes a stopped queue away and says where another may go on. Waits if it has not stopped yet.
  virtio::QueueState reap(unsigned index);
  // Of queues with a thread; null: no such queue.
  Worker* worker(unsigned index);

  // Replaces the policy. False: the device was made without one.
  bool set_policy(const policy::PolicySource& policy);
  // Null: the device was made without a policy.
  const std::shared_ptr<Interceptor>& interceptor() const { return interceptor_; }

  // What the tap has kept; nothing without one.
  RequestTap::Batch take_tapped() { return tap_ == nullptr ? RequestTap::Batch{} : tap_->take(); }

  // See fuse::Server::end_session.
  void end_session() { server_.end_session(); }
  passthrough::Resumed resumed() const { return fs_ != nullptr ? fs_->resumed() : passthrough::Resumed{}; }
  DeviceStats stats() const;
  std::vector<int> keep_fds() const { return fs_ != nullptr ? fs_->keep_fds() : overlay_->keep_fds(); }
  // Of its threads; 0: Landlock was not asked for, or the kernel has none.
  int landlock_version() const { return confinement_.landlock_version(); }
  // Stops and reaps everything. Idempotent.
  void close();

 private:
  // What the share is served by: the one or the other.
  struct Share {
    std::unique_ptr<passthrough::PassthroughFs> fs;
    std::unique_ptr<overlay::OverlayFs> overlay;
  };
  Device(const DeviceOptions& options, Share share, sandbox::ThreadConfinement confinement, DeviceObserver& observer);
  fuse::FileSystem& share() const { return fs_ != nullptr ? static_cast<fuse::FileSystem&>(*fs_) : *overlay_; }
  PrepareThread prepare_thread() const;
  std::unique_ptr<Throttle> make_throttle(const DeviceOptions& options);
  std::shared_ptr<Interceptor> make_interceptor(const DeviceOptions& options);
  Gates gates() const { return {throttle_.get(), interceptor_.get()}; }

  const std::string tag_;
  const Polling polling_;
  DeviceObserver& observer_;
  const std::unique_ptr<passthrough::PassthroughFs> fs_;  // null: the share has an overlay
  const std::unique_ptr<overlay::OverlayFs> overlay_;     // null: it has none
  const sandbox::ThreadConfinement confinement_;
  const std::unique_ptr<policy::PolicyFs> policy_;  // null: the guest talks to the share itself
  const std::unique_ptr<RequestTap> tap_;           // null: nobody watches
  fuse::Server server_;
  ThreadPool pool_;
  ParkingLot lot_;
  const std::unique_ptr<Throttle> throttle_;  // null, as the next: there is no policy
  const std::shared_ptr<Interceptor> interceptor_;
  Interrupts interrupts_{pool_, lot_, gates()};
  std::map<unsigned, std::unique_ptr<Worker>> workers_;
  std::map<unsigned, std::unique_ptr<PumpedQueue>> pumped_;
  fuse::Counters::Snapshot ended_;  // counters of queues that are gone
};

}  // namespace vfs::device
