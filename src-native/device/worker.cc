#include "device/worker.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/sys.h"

namespace vfs::device {

namespace {

// Chains taken before the driver is called: so many that a burst costs few interrupts, so few that the first of a burst
// of long requests does not wait for the last.
constexpr std::size_t kBatch = 32;

// A driver that sends so many before we sleep again has several requests under way at once.
constexpr std::size_t kBurstMin = 3;

constexpr std::uint64_t kKick = 0;
constexpr std::uint64_t kWake = 1;
constexpr std::uint64_t kStop = 2;

}  // namespace

Worker::Worker(Setup setup, WorkerEvents events)
    : setup_(std::move(setup)),
      events_(std::move(events)),
      call_may_block_(!sys::is_nonblocking(setup_.call.get())),
      poll_(setup_.polling.max),
      lead_(kBatch) {}

Result<std::unique_ptr<Worker>> Worker::start(Setup setup, fuse::Server& server, ThreadPool& pool, ParkingLot& lot,
                                              WorkerEvents events, Gates gates) {
  std::unique_ptr<Worker> worker(new Worker(std::move(setup), std::move(events)));
  VFS_CHECK(worker->open_descriptors());
  worker->engine_ = std::make_shared<QueueEngine>(
      worker->setup_.queue, worker->setup_.memory, server, &pool, lot,
      [wake = worker->wake_] { static_cast<void>(sys::eventfd_signal(wake->get()).ok()); }, gates);
  VFS_TRY(worker->thread_, Thread::start([raw = worker.get()] { raw->run(); }));
  return worker;
}

Worker::~Worker() {
  // Not stop(): a worker whose start failed has no engine to give a state.
  request_stop();
  thread_.join();
}

Status Worker::open_descriptors() {
  VFS_TRY(UniqueFd wake, sys::eventfd(0));
  wake_ = std::make_shared<UniqueFd>(std::move(wake));
  VFS_TRY(stop_event_, sys::eventfd(0));
  VFS_TRY(epoll_, sys::epoll_create());
  // Edge triggered: each write to the eventfd is an event, so its counter never needs to be read.
  VFS_CHECK(sys::epoll_add(epoll_.get(), setup_.kick.get(), EPOLLIN | EPOLLET, kKick));
  VFS_CHECK(sys::epoll_add(epoll_.get(), wake_->get(), EPOLLIN | EPOLLET, kWake));
  VFS_CHECK(sys::epoll_add(epoll_.get(), stop_event_.get(), EPOLLIN, kStop));
  return Unit{};
}

void Worker::request_stop() {
  if (!stopping_.exchange(true)) static_cast<void>(sys::eventfd_signal(stop_event_.get()).ok());
}

virtio::QueueState Worker::stop() {
  request_stop();
  thread_.join();
  return engine_->state();
}

void Worker::set_call(UniqueFd call) {
  {
    const std::lock_guard lock(call_mutex_);
    setup_.call = std::move(call);
    call_may_block_ = !sys::is_nonblocking(setup_.call.get());
  }
  signal_call();
}

void Worker::signal_call() {
  const std::lock_guard lock(call_mutex_);
  if (!setup_.call.valid()) return;
  // Who has made it blocking and full would keep this thread for ever; the driver has a wake-up waiting anyway.
  if (call_may_block_) return sys::eventfd_signal_if_room(setup_.call.get());
  // A failure (a frontend that closed its end) concerns the frontend alone.
  static_cast<void>(sys::eventfd_signal(setup_.call.get()).ok());
}

void Worker::set_err(UniqueFd err) {
  {
    const std::lock_guard lock(call_mutex_);
    setup_.err = std::move(err);
    if (!broken_) return;
  }
  signal_err();
}

void Worker::signal_err() {
  const std::lock_guard lock(call_mutex_);
  if (setup_.err.valid()) sys::eventfd_signal_if_room(setup_.err.get());
}

void Worker::run() {
  sys::name_thread(setup_.name);
  if (!setup_.urgent) sys::wake_without_haste();
  if (!setup_.prepare_thread().ok()) {
    // Without an identity of its own this thread must not serve anybody.
    fail(Fault::kThreadNotReady);
  } else if (const auto attached = engine_->attach(); !attached.ok()) {
    fail(attached.error());
  } else {
    // The device before us may have been killed between showing what was finished and calling for it. With EVENT_IDX no
    // later completion would make up for that.
    if (setup_.queue.in_flight.has_value()) signal_call();
    while (!stopping_.load(std::memory_order_relaxed) && serve_ring()) wait_for_events();
  }
  finish_in_flight();
  events_.stopped();
}

// Returns how many chains were taken.
Result<std::size_t, Fault> Worker::serve_batch() {
  const std::size_t waiting = engine_->waiting();
  std::size_t first = 0;
  // With more than a batch the driver has something to do while we go on. Without EVENT_IDX it cannot say that it is
  // awake, and would be called a second time. docs/performance.md, "Calling early".
  if (setup_.urgent && setup_.queue.event_idx && waiting > CallLead::kMin && waiting <= kBatch) {
    const auto taken = engine_->serve(lead_.served_before(waiting));
    if (engine_->flush()) signal_call();
    if (!taken.ok()) return taken;
    first = taken.value();
  }
  const auto taken = engine_->serve(kBatch - first);
  const bool called = engine_->flush();
  if (called) signal_call();
  if (!taken.ok()) return taken;
  if (first > 0) lead_.batch_done(called);
  return first + taken.value();
}

// Serves until the ring is empty and the driver has been asked for a kick. False: the ring is broken.
bool Worker::serve_ring() {
  engine_->suppress_kicks();
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (setup_.before_batch != nullptr) setup_.before_batch();
    const auto taken = serve_batch();
    if (!taken.ok()) {
      fail(taken.error());
      return false;
    }
    taken_since_sleep_ += taken.value();
    if (taken.value() == kBatch || look_for_more()) continue;
    if (!engine_->request_kick()) return true;
  }
  return true;
}

// Kicks stay suppressed meanwhile: a driver that finds us looking pays for none.
bool Worker::look_for_more() {
  return polls() && poll_.look([this] { return engine_->has_work() || stopping_.load(std::memory_order_relaxed); });
}

bool Worker::polls() const {
  return poll_.enabled() && (!setup_.polling.after_bursts_only || taken_since_sleep_ >= kBurstMin);
}

void Worker::wait_for_events() {
  const bool polled = polls();
  taken_since_sleep_ = 0;
  const auto asleep = polled ? PollWindow::Clock::now() : PollWindow::Clock::time_point();
  std::array<epoll_event, 3> events;
  // Whatever woke us, the loop looks at everything. An error here is our own bug: the descriptors are ours.
  VFS_ASSERT(sys::epoll_wait(epoll_.get(), events, -1).ok());
  if (polled) poll_.slept(PollWindow::Clock::now() - asleep);
}

// The end of the thread: no chain is taken any more, those that were are answered. After a fault this is also where it
// waits to be stopped.
void Worker::finish_in_flight() {
  static_cast<void>(sys::epoll_remove(epoll_.get(), setup_.kick.get()).ok());
  for (;;) {
    const bool stopping = stopping_.load();
    // Nobody knows when a lock becomes free.
    if (stopping) engine_->abandon_parked();
    if (engine_->attached() && engine_->flush()) signal_call();
    if (stopping && engine_->in_flight() == 0) return;
    // The stop event has done its work once it is seen; left in, it would make this loop spin.
    if (stopping) static_cast<void>(sys::epoll_remove(epoll_.get(), stop_event_.get()).ok());
    wait_for_events();
  }
}

void Worker::fail(Fault fault) {
  {
    const std::lock_guard lock(call_mutex_);
    broken_ = true;
  }
  signal_err();
  events_.failed(fault);
}

}  // namespace vfs::device
