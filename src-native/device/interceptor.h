// Interceptor: where requests are while handlers, code of the application, decide about them: before they are served,
// and again when the file system has answered.
//
// Such a request occupies no thread. It is known by a number, and whoever comes first decides: the handlers, their
// deadline, an INTERRUPT of the guest, the end of the queue or of the device. What comes later finds no such number.
// The guest gets one answer, and what an answer that it does not get would have given it (nodes, handles) is taken
// back.
//
// Handlers are in one JavaScript environment, which is told that there are events, and takes them. Without one, when it
// has ended or has not come yet, what concerns handlers is answered with EIO: nothing passes them by.
//
// Threading: every method from any thread, except where it says "the owner's": of the queue. The observer is told under
// the lock, and must not call back.
// Ownership: shared by the device and by the handlers' environment, which may outlive each other; what it uses of the
// device it uses until close(). Tasks belong to their queues, which wait for them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/thread.h"
#include "device/intercept_plan.h"
#include "device/prepare_thread.h"
#include "fuse/server.h"

namespace vfs::device {

// A request in a queue, as the interceptor needs it.
class InterceptedTask : public fuse::ReplySink {
 public:
  virtual fuse::Request& intercepted() = 0;
  // Has it served, diverted to this sink, where it may wait. Of a pumped queue: on the owner's thread, before it
  // returns.
  virtual void serve_below() = 0;

  std::uint64_t interception = 0;  // the interceptor's

 protected:
  ~InterceptedTask() = default;
};

// What handlers are told, in the order of what happened.
struct InterceptEvent {
  enum class Kind : std::uint8_t {
    kRequest,    // decide about it
    kReply,      // of the file system, to what was passed on
    kAbandoned,  // it is decided; `error` says why
    kForgotten,  // of nodes of the application's own: `nodes`
    kSession,    // the guest knows no node any more
  };
  Kind kind;
  std::uint64_t id = 0;
  int error = 0;
  // kRequest: the rest.
  std::uint64_t plan = 0;  // which one concerned it: what set_plan() has returned
  std::uint32_t sets = 0;
  abi::InHeader header{};
  std::uint64_t init_flags = 0;  // that both sides have
  Places places{};
  std::vector<std::byte> parameters{};
  std::uint32_t data_bytes = 0;
  std::uint32_t room_bytes = 0;  // for the reply
  // kReply: the payload, if it is short; else see reply().
  std::vector<std::byte> payload{};
  std::uint32_t payload_bytes = 0;
  // kForgotten: how often, by node.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> nodes{};
};

class InterceptObserver {
 public:
  virtual void events_waiting() = 0;

 protected:
  ~InterceptObserver() = default;
};

class Interceptor final : public policy::VirtualNodes {
 public:
  // How long handlers may still decide when their queue stops.
  static constexpr std::chrono::milliseconds kGrace{1000};
  // Of what is kept of requests for handlers; more: ENOMEM for the guest.
  static constexpr std::size_t kBytesMax = std::size_t{64} << 20;
  // Payloads up to this come with their event.
  static constexpr std::size_t kPayloadWithEvent = 4096;
  // Nodes of the application's own that have been forgotten and nobody has been told of yet; what a guest forgets
  // beyond that is remembered until its session ends.
  static constexpr std::size_t kForgottenMax = std::size_t{1} << 18;

  struct Setup {
    std::uint32_t data_bytes_max;  // of data that is kept, and of replies that are caught
    std::string thread_name;
    PrepareThread prepare_thread;
    // Told from any thread, under the lock: a pumped queue has something to do.
    std::function<void()> wants_pump;
    // Until somebody attaches handlers, all that could concern any is refused.
    bool awaited = false;
  };
  Interceptor(fuse::Server& server, policy::PolicyFs& policy, Setup setup);
  ~Interceptor();
  Interceptor(const Interceptor&) = delete;
  Interceptor& operator=(const Interceptor&) = delete;

  // --- the queues' side
  // Whether some handler may want it: all that other requests pay.
  bool covers(const fuse::Request& request) const {
    if ((operations_.load(std::memory_order_relaxed) >> fuse::op_slot(request.row()) & 1U) != 0) return true;
    return request.header().nodeid >= first_virtual_.load(std::memory_order_relaxed) && interceptable(*request.row());
  }
  // Takes a request over, or refuses it. False: it concerns no handler. The owner's thread, with its counters.
  bool take(InterceptedTask& task, const void* owner, bool pumped, fuse::Counters& counters);
  // The task's reply has been caught.
  void replied(InterceptedTask& task);
  // The queue stops: deadlines are no further away than kGrace. Idempotent.
  void hurry(const void* owner);
  // For pumped queues, by the owner: does what has been decided; decides what has not been, as after its deadline;
  // lets go of everything without an answer.
  void retry(const void* owner);
  // How many of a queue's are to be decided or, of a pumped one, to be served or answered.
  std::uint32_t waiting(const void* owner) const;
  void expire_all(const void* owner);
  void forget_all(const void* owner);
  // INTERRUPT. False: handlers do not have it.
  bool cancel(std::uint64_t unique);

  // --- the handlers' side
  // EBUSY: there are handlers already. EAGAIN, ENOMEM: no thread. EIO: the device is closed.
  Status attach(InterceptObserver& observer);
  // What they have not decided is refused, and what comes later too, until others are attached.
  void detach(InterceptObserver& observer);
  // Requests that come from now on are judged by this. Returns its number.
  std::uint64_t set_plan(const InterceptPlanSource& plan);
  std::vector<InterceptEvent> take_events();

  struct Changes {
    std::optional<std::vector<std::byte>> parameters;
    std::optional<std::vector<std::byte>> data;
  };
  // All of these: false or nothing, if they have it not to decide about (any more).
  // Passes it on to the file system. Once.
  bool proceed(std::uint64_t id, Changes&& changes);
  bool refuse(std::uint64_t id, Errno error);
  bool answer(std::uint64_t id, std::vector<std::byte> payload);
  // With the reply of the file system as it is. What has not been passed on is.
  bool let_pass(std::uint64_t id);
  // The data that the request carries. From now on it is a copy that counts.
  std::optional<std::vector<std::byte>> data(std::uint64_t id);
  // The payload of the file system's reply.
  std::optional<std::vector<std::byte>> reply(std::uint64_t id) const;

  void virtual_forgotten(std::uint64_t id, std::uint64_t count) override;
  void session_ended() override;

  // Refuses everything, joins. Idempotent.
  void close();
  void add_to(fuse::Counters::Snapshot& sum) const;
  std::size_t size() const;

 private:
  using Clock = std::chrono::steady_clock;

  enum class Stage : std::uint8_t {
    kAsked,    // handlers have it, before it is served
    kToServe,  // of a pumped queue: to be served at the next pump
    kBelow,    // the file system has it
    kReplied,  // handlers have it, and the reply
    kDecided,  // of a pumped queue: to be answered at the next pump
  };
  struct Decision {
    Errno error{0};
    bool as_caught = false;  // the reply of the file system, as it is
    std::vector<std::byte> payload{};
  };
  struct Entry {
    InterceptedTask* task;
    const void* owner;
    bool pumped;
    bool hurried = false;
    Stage stage = Stage::kAsked;
    InterceptPlan::Terms terms;
    Clock::time_point deadline;
    std::chrono::nanoseconds left{0};  // of the deadline, when it was passed on
    std::size_t bytes;
    std::optional<Decision> decision{};

    // Handlers have it, and may decide.
    bool in_hands() const { return stage == Stage::kAsked || stage == Stage::kReplied; }
  };
  using Entries = std::unordered_map<std::uint64_t, Entry>;

  void work();
  // Holding mutex_:
  Status start_thread();
  void tell(InterceptEvent event);
  void set_deadline(Entry& entry, std::chrono::nanoseconds left);
  Entry remove(Entries::iterator at);
  Entries::iterator in_hands(std::uint64_t id);
  // May let go of the lock meanwhile. False: it has been decided already.
  bool decide(std::unique_lock<std::mutex>& lock, Entries::iterator at, Decision decision);
  void pass_on(std::unique_lock<std::mutex>& lock, Entries::iterator at);
  void expire(std::unique_lock<std::mutex>& lock, Entries::iterator at, int reason);
  void refuse_all(std::unique_lock<std::mutex>& lock, int reason);
  bool expire_one(std::unique_lock<std::mutex>& lock);
  // Not holding it:
  void settle(InterceptedTask& task, Decision decision);

  fuse::Server& server_;
  policy::PolicyFs& policy_;
  const Setup setup_;
  std::atomic<std::uint64_t> operations_{0};
  std::atomic<std::uint64_t> first_virtual_{~std::uint64_t{0}};

  mutable std::mutex mutex_;  // guards all below; no request is served or answered while it is held
  std::condition_variable wake_;
  std::shared_ptr<const InterceptPlan> plan_;
  std::uint64_t plan_number_ = 0;
  InterceptObserver* observer_ = nullptr;
  Entries entries_;
  std::uint64_t last_id_ = 0;
  std::size_t bytes_ = 0;
  std::vector<InterceptEvent> events_;
  std::unordered_map<std::uint64_t, std::uint64_t> forgotten_;
  Clock::time_point next_look_ = Clock::time_point::max();
  bool closing_ = false;
  bool usable_ = false;
  bool started_ = false;
  Thread thread_;

  // Held, shared, by whoever decides for the handlers: close() waits for them, because they use the device.
  std::shared_mutex in_use_;
  mutable std::mutex settling_;  // guards the counters; taken after mutex_ has been let go of
  fuse::Counters counters_;
};

}  // namespace vfs::device
