// QueueEngine: a virtqueue and a FUSE server joined. It takes chains, has them served here or in the pool, and puts
// what is finished back into the ring. Who calls it, a thread that waits on a kick or a pump, is not its business.
//
// Threading: one owner thread calls everything but complete(), which any thread may. Completions from other threads
// are collected without a lock and put into the ring by the owner, which alone touches it.
// Ownership: shared, because a request that is served elsewhere keeps its engine alive until it has answered.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/completion.h"
#include "device/interceptor.h"
#include "device/parking_lot.h"
#include "device/thread_pool.h"
#include "device/throttle.h"
#include "fuse/server.h"
#include "virtio/virtqueue.h"

namespace vfs::device {

// What a request passes before it is served. Null: there is none.
struct Gates {
  Throttle* throttle = nullptr;
  Interceptor* interceptor = nullptr;
};

class QueueEngine final : public CompletionSink, public std::enable_shared_from_this<QueueEngine> {
 public:
  // `pool` null: everything is served by the owner, waiting or not (pumped queues). `wake` is called, from any thread,
  // when completions of other threads wait for the owner.
  QueueEngine(const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory, fuse::Server& server,
              ThreadPool* pool, ParkingLot& lot, std::function<void()> wake, Gates gates = {});

  // The calling thread is the owner from now on. See Virtqueue::attach.
  Result<Unit, Fault> attach();
  bool attached() const { return attached_; }

  // From any thread: chains that the driver offers from now on are in another memory, which has the ring at the same
  // place. Those in flight keep theirs. The owner is woken, so that it lets go of the old one.
  void switch_memory(std::shared_ptr<GuestMemory> memory);
  void set_used_log(std::optional<GuestAddress> address) { queue_.set_used_log(address); }

  // How many chains wait to be taken.
  std::size_t waiting() const { return queue_.available(); }
  // Whether there is something for serve() or flush() to do.
  bool has_work() const {
    return queue_.available() != 0 || completed_.load(std::memory_order_relaxed) != nullptr ||
           memory_offered_.load(std::memory_order_relaxed);
  }

  // Takes and serves up to `limit` chains. Returns how many were taken. What is finished is shown to the driver at
  // once, which may be looking; whether it wants an interrupt, flush() says.
  Result<std::size_t, Fault> serve(std::size_t limit);
  // Collects completions and shows the driver what is finished. True: the driver wants an interrupt, for this or for
  // what serve() has shown since the last flush().
  bool flush();

  // Requests in the parking lot, and of a pumped queue those at its gates: that wait for their turn, or that handlers
  // decide about. retry_parked() tries those of a pumped queue again. abandon_parked() gives them up, because the queue
  // stops; the last of them may come back a little later. forget_parked() lets go of a pumped queue's, whose memory is
  // not there to answer in.
  std::uint32_t parked() const { return parked_.load(std::memory_order_relaxed); }
  void retry_parked();
  // Of these, those at its gates. settle_at_gates() ends the wait for a turn, and gives handlers no more than
  // Interceptor::kGrace.
  std::uint32_t at_gates() const;
  void settle_at_gates();
  void abandon_parked();
  void forget_parked();

  void suppress_kicks() { queue_.suppress_kicks(); }
  bool request_kick() { return queue_.request_kick(); }

  std::uint32_t in_flight() const { return queue_.in_flight(); }
  virtio::QueueState state() const { return queue_.state(); }
  GuestMemory& memory() { return queue_.memory(); }
  const fuse::Counters& counters() const { return counters_; }

  void complete(CompletionToken token, std::uint32_t written, bool answered) override;

 private:
  // A request's place, from being taken to being back in the ring.
  struct Slot final : public PoolTask, public ParkedTask, public ThrottledTask, public InterceptedTask {
    void run(fuse::Counters& counters) override;
    bool try_again(fuse::Counters& counters) override;
    void abandon(Errno reason, fuse::Counters& counters) override;
    std::uint64_t unique() const override { return request.header().unique; }
    std::uint64_t node() const override { return request.header().nodeid; }
    fuse::Request& throttled() override { return request; }
    void go_on(fuse::Counters& counters) override;
    fuse::Request& intercepted() override { return request; }
    void serve_below() override;
    void replied(fuse::Request& request) override;

    QueueEngine* engine = nullptr;
    std::shared_ptr<QueueEngine> keep_alive;  // while the request is with another thread
    fuse::Request request;
    virtio::ChainRanges ranges;
    std::uint32_t written = 0;
    std::uint16_t head = 0;
    std::uint32_t epoch = 0;  // which memory the chain is in
    bool parked = false;
    Slot* next_completed = nullptr;
  };

  // A memory that was replaced while requests used it.
  struct RetiredMemory {
    std::uint32_t epoch;
    std::uint32_t users;
    std::shared_ptr<GuestMemory> memory;
  };

  Slot& take_slot(std::uint16_t head);
  Result<Unit, Fault> take_offered_memory(std::uint32_t popped);
  void release_retired(std::uint32_t epoch);
  bool memory_shrunk();
  fuse::Progress serve_request(Slot& slot, bool may_wait, fuse::Counters& counters);
  void begin(Slot& slot);
  bool throttle(Slot& slot);
  bool intercept(Slot& slot, fuse::Counters& counters);
  void enter_gate(Slot& slot);
  void leave_gate(Slot& slot);
  void offload(Slot& slot);
  void park(Slot& slot, fuse::Counters& counters);
  void note_parked(Slot& slot);
  void put_back(Slot& slot);
  void collect();

  virtio::Virtqueue queue_;
  fuse::Server& server_;
  ThreadPool* const pool_;
  ParkingLot& lot_;
  const Gates gates_;
  const std::uint32_t parked_max_;
  const std::function<void()> wake_;
  std::thread::id owner_;
  bool attached_ = false;
  bool forgetting_ = false;
  bool wants_interrupt_ = false;
  fuse::Counters counters_;  // of the owner
  std::atomic<std::uint32_t> parked_{0};
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> free_;
  std::atomic<Slot*> completed_{nullptr};  // finished by other threads, newest first

  std::mutex offer_mutex_;  // guards offered_; nothing else is taken while it is held
  std::shared_ptr<GuestMemory> offered_;
  std::atomic<bool> memory_offered_{false};
  std::uint32_t epoch_ = 0;
  std::vector<RetiredMemory> retired_;  // never more than there are requests in flight
  std::uint64_t bus_errors_ = 0;        // in the process, when our memory was last looked at
};

}  // namespace vfs::device
