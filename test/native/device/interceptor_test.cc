// Who decides about a request that handlers have: the first, and once; and what a reply would have given is taken back.
#include "device/interceptor.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "policy/policy_fixture.h"
#include "support/fake_file_system.h"
#include "support/fuse_client.h"
#include "support/lone_request.h"

namespace vfs::device {
namespace {

using abi::Opcode;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseRequest;
using Kind = InterceptEvent::Kind;

// A request as a queue has it, served on the thread that says so.
class Task final : public InterceptedTask, public test::LoneRequest {
 public:
  Task(fuse::Server& server, Interceptor& interceptor, const FuseRequest& request, std::uint32_t room = 4096)
      : LoneRequest(server, request, room), interceptor_(interceptor) {}

  bool covered() { return interceptor_.covers(request()); }
  bool taken(bool pumped = false) { return interceptor_.take(*this, this, pumped, counters()); }
  fuse::Request& intercepted() override { return request(); }
  void serve_below() override {
    if (before_serving) before_serving();
    serve();
  }
  void replied(fuse::Request&) override { interceptor_.replied(*this); }

  std::function<void()> before_serving;

 private:
  Interceptor& interceptor_;
};

constexpr std::uint64_t kOwn = policy::kFirstVirtualNode + 5;

FuseRequest forget(std::uint64_t node) {
  FuseRequest request(Opcode::kForget, node);
  return request.unique(6).with(abi::ForgetIn{1});
}

class Observer final : public InterceptObserver {
 public:
  void events_waiting() override { ++told; }
  std::atomic<int> told{0};
};

HandlerSetSource set_of(const std::vector<Opcode>& opcodes, std::chrono::milliseconds deadline = std::chrono::hours(1),
                        Errno verdict = Errno(ETIMEDOUT)) {
  HandlerSetSource set;
  for (const Opcode opcode : opcodes) set.opcodes.push_back(static_cast<std::uint32_t>(opcode));
  set.everywhere = true;
  set.deadline = deadline;
  set.verdict = verdict;
  return set;
}

class InterceptorTest : public ::testing::Test {
 protected:
  InterceptorTest() {
    client_.begin_session();
    fs_.entry.nodeid = 7;
    fs_.opened.fh = 42;
    EXPECT_TRUE(interceptor_.attach(observer_).ok());
  }

  std::unique_ptr<Task> task(const FuseRequest& request) {
    return std::make_unique<Task>(server_, interceptor_, request);
  }
  std::unique_ptr<Task> mkdir() {
    FuseRequest request(Opcode::kMkdir);
    return task(request.unique(99).with(abi::MkdirIn{0755, 0}).name("new"));
  }
  std::unique_ptr<Task> open() { return task(FuseRequest(Opcode::kOpen).unique(100).with(abi::OpenIn{0, 0})); }
  void plan(HandlerSetSource set) { interceptor_.set_plan({.sets = {std::move(set)}}); }
  std::uint64_t only_id() {
    const auto events = interceptor_.take_events();
    EXPECT_EQ(events.size(), 1U);
    return events.at(0).id;
  }

  FakeFileSystem fs_;
  policy::PolicyFs policy_{fs_, policy::PolicyOptions{.policy = {}}};
  fuse::Server server_{policy_, fuse::ServerOptions{}};
  FuseClient client_{server_};
  int pumps_wanted_ = 0;
  Interceptor interceptor_{server_, policy_,
                           Interceptor::Setup{.data_bytes_max = 1U << 20,
                                              .thread_name = "test",
                                              .prepare_thread = [] { return ok_status(); },
                                              .wants_pump = [this] { ++pumps_wanted_; }}};
  Observer observer_;
};

TEST_F(InterceptorTest, only_operations_of_the_plan_are_covered) {
  plan(set_of({Opcode::kOpen, Opcode::kForget, Opcode::kInit}));
  EXPECT_TRUE(open()->covered());
  EXPECT_FALSE(mkdir()->covered());
  // What nothing waits for, and the session itself, cannot be asked about.
  EXPECT_FALSE(task(forget(1))->covered());
  EXPECT_FALSE(task(test::init_request())->covered());
}

TEST_F(InterceptorTest, nodes_of_the_applications_own_are_asked_about_and_no_others) {
  InterceptPlanSource source{.sets = {set_of({Opcode::kGetattr, Opcode::kRename})}, .virtual_set = 0};
  source.sets[0].everywhere = false;
  source.sets[0].patterns = {test::pattern("mounted")};
  interceptor_.set_plan(source);
  auto theirs = task(test::getattr_request(kOwn));
  EXPECT_TRUE(theirs->covered());
  ASSERT_TRUE(theirs->taken());
  EXPECT_EQ(interceptor_.take_events().at(0).sets, 1U);
  // Of the root of the share, which no pattern is about.
  EXPECT_FALSE(task(test::getattr_request())->taken());
  // Never asked about: it would have to be known what it means.
  auto unknown = task(FuseRequest(Opcode::kOpen, kOwn).unique(7).with(abi::OpenIn{0, 0}));
  EXPECT_TRUE(unknown->covered());
  EXPECT_TRUE(unknown->taken());
  EXPECT_EQ(unknown->error(), ENOSYS);
  EXPECT_FALSE(task(forget(kOwn))->covered());
  interceptor_.close();
}

TEST_F(InterceptorTest, between_the_share_and_the_applications_own_is_a_border) {
  InterceptPlanSource source{.sets = {set_of({Opcode::kGetattr})}, .virtual_set = 0};
  source.sets[0].everywhere = false;
  source.sets[0].patterns = {test::pattern("mounted")};
  interceptor_.set_plan(source);
  const auto refused = [&](FuseRequest request) {
    auto asked = task(request.unique(8));
    EXPECT_TRUE(asked->covered());
    EXPECT_TRUE(asked->taken());
    return asked->error();
  };
  EXPECT_EQ(refused(FuseRequest(Opcode::kRename).with(abi::RenameIn{kOwn}).name("a").name("b")), EXDEV);
  EXPECT_EQ(refused(FuseRequest(Opcode::kRename2).with(abi::Rename2In{kOwn, 0, 0}).name("a").name("b")), EXDEV);
  EXPECT_EQ(refused(FuseRequest(Opcode::kLink).with(abi::LinkIn{kOwn}).name("a")), EXDEV);
  abi::CopyFileRangeIn copy{};
  copy.nodeid_out = kOwn;
  EXPECT_EQ(refused(FuseRequest(Opcode::kCopyFileRange).with(copy)), EXDEV);
  EXPECT_FALSE(task(FuseRequest(Opcode::kRename).unique(9).with(abi::RenameIn{1}).name("a").name("b"))->taken());
}

TEST_F(InterceptorTest, where_the_share_is_the_applications_own_so_is_its_root) {
  interceptor_.set_plan({.sets = {set_of({Opcode::kGetattr})}, .virtual_set = 0, .virtual_root = true});
  auto root = task(test::getattr_request());
  EXPECT_TRUE(root->covered());
  EXPECT_TRUE(root->taken());
  interceptor_.close();
}

TEST_F(InterceptorTest, what_is_forgotten_of_the_applications_own_is_told_in_sum) {
  interceptor_.set_plan({.sets = {set_of({Opcode::kGetattr})}, .virtual_set = 0});
  const int told = observer_.told;
  const fuse::Call call{};
  policy_.forget(call, kOwn, 2);
  policy_.forget(call, kOwn, 3);
  EXPECT_EQ(observer_.told, told + 1);
  const auto events = interceptor_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, Kind::kForgotten);
  EXPECT_EQ(events[0].nodes, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{kOwn, 5}}));
  // With the session everything is.
  policy_.forget(call, kOwn, 1);
  policy_.destroy();
  const auto ended = interceptor_.take_events();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].kind, Kind::kSession);
  EXPECT_EQ(fs_.count("forget"), 0U);
}

TEST_F(InterceptorTest, a_guest_cannot_fill_memory_with_what_it_forgets) {
  const fuse::Call call{};
  for (std::uint64_t i = 0; i < Interceptor::kForgottenMax + 10; ++i) policy_.forget(call, kOwn + i, 1);
  policy_.forget(call, kOwn, 1);
  const auto events = interceptor_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].nodes.size(), Interceptor::kForgottenMax);
}

TEST_F(InterceptorTest, paths_choose_and_a_name_may_be_a_directory) {
  HandlerSetSource set = set_of({Opcode::kMkdir, Opcode::kUnlink, Opcode::kLookup});
  set.everywhere = false;
  set.patterns = {test::pattern("new/")};
  plan(std::move(set));
  auto asked = mkdir();
  EXPECT_TRUE(asked->taken());
  auto looked = task(FuseRequest(Opcode::kLookup).unique(3).name("new"));
  EXPECT_TRUE(looked->taken());
  auto removed = task(FuseRequest(Opcode::kUnlink).unique(4).name("new"));
  EXPECT_FALSE(removed->taken());
  auto other = task(FuseRequest(Opcode::kLookup).unique(5).name("old"));
  EXPECT_FALSE(other->taken());
  interceptor_.close();
}

TEST_F(InterceptorTest, passed_on_and_answered_as_the_file_system_says) {
  plan(set_of({Opcode::kMkdir}));
  auto request = mkdir();
  ASSERT_TRUE(request->taken());
  const auto events = interceptor_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].places.at.path, "/new");
  EXPECT_FALSE(request->is_answered());
  ASSERT_TRUE(interceptor_.proceed(events[0].id, {}));
  EXPECT_FALSE(request->is_answered());
  const auto replies = interceptor_.take_events();
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].kind, Kind::kReply);
  EXPECT_EQ(replies[0].payload.size(), sizeof(abi::EntryOut));
  EXPECT_FALSE(interceptor_.proceed(events[0].id, {}));
  ASSERT_TRUE(interceptor_.let_pass(events[0].id));
  EXPECT_EQ(request->error(), 0);
  EXPECT_EQ(request->payload<abi::EntryOut>().nodeid, 7U);
  EXPECT_FALSE(interceptor_.let_pass(events[0].id));
  EXPECT_EQ(interceptor_.size(), 0U);
  EXPECT_EQ(fs_.count("forget"), 0U);
}

TEST_F(InterceptorTest, other_parameters_are_what_the_file_system_sees) {
  plan(set_of({Opcode::kMkdir}));
  auto request = mkdir();
  ASSERT_TRUE(request->taken());
  FuseRequest other(Opcode::kMkdir);
  const std::vector<std::byte> whole = other.with(abi::MkdirIn{0700, 0}).name("other").bytes();
  Interceptor::Changes changes;
  changes.parameters = std::vector<std::byte>(whole.begin() + sizeof(abi::InHeader), whole.end());
  ASSERT_TRUE(interceptor_.proceed(only_id(), std::move(changes)));
  EXPECT_EQ(fs_.last().names, std::vector<std::string>{"other"});
  EXPECT_EQ(fs_.last().as<abi::MkdirIn>().mode, 0700U);
  interceptor_.close();
}

TEST_F(InterceptorTest, a_refusal_after_success_gives_handles_and_nodes_back) {
  plan(set_of({Opcode::kOpen, Opcode::kMkdir}));
  auto opened = open();
  auto made = mkdir();
  ASSERT_TRUE(opened->taken());
  ASSERT_TRUE(made->taken());
  for (const auto& event : interceptor_.take_events()) {
    ASSERT_TRUE(interceptor_.proceed(event.id, {}));
    ASSERT_TRUE(interceptor_.refuse(event.id, Errno(EPERM)));
  }
  EXPECT_EQ(opened->error(), EPERM);
  EXPECT_EQ(opened->written(), sizeof(abi::OutHeader));
  EXPECT_EQ(made->error(), EPERM);
  EXPECT_EQ(fs_.count("release"), 1U);
  EXPECT_EQ(fs_.count("forget"), 1U);
}

TEST_F(InterceptorTest, what_is_decided_while_the_file_system_has_it_holds_when_that_answers) {
  plan(set_of({Opcode::kOpen}));
  auto request = open();
  ASSERT_TRUE(request->taken());
  const std::uint64_t id = only_id();
  request->before_serving = [&] {
    EXPECT_TRUE(interceptor_.refuse(id, Errno(EXDEV)));
    // The first word counts.
    EXPECT_FALSE(interceptor_.refuse(id, Errno(ENOSPC)));
    EXPECT_FALSE(request->is_answered());
  };
  ASSERT_TRUE(interceptor_.proceed(id, {}));
  EXPECT_EQ(request->error(), EXDEV);
  EXPECT_EQ(fs_.count("release"), 1U);
}

TEST_F(InterceptorTest, an_answer_that_is_too_short_is_eio) {
  plan(set_of({Opcode::kOpen}));
  auto request = open();
  ASSERT_TRUE(request->taken());
  ASSERT_TRUE(interceptor_.answer(only_id(), std::vector<std::byte>(sizeof(abi::OpenOut) - 1)));
  EXPECT_EQ(request->error(), EIO);
}

TEST_F(InterceptorTest, the_deadline_decides_when_nobody_does) {
  plan(set_of({Opcode::kMkdir}, std::chrono::milliseconds(5), Errno(EACCES)));
  auto refused = mkdir();
  ASSERT_TRUE(refused->taken());
  EXPECT_EQ(refused->error(), EACCES);
  EXPECT_EQ(fs_.count("mkdir"), 0U);
  plan(set_of({Opcode::kMkdir}, std::chrono::milliseconds(5), Errno(0)));
  auto passed = mkdir();
  ASSERT_TRUE(passed->taken());
  EXPECT_EQ(passed->error(), 0);
  EXPECT_EQ(fs_.count("mkdir"), 1U);
}

TEST_F(InterceptorTest, the_time_below_is_not_counted) {
  plan(set_of({Opcode::kMkdir}, std::chrono::milliseconds(300), Errno(EACCES)));
  auto request = mkdir();
  ASSERT_TRUE(request->taken());
  const std::uint64_t id = only_id();
  request->before_serving = [] { std::this_thread::sleep_for(std::chrono::milliseconds(600)); };
  ASSERT_TRUE(interceptor_.proceed(id, {}));
  EXPECT_TRUE(interceptor_.let_pass(id));
  EXPECT_EQ(request->error(), 0);
}

TEST_F(InterceptorTest, an_interrupt_ends_what_handlers_have_and_nothing_else) {
  plan(set_of({Opcode::kMkdir}));
  auto request = mkdir();
  ASSERT_TRUE(request->taken());
  EXPECT_FALSE(interceptor_.cancel(98));
  EXPECT_TRUE(interceptor_.cancel(99));
  EXPECT_EQ(request->error(), EINTR);
  EXPECT_FALSE(interceptor_.cancel(99));
}

TEST_F(InterceptorTest, without_handlers_nothing_passes_them_by) {
  plan(set_of({Opcode::kMkdir}));
  auto held = mkdir();
  ASSERT_TRUE(held->taken());
  interceptor_.detach(observer_);
  EXPECT_EQ(held->error(), EIO);
  auto later = mkdir();
  ASSERT_TRUE(later->taken());
  EXPECT_EQ(later->error(), EIO);
  EXPECT_TRUE(interceptor_.attach(observer_).ok());
  Observer another;
  EXPECT_EQ(interceptor_.attach(another).error(), Errno(EBUSY));
  interceptor_.close();
  EXPECT_EQ(interceptor_.attach(another).error(), Errno(EIO));
  EXPECT_EQ(fs_.count("mkdir"), 0U);
}

TEST_F(InterceptorTest, a_pumped_queue_does_on_its_own_thread_what_was_decided) {
  plan(set_of({Opcode::kOpen}));
  auto request = open();
  ASSERT_TRUE(request->taken(true));
  const std::uint64_t id = only_id();
  ASSERT_TRUE(interceptor_.proceed(id, {}));
  EXPECT_EQ(fs_.count("open"), 0U);
  interceptor_.retry(request.get());
  EXPECT_EQ(fs_.count("open"), 1U);
  ASSERT_TRUE(interceptor_.let_pass(id));
  EXPECT_FALSE(request->is_answered());
  EXPECT_EQ(interceptor_.waiting(request.get()), 1U);
  interceptor_.retry(request.get());
  EXPECT_EQ(request->error(), 0);
  EXPECT_EQ(interceptor_.waiting(request.get()), 0U);
  EXPECT_EQ(pumps_wanted_, 2);
}

TEST_F(InterceptorTest, what_is_kept_for_handlers_is_bounded) {
  Interceptor small(server_, policy_,
                    Interceptor::Setup{.data_bytes_max = Interceptor::kBytesMax - 4096,
                                       .thread_name = "small",
                                       .prepare_thread = [] { return ok_status(); },
                                       .wants_pump = [] {}});
  Observer observer;
  ASSERT_TRUE(small.attach(observer).ok());
  small.set_plan({.sets = {set_of({Opcode::kReadlink})}});
  // Room for a reply counts as what it may become; each has less than the whole.
  const auto roomy = [&] {
    return std::make_unique<Task>(server_, small, FuseRequest(Opcode::kReadlink).unique(5),
                                  Task::kMemoryBytes - Task::kReplyAt.value);
  };
  std::vector<std::unique_ptr<Task>> tasks;
  int refused = 0;
  for (int i = 0; i < 80 && refused == 0; ++i) {
    tasks.push_back(roomy());
    ASSERT_TRUE(tasks.back()->taken());
    if (tasks.back()->is_answered()) {
      EXPECT_EQ(tasks.back()->error(), ENOMEM);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 1);
  small.close();
}

}  // namespace
}  // namespace vfs::device
