#include "device/queue_engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <utility>

#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using test::eventually;
using test::fsync_request;
using test::getattr_request;
using test::OwnedRing;
using test::RingClient;
using test::Service;

// An engine that the test's thread owns.
struct EngineRig {
  explicit EngineRig(Service& service, bool with_pool = true)
      : engine(std::make_shared<QueueEngine>(ring.driver.setup(), ring.memory, service.server,
                                             with_pool ? &service.pool : nullptr, service.lot, [this] { ++wakes; })) {
    EXPECT_FALSE(engine->attached());
    EXPECT_TRUE(engine->attach().ok());
    EXPECT_TRUE(engine->attached());
  }
  std::size_t serve(std::size_t limit = 100) {
    const auto taken = engine->serve(limit);
    EXPECT_TRUE(taken.ok());
    return taken.ok() ? taken.value() : 0;
  }
  void begin_session() {
    client.send(test::init_request());
    EXPECT_EQ(serve(), 1U);
    EXPECT_TRUE(engine->flush());
    EXPECT_TRUE(client.take().has_value());
  }

  OwnedRing ring{{.queue_size = 64}};
  RingClient client{ring.driver};
  std::atomic<int> wakes{0};
  std::shared_ptr<QueueEngine> engine;
};

TEST(QueueEngine, takes_no_more_than_the_limit) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  for (int i = 0; i < 5; ++i) rig.client.send(getattr_request());
  EXPECT_EQ(rig.serve(2), 2U);
  EXPECT_EQ(service.fs.count("getattr"), 2U);
  EXPECT_EQ(rig.serve(2), 2U);
  EXPECT_EQ(rig.serve(2), 1U);
  EXPECT_EQ(rig.serve(2), 0U);
}

TEST(QueueEngine, what_is_finished_is_shown_at_once_and_the_call_comes_with_flush) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  for (int i = 0; i < 3; ++i) rig.client.send(getattr_request());
  rig.serve();
  EXPECT_EQ(rig.engine->in_flight(), 0U);
  // A driver that looks need not be called to see them.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rig.client.take().has_value());
  EXPECT_TRUE(rig.engine->flush());
  EXPECT_FALSE(rig.engine->flush());
}

TEST(QueueEngine, has_work_while_there_is_something_to_serve_or_to_flush) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  EXPECT_FALSE(rig.engine->has_work());
  rig.client.send(getattr_request());
  EXPECT_TRUE(rig.engine->has_work());
  rig.serve();
  EXPECT_FALSE(rig.engine->has_work());
  rig.client.send(test::fsync_request());
  rig.serve();
  EXPECT_TRUE(test::eventually([&] { return rig.wakes == 1; }));
  EXPECT_TRUE(rig.engine->has_work());
  EXPECT_TRUE(rig.engine->flush());
  EXPECT_FALSE(rig.engine->has_work());
}

// What the file system gives back for a request: a descriptor that nobody else has.
struct GivenBack {
  explicit GivenBack(Service& service, std::string method) : fd(test::WorkerRig::make_event()), number(fd.get()) {
    service.fs.before = [this, method = std::move(method)](const test::Recorded& recorded) {
      if (recorded.method == method) {
        fd.reset();
        was_open = is_open();
      }
      return ok_status();
    };
  }
  bool is_open() const { return ::fcntl(number, F_GETFD) != -1; }

  UniqueFd fd;
  const int number;
  bool was_open = false;  // right after it was given back
};

TEST(QueueEngine, what_is_forgotten_is_closed_when_the_burst_has_been_served) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  const GivenBack given_back(service, "forget");
  rig.client.send(test::FuseRequest(abi::Opcode::kForget, 9).with(abi::ForgetIn{1}));
  rig.serve();
  EXPECT_TRUE(given_back.was_open);
  EXPECT_FALSE(given_back.is_open());
}

TEST(QueueEngine, what_is_released_is_closed_before_the_answer) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  const GivenBack given_back(service, "release");
  rig.client.send(test::FuseRequest(abi::Opcode::kRelease, 9).with(abi::ReleaseIn{}));
  rig.serve();
  EXPECT_FALSE(given_back.was_open);
}

TEST(QueueEngine, completion_of_another_thread_wakes_the_owner_and_waits_for_it) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  rig.client.send(fsync_request());
  rig.serve();
  EXPECT_TRUE(eventually([&] { return rig.wakes == 1; }));
  EXPECT_EQ(rig.engine->in_flight(), 1U) << "only the owner touches the ring";
  EXPECT_TRUE(rig.engine->flush());
  EXPECT_EQ(rig.engine->in_flight(), 0U);
  EXPECT_EQ(rig.client.take()->reply.error(), 0);
}

TEST(QueueEngine, completions_that_pile_up_wake_once) {
  Service service(1);
  EngineRig rig(service);
  rig.begin_session();
  for (int i = 0; i < 8; ++i) rig.client.send(fsync_request());
  EXPECT_EQ(rig.serve(), 8U);
  EXPECT_TRUE(eventually([&] { return service.fs.count("fsync") == 8; }));
  service.pool.close();  // all have completed
  EXPECT_EQ(rig.wakes, 1);
  EXPECT_TRUE(rig.engine->flush());
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(rig.client.take().has_value());
}

TEST(QueueEngine, without_a_pool_everything_is_served_here) {
  Service service;
  EngineRig rig(service, false);
  rig.begin_session();
  rig.client.send(fsync_request());
  rig.serve();
  EXPECT_EQ(rig.engine->in_flight(), 0U);
  EXPECT_EQ(rig.wakes, 0);
}

TEST(QueueEngine, lives_until_its_last_request_has_answered) {
  Service service;
  std::latch gate(1);
  service.fs.before = [&](const test::Recorded& recorded) {
    if (recorded.method == "fsync") gate.wait();
    return ok_status();
  };
  EngineRig rig(service);
  rig.begin_session();
  rig.client.send(fsync_request());
  rig.serve();
  EXPECT_TRUE(eventually([&] { return service.fs.count("fsync") == 1; }));
  const std::weak_ptr<QueueEngine> watch = rig.engine;
  rig.engine.reset();
  EXPECT_FALSE(watch.expired());
  gate.count_down();
  EXPECT_TRUE(eventually([&] { return watch.expired(); }));
  EXPECT_EQ(rig.wakes, 1);
}

TEST(QueueEngine, places_of_requests_are_used_again) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  for (int round = 0; round < 200; ++round) {
    rig.client.send(round % 2 == 0 ? getattr_request() : fsync_request());
    EXPECT_EQ(rig.serve(), 1U);
    EXPECT_TRUE(eventually([&] {
      rig.engine->flush();
      return rig.engine->in_flight() == 0;
    }));
    ASSERT_TRUE(rig.client.take().has_value());
  }
  EXPECT_EQ(rig.ring.driver.free_descriptors(), 64U);
}

TEST(QueueEngine, reply_that_is_dropped_goes_back_empty_and_is_counted) {
  Service service;
  EngineRig rig(service);
  rig.begin_session();
  // A header's worth of request and no room for a reply.
  const auto bytes = getattr_request().unique(2).bytes();
  rig.ring.driver.write(GuestAddress{0x1000}, bytes);
  const auto head = rig.ring.driver.send({test::readable(0x1000, static_cast<std::uint32_t>(bytes.size()))});
  rig.serve();
  EXPECT_TRUE(rig.engine->flush());
  const auto used = rig.ring.driver.take_used();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->id, head);
  EXPECT_EQ(used->len, 0U);
  fuse::Counters::Snapshot sum;
  rig.engine->counters().add_to(sum);
  EXPECT_EQ(sum.dropped, 1U);
}

}  // namespace
}  // namespace vfs::device
