#include "device/queue_engine.h"

#include <algorithm>
#include <utility>

#include "base/closing.h"
#include "fuse/repeat.h"

namespace vfs::device {

namespace {

// What a request that waits for a lock gets when its queue stops, because it would wait for ever otherwise. Not EINTR,
// which Linux (fuse_setlk) turns into ERESTARTSYS: without a signal for the process that number, 512, would reach the
// program. See docs/decisions/0003-waiting-locks.md.
constexpr Errno kStopped{EAGAIN};

// A ring full of requests that wait has no room for the one that gives up the lock. So some of it is kept free; without
// indirect tables a request for a lock takes three descriptors.
std::uint32_t parked_max(const virtio::QueueSetup& setup) {
  const std::uint32_t requests = setup.indirect ? setup.size : setup.size / 4;
  return requests - (requests + 3) / 4;
}

}  // namespace

QueueEngine::QueueEngine(const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory, fuse::Server& server,
                         ThreadPool* pool, ParkingLot& lot, std::function<void()> wake, Gates gates)
    : queue_(setup, std::move(memory)),
      server_(server),
      pool_(pool),
      lot_(lot),
      gates_(gates),
      parked_max_(parked_max(setup)),
      wake_(std::move(wake)) {}

Result<Unit, Fault> QueueEngine::attach() {
  owner_ = std::this_thread::get_id();
  VFS_CHECK(queue_.attach());
  attached_ = true;
  return Unit{};
}

QueueEngine::Slot& QueueEngine::take_slot(std::uint16_t head) {
  if (free_.empty()) {
    // Bounded by the ring: Virtqueue::pop refuses more requests in flight than it has entries.
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->engine = this;
    free_.reserve(slots_.size());
    free_.push_back(slots_.back().get());
  }
  Slot& slot = *free_.back();
  free_.pop_back();
  slot.head = head;
  slot.epoch = epoch_;
  return slot;
}

void QueueEngine::put_back(Slot& slot) {
  queue_.push_used(slot.head, slot.written);
  free_.push_back(&slot);
  if (slot.epoch != epoch_) release_retired(slot.epoch);
}

void QueueEngine::switch_memory(std::shared_ptr<GuestMemory> memory) {
  {
    const std::lock_guard lock(offer_mutex_);
    offered_ = std::move(memory);
    memory_offered_.store(true, std::memory_order_release);
  }
  wake_();
}

// `popped`: chains that have been taken and are no request yet.
Result<Unit, Fault> QueueEngine::take_offered_memory(std::uint32_t popped) {
  std::shared_ptr<GuestMemory> memory;
  {
    const std::lock_guard lock(offer_mutex_);
    memory = std::exchange(offered_, nullptr);
    memory_offered_.store(false, std::memory_order_relaxed);
  }
  VFS_TRY(std::shared_ptr<GuestMemory> before, queue_.replace_memory(std::move(memory)));
  std::uint32_t users = queue_.in_flight() - popped;
  for (const RetiredMemory& retired : retired_) users -= retired.users;
  if (users > 0) retired_.push_back({epoch_, users, std::move(before)});
  ++epoch_;
  return Unit{};
}

void QueueEngine::release_retired(std::uint32_t epoch) {
  const auto retired =
      std::find_if(retired_.begin(), retired_.end(), [epoch](const auto& each) { return each.epoch == epoch; });
  VFS_ASSERT(retired != retired_.end());
  if (--retired->users == 0) retired_.erase(retired);
}

bool QueueEngine::memory_shrunk() {
  bus_errors_ = BusGuard::hits();
  return queue_.memory().damaged();
}

Result<std::size_t, Fault> QueueEngine::serve(std::size_t limit) {
  const ClosingBurst burst;  // of one FORGET after the other
  std::size_t taken = 0;
  if (memory_offered_.load(std::memory_order_acquire)) VFS_CHECK(take_offered_memory(0));
  while (taken < limit) {
    // What a ring of zeros says is not the driver's word.
    if (BusGuard::hits() != bus_errors_ && memory_shrunk()) return Fault::kMemoryShrunk;
    const auto head = queue_.pop();
    if (!head.ok()) return head.error();
    if (!head.value().has_value()) break;
    ++taken;
    // After the look at the ring: a chain that was offered later than a memory may lie in it.
    if (memory_offered_.load(std::memory_order_acquire)) {
      if (const auto switched = take_offered_memory(1); !switched.ok()) {
        queue_.push_used(*head.value(), 0);
        return switched.error();
      }
    }
    Slot& slot = take_slot(*head.value());
    if (queue_.walk(slot.head, slot.ranges).ok()) {
      begin(slot);
    } else {
      // A malformed chain: nothing in it can be trusted to be a place for an answer.
      counters_.count_dropped();
      slot.written = 0;
      put_back(slot);
    }
    wants_interrupt_ |= queue_.publish();
  }
  return taken;
}

void QueueEngine::begin(Slot& slot) {
  const GuestMemory& memory = queue_.memory();
  slot.request.start(Chain(slot.ranges.reader(memory), slot.ranges.writer(memory), Completion(*this, {&slot})));
  const auto wait = server_.receive(slot.request, counters_);
  if (!wait.has_value()) return;
  const virtio::InFlightTable* table = queue_.in_flight_table();
  // A device before us began it and did not live to say how it ended.
  if (table != nullptr && table->was_begun(slot.head)) return server_.refuse(slot.request, Errno(EIO), counters_);
  if (throttle(slot) || intercept(slot, counters_)) return;
  if (*wait == fuse::Wait::kPark) {
    if (serve_request(slot, false, counters_) == fuse::Progress::kWouldWait) park(slot, counters_);
    return;
  }
  if (pool_ != nullptr && *wait == fuse::Wait::kMay) return offload(slot);
  const bool may_wait = pool_ == nullptr || *wait == fuse::Wait::kNever;
  if (serve_request(slot, may_wait, counters_) == fuse::Progress::kWouldWait) offload(slot);
}

// On whichever thread serves the request. Once it is done the slot may be another request's.
fuse::Progress QueueEngine::serve_request(Slot& slot, bool may_wait, fuse::Counters& counters) {
  const virtio::InFlightTable* table = queue_.in_flight_table();
  if (table == nullptr || fuse::repeatable(slot.request)) return server_.serve(slot.request, may_wait, counters);
  const std::uint16_t head = slot.head;
  table->set_begun(head, true);
  const fuse::Progress progress = server_.serve(slot.request, may_wait, counters);
  if (progress == fuse::Progress::kWouldWait) table->set_begun(head, false);
  return progress;
}

// True: the slot is the throttle's.
bool QueueEngine::throttle(Slot& slot) {
  if (gates_.throttle == nullptr || !gates_.throttle->covers(*slot.request.row())) return false;
  enter_gate(slot);
  if (gates_.throttle->hold(slot, this, pool_ == nullptr)) return true;
  leave_gate(slot);
  return false;
}

// True: the slot is the interceptor's, or has been answered.
bool QueueEngine::intercept(Slot& slot, fuse::Counters& counters) {
  if (gates_.interceptor == nullptr || !gates_.interceptor->covers(slot.request)) return false;
  enter_gate(slot);
  if (gates_.interceptor->take(slot, this, pool_ == nullptr, counters)) return true;
  leave_gate(slot);
  return false;
}

// Before a gate may take the slot: from then on it may be answered at any time.
void QueueEngine::enter_gate(Slot& slot) {
  if (pool_ == nullptr) {
    note_parked(slot);
  } else {
    slot.keep_alive = shared_from_this();
  }
}

void QueueEngine::leave_gate(Slot& slot) {
  slot.keep_alive = nullptr;
  if (std::exchange(slot.parked, false)) parked_.fetch_sub(1, std::memory_order_relaxed);
}

void QueueEngine::note_parked(Slot& slot) {
  if (!std::exchange(slot.parked, true)) parked_.fetch_add(1, std::memory_order_relaxed);
}

void QueueEngine::offload(Slot& slot) {
  slot.keep_alive = shared_from_this();
  pool_->submit(slot);
}

void QueueEngine::park(Slot& slot, fuse::Counters& counters) {
  // As fcntl(2) says of a lock table that is full.
  const bool pumped = pool_ == nullptr;
  const std::uint32_t waiting = pumped ? parked() - at_gates() : parked();
  if (waiting >= parked_max_) return server_.refuse(slot.request, Errno(ENOLCK), counters);
  if (!pumped) slot.keep_alive = shared_from_this();
  note_parked(slot);
  lot_.park(slot, this, pumped);
}

void QueueEngine::retry_parked() {
  lot_.retry(this, counters_);
  if (parked() == 0) return;
  if (gates_.throttle != nullptr) gates_.throttle->retry(this, counters_);
  if (gates_.interceptor != nullptr) gates_.interceptor->retry(this);
}

std::uint32_t QueueEngine::at_gates() const {
  if (parked() == 0) return 0;
  return (gates_.throttle != nullptr ? gates_.throttle->waiting(this) : 0) +
         (gates_.interceptor != nullptr ? gates_.interceptor->waiting(this) : 0);
}

void QueueEngine::settle_at_gates() {
  if (gates_.throttle != nullptr) gates_.throttle->let_go(this, counters_);
  if (gates_.interceptor == nullptr) return;
  gates_.interceptor->hurry(this);
  gates_.interceptor->retry(this);
}

void QueueEngine::abandon_parked() {
  // First: who goes on may come to wait for a lock, or for handlers.
  if (gates_.throttle != nullptr) gates_.throttle->let_go(this, counters_);
  if (parked() > 0) lot_.abandon_all(this, kStopped);
  if (gates_.interceptor == nullptr) return;
  if (pool_ != nullptr) {
    gates_.interceptor->hurry(this);
  } else if (parked() > 0) {
    gates_.interceptor->expire_all(this);
  }
}

void QueueEngine::forget_parked() {
  // From here on a request that is dropped (by its destructor) touches neither ring nor memory.
  forgetting_ = true;
  lot_.forget_all(this);
  if (gates_.throttle != nullptr) gates_.throttle->forget_all(this);
  if (gates_.interceptor != nullptr) gates_.interceptor->forget_all(this);
}

bool QueueEngine::Slot::try_again(fuse::Counters& counters) {
  return engine->serve_request(*this, false, counters) == fuse::Progress::kDone;
}

void QueueEngine::Slot::run(fuse::Counters& counters) {
  // Only what waits for a lock still has to, and then this is as it was.
  if (engine->serve_request(*this, true, counters) != fuse::Progress::kWouldWait) return;
  const std::shared_ptr<QueueEngine> alive = engine->shared_from_this();
  alive->park(*this, counters);
  // An owner that stops may have given up what was parked just before.
  alive->wake_();
}

void QueueEngine::Slot::go_on(fuse::Counters& counters) {
  const std::shared_ptr<QueueEngine> alive = engine->shared_from_this();
  if (!alive->intercept(*this, counters)) return serve_below();
  // The same with what handlers have.
  alive->wake_();
}

void QueueEngine::Slot::serve_below() {
  if (engine->pool_ != nullptr) return engine->offload(*this);
  if (engine->serve_request(*this, true, engine->counters_) == fuse::Progress::kWouldWait) {
    engine->park(*this, engine->counters_);
  }
}

void QueueEngine::Slot::replied(fuse::Request&) {
  if (engine->pool_ != nullptr && std::exchange(parked, false)) {
    engine->parked_.fetch_sub(1, std::memory_order_relaxed);
  }
  engine->gates_.interceptor->replied(*this);
}

void QueueEngine::Slot::abandon(Errno reason, fuse::Counters& counters) {
  engine->server_.refuse(request, reason, counters);
}

void QueueEngine::complete(CompletionToken token, std::uint32_t written, bool) {
  Slot& slot = *static_cast<Slot*>(token.slot);
  if (forgetting_) return;
  slot.written = written;
  if (std::exchange(slot.parked, false)) parked_.fetch_sub(1, std::memory_order_relaxed);
  if (std::this_thread::get_id() == owner_ && slot.keep_alive == nullptr) return put_back(slot);
  // From here on the owner may take the slot, finish, and let go of the engine: this reference outlasts the wake-up.
  const std::shared_ptr<QueueEngine> alive = std::move(slot.keep_alive);
  Slot* newest = completed_.load(std::memory_order_relaxed);
  do {
    slot.next_completed = newest;
  } while (!completed_.compare_exchange_weak(newest, &slot, std::memory_order_release, std::memory_order_relaxed));
  // Only the first of a batch wakes: the owner takes them all.
  if (newest == nullptr) wake_();
}

void QueueEngine::collect() {
  // Newest first; into the ring they go in the order in which they were finished.
  Slot* newest = completed_.exchange(nullptr, std::memory_order_acquire);
  Slot* slot = nullptr;
  while (newest != nullptr) {
    Slot* next = newest->next_completed;
    newest->next_completed = slot;
    slot = newest;
    newest = next;
  }
  while (slot != nullptr) {
    Slot* next = slot->next_completed;
    put_back(*slot);
    slot = next;
  }
}

bool QueueEngine::flush() {
  collect();
  wants_interrupt_ |= queue_.publish();
  return std::exchange(wants_interrupt_, false);
}

}  // namespace vfs::device
