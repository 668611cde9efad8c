// When a worker looks for more, and when it calls.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <chrono>

#include "device/worker.h"
#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using test::eventually;
using test::fsync_request;
using test::getattr_request;
using test::Recorded;
using test::Service;
using test::WorkerRig;

TEST(Worker, one_that_looks_needs_no_kick) {
  for (const bool event_idx : {false, true}) {
    Service service;
    WorkerRig rig(service, {.queue_size = 16, .event_idx = event_idx});
    rig.poll({.max = std::chrono::minutes(1)});
    rig.start();
    rig.begin_session();
    for (int i = 0; i < 10; ++i) {
      // The second kind is finished by another thread.
      for (const auto& request : {getattr_request(), fsync_request()}) {
        rig.client().send(request);
        EXPECT_FALSE(rig.driver().needs_kick());
        const auto answer = rig.take();
        ASSERT_TRUE(answer.has_value());
        EXPECT_EQ(answer->reply.error(), 0);
      }
    }
    // It hears of the end at once, too.
    const auto begin = std::chrono::steady_clock::now();
    rig.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  }
}

TEST(Worker, one_that_has_looked_in_vain_asks_for_a_kick) {
  Service service;
  WorkerRig rig(service, {.queue_size = 16, .event_idx = true});
  rig.poll({.max = std::chrono::microseconds(200)});
  rig.start();
  rig.begin_session();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(rig.call(getattr_request()).error(), 0);
    // Longer than it looks.
    ::poll(nullptr, 0, 2);
  }
}

TEST(Worker, one_that_looks_after_bursts_only_sleeps_after_single_chains) {
  Service service;
  WorkerRig rig(service, {.queue_size = 16, .event_idx = true});
  rig.poll({.max = std::chrono::minutes(1), .after_bursts_only = true});
  rig.start();
  rig.begin_session();
  const auto send = [&](int count) {
    for (int i = 0; i < count; ++i) rig.client().send(getattr_request());
    const bool slept = rig.driver().needs_kick();
    if (slept) rig.kick();
    for (int i = 0; i < count; ++i) EXPECT_TRUE(rig.take().has_value());
    return slept;
  };
  // One that comes soon may find it awake.
  EXPECT_TRUE(eventually([&] { return send(1); }));
  EXPECT_TRUE(eventually([&] { return send(1); }));
  send(3);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(send(1));
  rig.stop();
}

TEST(Worker, calls_early_so_that_the_driver_is_awake_when_the_batch_is_done) {
  Service service;
  WorkerRig rig(service, {.queue_size = 64, .event_idx = true});
  rig.start();
  rig.send(test::init_request());
  // The call comes after the reply can be seen: waited for, so that it is not taken for an early one.
  EXPECT_EQ(rig.wait_for_calls(), 1U);
  EXPECT_EQ(rig.take()->reply.error(), 0);
  constexpr int kRequests = 12;
  std::atomic<int> begun{0};
  std::atomic<std::uint64_t> early{0};
  service.fs.before = [&](const Recorded&) {
    // The last one is not served before the driver has been called.
    if (++begun == kRequests) early = rig.wait_for_calls();
    return ok_status();
  };
  for (int i = 0; i < kRequests; ++i) rig.client().send(getattr_request());
  rig.kick();
  EXPECT_TRUE(eventually([&] { return rig.driver().used_index() == kRequests + 1; }));
  EXPECT_EQ(early, 1U);
  // It has not said that it sleeps again.
  EXPECT_EQ(rig.wait_for_calls(20), 0U);
}

}  // namespace
}  // namespace vfs::device
