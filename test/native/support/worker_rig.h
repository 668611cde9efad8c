// WorkerRig: a queue served by a real Worker with real eventfds, and its driver. Several rigs may share a Service.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>

#include "base/sys.h"
#include "device/device.h"
#include "device/worker.h"
#include "support/fake_file_system.h"
#include "support/ring_client.h"

namespace vfs::test {

inline constexpr int kTimeoutMs = 10000;  // a failure, not a measure

inline Status nothing_to_prepare() { return ok_status(); }

// Waits until `condition` holds. False: it did not.
template <typename Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

// What queues share: a file system, its server, the pool and the parking lot.
struct Service {
  explicit Service(unsigned pool_threads = 2) : pool("v_fs:test", pool_threads, &nothing_to_prepare) {
    server.set_canceller(&interrupts);
  }
  FakeFileSystem fs;
  fuse::Server server{fs, fuse::ServerOptions{}};
  device::ThreadPool pool;
  device::ParkingLot lot{"v_fs:test", &nothing_to_prepare};
  device::Interrupts interrupts{pool, lot};
};

class WorkerRig {
 public:
  explicit WorkerRig(Service& service, const DriverOptions& options = {.queue_size = 64})
      : service_(service), ring_(options), client_(ring_.driver) {
    kick_ = make_event();
    call_ = make_event();
  }
  ~WorkerRig() { stop(); }

  FakeDriver& driver() { return ring_.driver; }
  RingClient& client() { return client_; }
  GuestMemory& memory() { return *ring_.memory; }

  void start() { start_with(driver().setup()); }
  // Looks for more before it sleeps, from the next start on.
  void poll(device::Polling polling) { polling_ = polling; }
  // Whether somebody waits for what it serves, from the next start on.
  void set_urgent(bool urgent) { urgent_ = urgent; }
  void start_with(const virtio::QueueSetup& setup, Status (*prepare_thread)() = &nothing_to_prepare) {
    stopped_ = false;
    failure_ = kNone;
    device::Worker::Setup worker_setup{"v_fs:test:0",  setup,          ring_.memory,
                                       copy_of(kick_), copy_of(call_), prepare_thread};
    worker_setup.polling = polling_;
    worker_setup.urgent = urgent_;
    auto started = device::Worker::start(
        std::move(worker_setup), service_.server, service_.pool, service_.lot,
        {[this](Fault fault) { failure_ = static_cast<int>(fault); }, [this] { stopped_ = true; }});
    ASSERT_TRUE(started.ok());
    worker_ = std::move(started).value();
  }
  device::Worker& worker() { return *worker_; }
  virtio::QueueState stop() {
    if (worker_ == nullptr) return {};
    const virtio::QueueState state = worker_->stop();
    EXPECT_TRUE(stopped_);
    worker_.reset();
    return state;
  }

  void kick() { EXPECT_TRUE(sys::eventfd_signal(kick_.get()).ok()); }
  void kick_if_asked() {
    if (driver().needs_kick()) kick();
  }
  // Waits for a call; returns how many there were. 0: none came.
  std::uint64_t wait_for_calls(int timeout_ms = kTimeoutMs) { return wait_on(call_.get(), timeout_ms); }
  static std::uint64_t wait_on(int event, int timeout_ms) {
    pollfd item{event, POLLIN, 0};
    if (::poll(&item, 1, timeout_ms) != 1) return 0;
    std::uint64_t count = 0;
    EXPECT_TRUE(sys::read(event, std::as_writable_bytes(std::span<std::uint64_t, 1>(&count, 1))).ok());
    return count;
  }

  std::uint64_t send(const FuseRequest& request) {
    const std::uint64_t unique = client_.send(request);
    kick_if_asked();
    return unique;
  }
  // The next reply, waiting for the device's calls as a driver does.
  std::optional<RingClient::Answer> take() {
    for (;;) {
      if (auto answer = client_.take(); answer.has_value()) return answer;
      if (wait_for_calls() == 0) return std::nullopt;
    }
  }
  // One request with no others in flight.
  FuseReply call(const FuseRequest& request) {
    const std::uint64_t unique = send(request);
    const auto answer = take();
    EXPECT_TRUE(answer.has_value() && answer->unique == unique) << "no answer, or another's";
    return answer.has_value() ? answer->reply : FuseReply{};
  }
  void begin_session() { ASSERT_EQ(call(init_request()).error(), 0); }

  std::optional<Fault> failure() const {
    const int value = failure_;
    return value == kNone ? std::nullopt : std::optional(static_cast<Fault>(value));
  }
  bool stopped() const { return stopped_; }
  fuse::Counters::Snapshot counters() const {
    fuse::Counters::Snapshot sum;
    worker_->add_to(sum);
    return sum;
  }

  static UniqueFd make_event() {
    auto event = sys::eventfd(0);
    VFS_ASSERT(event.ok());
    return std::move(event).value();
  }
  static UniqueFd copy_of(const UniqueFd& fd) {
    auto copy = sys::duplicate(fd.get());
    VFS_ASSERT(copy.ok());
    return std::move(copy).value();
  }

 private:
  device::Polling polling_;
  bool urgent_ = true;
  static constexpr int kNone = -1;

  Service& service_;
  OwnedRing ring_;
  RingClient client_;
  UniqueFd kick_;
  UniqueFd call_;
  std::atomic<int> failure_{kNone};
  std::atomic<bool> stopped_{false};
  std::unique_ptr<device::Worker> worker_;
};

}  // namespace vfs::test
