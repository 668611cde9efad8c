#include "device/interceptor.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/sys.h"
#include "fuse/undo.h"

namespace vfs::device {

namespace {

// The sets of handlers that a request concerns; none: it goes on without them.
struct Concern {
  std::uint32_t sets = 0;
  Places places{};
};

// Errors: what a request gets that neither handlers nor the file system can be asked about.
Result<Concern> concern_of(const fuse::Request& request, const InterceptPlan& plan, policy::PolicyFs& policy) {
  const fuse::OpRow& row = *request.row();
  if (plan.is_virtual(request.header().nodeid)) {
    const std::uint32_t sets = plan.concerned_virtual(row);
    if (sets == 0) return Errno(ENOSYS);
    return Concern{sets, {}};
  }
  // As between two mounts.
  if (plan.reaches_virtual(request)) return Errno(EXDEV);
  auto places = places_of(request, policy);
  if (!places.has_value()) return Concern{};
  const std::uint32_t sets = plan.concerned(row, *places);
  return Concern{sets, *std::move(places)};
}

}  // namespace

Interceptor::Interceptor(fuse::Server& server, policy::PolicyFs& policy, Setup setup)
    : server_(server), policy_(policy), setup_(std::move(setup)) {
  policy_.set_virtual_nodes(this);
  set_plan(setup_.awaited ? InterceptPlan::everything() : InterceptPlanSource{});
}

Interceptor::~Interceptor() { close(); }

// --- the queues' side

bool Interceptor::take(InterceptedTask& task, const void* owner, bool pumped, fuse::Counters& counters) {
  fuse::Request& request = task.intercepted();
  const fuse::OpRow& row = *request.row();
  std::unique_lock lock(mutex_);
  const auto plan = plan_;
  const std::uint64_t plan_number = plan_number_;
  lock.unlock();
  auto concern = concern_of(request, *plan, policy_);
  if (!concern.ok()) {
    server_.refuse(request, concern.error(), counters);
    return true;
  }
  const std::uint32_t sets = concern.value().sets;
  if (sets == 0) return false;
  lock.lock();
  if (plan_number_ != plan_number) {
    // Handlers are told in the order of plans.
    lock.unlock();
    return take(task, owner, pumped, counters);
  }
  const ByteSpan parameters = request.parameters();
  const std::size_t room = std::min(request.room_bytes(), setup_.data_bytes_max);
  const std::size_t bytes = parameters.size() + room + request.data_bytes();
  Errno refusal(0);
  // More than can have been agreed on for one WRITE.
  if (request.data_bytes() > setup_.data_bytes_max || asks_beyond_its_room(request)) refusal = Errno(EINVAL);
  if (closing_ || observer_ == nullptr || !usable_) refusal = Errno(EIO);
  // Nothing is kept by the length that a guest claims: its own memory is as long.
  if (bytes > kBytesMax - bytes_) refusal = Errno(ENOMEM);
  // Between two pumps there is no memory to copy from.
  if (pumped && refusal == Errno(0) && row.has_bulk_data) {
    if (const auto kept = request.keep_data(setup_.data_bytes_max); !kept.ok()) refusal = kept.error();
  }
  if (refusal != Errno(0)) {
    lock.unlock();
    server_.refuse(request, refusal, counters);
    return true;
  }
  const std::uint64_t id = ++last_id_;
  task.interception = id;
  bytes_ += bytes;
  Entry& entry = entries_
                     .emplace(id, Entry{.task = &task,
                                        .owner = owner,
                                        .pumped = pumped,
                                        .terms = plan->terms(sets),
                                        .deadline = {},
                                        .bytes = bytes})
                     .first->second;
  set_deadline(entry, entry.terms.deadline);
  tell({.kind = InterceptEvent::Kind::kRequest,
        .id = id,
        .plan = plan_number,
        .sets = sets,
        .header = request.header(),
        .init_flags = server_.call_of(request, true).negotiated.flags,
        .places = std::move(concern).value().places,
        .parameters = std::vector<std::byte>(parameters.begin(), parameters.end()),
        .data_bytes = request.data_bytes(),
        .room_bytes = request.room_bytes()});
  return true;
}

void Interceptor::replied(InterceptedTask& task) {
  std::unique_lock lock(mutex_);
  const auto at = entries_.find(task.interception);
  VFS_ASSERT(at != entries_.end() && at->second.stage == Stage::kBelow);
  Entry& entry = at->second;
  entry.stage = Stage::kReplied;
  if (auto decision = std::exchange(entry.decision, std::nullopt); decision.has_value()) {
    decide(lock, at, *std::move(decision));
    return;
  }
  if (closing_ || observer_ == nullptr) {
    decide(lock, at, Decision{.error = Errno(EIO)});
    return;
  }
  set_deadline(entry, entry.left);
  const auto caught = *task.intercepted().caught();
  const bool with_event = caught.payload.size() <= kPayloadWithEvent;
  tell({.kind = InterceptEvent::Kind::kReply,
        .id = at->first,
        .error = caught.error.value(),
        .payload = with_event ? std::vector<std::byte>(caught.payload.begin(), caught.payload.end())
                              : std::vector<std::byte>(),
        .payload_bytes = static_cast<std::uint32_t>(caught.payload.size())});
}

void Interceptor::hurry(const void* owner) {
  const std::lock_guard lock(mutex_);
  const auto latest = Clock::now() + kGrace;
  for (auto& [id, entry] : entries_) {
    if (entry.owner != owner || std::exchange(entry.hurried, true)) continue;
    entry.left = std::min<std::chrono::nanoseconds>(entry.left, kGrace);
    entry.deadline = std::min(entry.deadline, latest);
    next_look_ = std::min(next_look_, entry.deadline);
  }
  wake_.notify_one();
}

void Interceptor::retry(const void* owner) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto at = std::find_if(entries_.begin(), entries_.end(), [owner](const auto& each) {
      const Entry& entry = each.second;
      return entry.owner == owner && (entry.stage == Stage::kToServe || entry.stage == Stage::kDecided);
    });
    if (at == entries_.end()) return;
    if (at->second.stage == Stage::kToServe) {
      at->second.stage = Stage::kBelow;
      InterceptedTask& task = *at->second.task;
      lock.unlock();
      task.serve_below();
    } else {
      Entry entry = remove(at);
      lock.unlock();
      settle(*entry.task, *std::move(entry.decision));
    }
    lock.lock();
  }
}

std::uint32_t Interceptor::waiting(const void* owner) const {
  const std::lock_guard lock(mutex_);
  const auto count = std::count_if(entries_.begin(), entries_.end(), [owner](const auto& each) {
    return each.second.owner == owner && each.second.stage != Stage::kBelow;
  });
  return static_cast<std::uint32_t>(count);
}

void Interceptor::expire_all(const void* owner) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto at = std::find_if(entries_.begin(), entries_.end(), [owner](const auto& each) {
      const Entry& entry = each.second;
      return entry.owner == owner && entry.in_hands();
    });
    if (at == entries_.end()) break;
    expire(lock, at, EAGAIN);
    if (!lock.owns_lock()) lock.lock();
  }
  lock.unlock();
  retry(owner);
}

void Interceptor::forget_all(const void* owner) {
  const std::lock_guard lock(mutex_);
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto next = std::next(at);
    if (at->second.owner == owner) {
      tell({.kind = InterceptEvent::Kind::kAbandoned, .id = at->first, .error = EIO});
      remove(at);
    }
    at = next;
  }
}

bool Interceptor::cancel(std::uint64_t unique) {
  std::unique_lock lock(mutex_);
  const auto at = std::find_if(entries_.begin(), entries_.end(), [unique](const auto& each) {
    const Entry& entry = each.second;
    return entry.in_hands() && entry.task->intercepted().header().unique == unique;
  });
  if (at == entries_.end()) return false;
  tell({.kind = InterceptEvent::Kind::kAbandoned, .id = at->first, .error = EINTR});
  decide(lock, at, Decision{.error = Errno(EINTR)});
  return true;
}

// --- the handlers' side

Status Interceptor::attach(InterceptObserver& observer) {
  const std::lock_guard lock(mutex_);
  if (closing_) return Errno(EIO);
  if (observer_ != nullptr) return Errno(EBUSY);
  if (!started_) VFS_CHECK(start_thread());
  observer_ = &observer;
  return Unit{};
}

void Interceptor::detach(InterceptObserver& observer) {
  const std::shared_lock used(in_use_);
  std::unique_lock lock(mutex_);
  if (observer_ != &observer) return;
  observer_ = nullptr;
  refuse_all(lock, EIO);
  events_.clear();
  forgotten_.clear();
}

std::uint64_t Interceptor::set_plan(const InterceptPlanSource& source) {
  auto plan = std::make_shared<const InterceptPlan>(source);
  const std::lock_guard lock(mutex_);
  plan_ = std::move(plan);
  operations_.store(plan_->operations(), std::memory_order_relaxed);
  first_virtual_.store(plan_->first_virtual(), std::memory_order_relaxed);
  return ++plan_number_;
}

std::vector<InterceptEvent> Interceptor::take_events() {
  const std::lock_guard lock(mutex_);
  if (!forgotten_.empty()) {
    const auto nodes = std::exchange(forgotten_, {});
    InterceptEvent event{.kind = InterceptEvent::Kind::kForgotten};
    event.nodes.assign(nodes.begin(), nodes.end());
    events_.push_back(std::move(event));
  }
  return std::exchange(events_, {});
}

void Interceptor::virtual_forgotten(std::uint64_t id, std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  if (observer_ == nullptr) return;
  const bool untold = events_.empty() && forgotten_.empty();
  if (forgotten_.size() < kForgottenMax || forgotten_.contains(id)) forgotten_[id] += count;
  if (untold) observer_->events_waiting();
}

void Interceptor::session_ended() {
  const std::lock_guard lock(mutex_);
  forgotten_.clear();
  tell({.kind = InterceptEvent::Kind::kSession});
}

bool Interceptor::proceed(std::uint64_t id, Changes&& changes) {
  const std::shared_lock used(in_use_);
  std::unique_lock lock(mutex_);
  const auto at = in_hands(id);
  if (at == entries_.end() || at->second.stage != Stage::kAsked) return false;
  fuse::Request& request = at->second.task->intercepted();
  if (changes.parameters.has_value()) request.replace_parameters(*changes.parameters);
  if (changes.data.has_value()) request.replace_data(std::move(*changes.data));
  pass_on(lock, at);
  return true;
}

bool Interceptor::refuse(std::uint64_t id, Errno error) {
  const std::shared_lock used(in_use_);
  std::unique_lock lock(mutex_);
  const auto at = entries_.find(id);
  if (at == entries_.end()) return false;
  return decide(lock, at, Decision{.error = error});
}

bool Interceptor::answer(std::uint64_t id, std::vector<std::byte> payload) {
  const std::shared_lock used(in_use_);
  std::unique_lock lock(mutex_);
  const auto at = entries_.find(id);
  if (at == entries_.end()) return false;
  return decide(lock, at, Decision{.payload = std::move(payload)});
}

bool Interceptor::let_pass(std::uint64_t id) {
  const std::shared_lock used(in_use_);
  std::unique_lock lock(mutex_);
  const auto at = entries_.find(id);
  if (at == entries_.end()) return false;
  if (at->second.stage == Stage::kAsked) {
    at->second.decision = Decision{.as_caught = true};
    pass_on(lock, at);
    return true;
  }
  return decide(lock, at, Decision{.as_caught = true});
}

std::optional<std::vector<std::byte>> Interceptor::data(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto at = in_hands(id);
  if (at == entries_.end()) return std::nullopt;
  const auto kept = at->second.task->intercepted().keep_data(setup_.data_bytes_max);
  if (!kept.ok()) return std::nullopt;
  return std::vector<std::byte>(kept.value().begin(), kept.value().end());
}

std::optional<std::vector<std::byte>> Interceptor::reply(std::uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(id);
  if (at == entries_.end() || at->second.stage != Stage::kReplied) return std::nullopt;
  const auto caught = *at->second.task->intercepted().caught();
  return std::vector<std::byte>(caught.payload.begin(), caught.payload.end());
}

void Interceptor::close() {
  {
    std::unique_lock lock(mutex_);
    closing_ = true;
    observer_ = nullptr;
    refuse_all(lock, EIO);
  }
  wake_.notify_all();
  thread_.join();
  const std::unique_lock unused(in_use_);
}

void Interceptor::add_to(fuse::Counters::Snapshot& sum) const {
  const std::lock_guard lock(settling_);
  counters_.add_to(sum);
}

std::size_t Interceptor::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

// --- holding the lock

Status Interceptor::start_thread() {
  VFS_TRY(thread_, Thread::start([this] { work(); }));
  started_ = true;
  usable_ = true;
  return Unit{};
}

void Interceptor::tell(InterceptEvent event) {
  if (observer_ == nullptr) return;
  const bool untold = events_.empty() && forgotten_.empty();
  events_.push_back(std::move(event));
  if (untold) observer_->events_waiting();
}

void Interceptor::set_deadline(Entry& entry, std::chrono::nanoseconds left) {
  entry.left = entry.hurried ? std::min<std::chrono::nanoseconds>(left, kGrace) : left;
  entry.deadline = Clock::now() + entry.left;
  if (entry.deadline >= next_look_) return;
  next_look_ = entry.deadline;
  wake_.notify_one();
}

Interceptor::Entry Interceptor::remove(Entries::iterator at) {
  Entry entry = std::move(at->second);
  bytes_ -= entry.bytes;
  entries_.erase(at);
  return entry;
}

Interceptor::Entries::iterator Interceptor::in_hands(std::uint64_t id) {
  const auto at = entries_.find(id);
  return at != entries_.end() && at->second.in_hands() ? at : entries_.end();
}

bool Interceptor::decide(std::unique_lock<std::mutex>& lock, Entries::iterator at, Decision decision) {
  Entry& entry = at->second;
  // The first word counts; and what the file system has must come back before anybody answers.
  if (entry.decision.has_value()) return false;
  if (!entry.in_hands()) {
    entry.decision = std::move(decision);
    return true;
  }
  if (entry.pumped) {
    entry.decision = std::move(decision);
    entry.stage = Stage::kDecided;
    setup_.wants_pump();
    return true;
  }
  InterceptedTask& task = *remove(at).task;
  lock.unlock();
  settle(task, std::move(decision));
  return true;
}

void Interceptor::pass_on(std::unique_lock<std::mutex>& lock, Entries::iterator at) {
  Entry& entry = at->second;
  entry.left = std::max<std::chrono::nanoseconds>(entry.deadline - Clock::now(), std::chrono::nanoseconds(0));
  InterceptedTask& task = *entry.task;
  task.intercepted().divert(task, setup_.data_bytes_max);
  entry.stage = entry.pumped ? Stage::kToServe : Stage::kBelow;
  if (entry.pumped) return setup_.wants_pump();
  lock.unlock();
  task.serve_below();
}

// The handlers have had their time.
void Interceptor::expire(std::unique_lock<std::mutex>& lock, Entries::iterator at, int reason) {
  Entry& entry = at->second;
  tell({.kind = InterceptEvent::Kind::kAbandoned, .id = at->first, .error = reason});
  if (entry.terms.verdict != Errno(0)) {
    decide(lock, at, Decision{.error = entry.terms.verdict});
    return;
  }
  if (entry.stage == Stage::kReplied) {
    decide(lock, at, Decision{.as_caught = true});
    return;
  }
  entry.decision = Decision{.as_caught = true};
  pass_on(lock, at);
}

void Interceptor::refuse_all(std::unique_lock<std::mutex>& lock, int reason) {
  for (;;) {
    const auto at =
        std::find_if(entries_.begin(), entries_.end(), [](const auto& each) { return each.second.in_hands(); });
    if (at == entries_.end()) return;
    decide(lock, at, Decision{.error = Errno(reason)});
    if (!lock.owns_lock()) lock.lock();
  }
}

// True: there was one.
bool Interceptor::expire_one(std::unique_lock<std::mutex>& lock) {
  const auto now = Clock::now();
  next_look_ = Clock::time_point::max();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    const Entry& entry = at->second;
    if (!entry.in_hands()) continue;
    if (entry.deadline <= now) {
      expire(lock, at, ETIMEDOUT);
      if (!lock.owns_lock()) lock.lock();
      return true;
    }
    next_look_ = std::min(next_look_, entry.deadline);
  }
  return false;
}

void Interceptor::work() {
  constexpr std::string_view kSuffix = ":h";
  sys::name_thread(setup_.thread_name.substr(0, 15 - kSuffix.size()).append(kSuffix));
  const Status ready = setup_.prepare_thread();
  std::unique_lock lock(mutex_);
  if (!ready.ok()) {
    usable_ = false;
    return refuse_all(lock, EIO);
  }
  while (!closing_) {
    if (expire_one(lock)) continue;
    if (next_look_ == Clock::time_point::max()) {
      wake_.wait(lock);
    } else {
      wake_.wait_until(lock, next_look_);
    }
  }
}

// --- without it

void Interceptor::settle(InterceptedTask& task, Decision decision) {
  fuse::Request& request = task.intercepted();
  const auto caught = request.caught();
  const bool succeeded = caught.has_value() && caught->error == Errno(0);
  // Nobody has passed it on, and now there is no time to.
  if (decision.as_caught && !caught.has_value()) decision = Decision{.error = Errno(EIO)};
  if (decision.as_caught && !succeeded) decision = Decision{.error = caught->error};
  if (succeeded && !decision.as_caught) {
    fuse::take_back(server_.file_system(), server_.call_of(request, true), *request.row(), caught->payload,
                    decision.error == Errno(0) ? ByteSpan(decision.payload) : ByteSpan());
  }
  const std::lock_guard lock(settling_);
  if (decision.error != Errno(0)) return server_.refuse(request, decision.error, counters_);
  server_.answer(request, decision.as_caught ? caught->payload : ByteSpan(decision.payload), counters_);
}

}  // namespace vfs::device
