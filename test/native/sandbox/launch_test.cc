#include "sandbox/launch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/bytes.h"
#include "base/sys.h"
#include "base/sys_process.h"
#include "support/fault_loop.h"
#include "support/temp_dir.h"

namespace vfs::sandbox {
namespace {

LaunchOptions shell(const std::string& script) {
  LaunchOptions options;
  options.arguments = {"/bin/sh", "-c", script};
  options.environment = {"PATH=/usr/bin:/bin", "HELLO=there"};
  return options;
}

void say_go(const Launched& launched) {
  const std::byte go{1};
  ASSERT_TRUE(sys::write(launched.go.get(), ByteSpan(&go, 1)).ok());
}

sys::Ending ending_of(const Launched& launched) {
  pollfd item{launched.watch.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&item, 1, 20'000), 1);
  const auto ended = sys::reap(launched.pid);
  EXPECT_TRUE(ended.ok() && ended.value().has_value());
  return ended.ok() ? ended.value().value_or(sys::Ending{-1, 0}) : sys::Ending{-1, 0};
}

LaunchFailure failure_of(const Launched& launched) {
  std::array<std::byte, sizeof(LaunchFailure)> bytes;
  const auto length = sys::read(launched.failure.get(), bytes);
  return length.ok() && length.value() == bytes.size() ? value_from<LaunchFailure>(bytes) : LaunchFailure{};
}

TEST(Launch, the_program_runs_with_its_arguments_and_variables_once_it_is_told_to) {
  auto launched = launch(shell("test \"$HELLO\" = there && exit 7"));
  ASSERT_TRUE(launched.ok());
  EXPECT_FALSE(sys::reap(launched.value().pid).value().has_value());
  say_go(launched.value());
  EXPECT_EQ(failure_of(launched.value()).error, 0);
  EXPECT_EQ(ending_of(launched.value()).code, 7);
}

TEST(Launch, who_gives_up_ends_the_child) {
  auto launched = launch(shell("exit 7"));
  ASSERT_TRUE(launched.ok());
  Launched given_up = std::move(launched).value();
  given_up.go.reset();
  EXPECT_EQ(ending_of(given_up).code, 127);
}

TEST(Launch, a_program_that_is_not_there_is_a_failure_with_its_call) {
  LaunchOptions options = shell("");
  options.arguments[0] = "/nonexistent/program";
  auto launched = launch(std::move(options));
  ASSERT_TRUE(launched.ok());
  say_go(launched.value());
  const LaunchFailure failure = failure_of(launched.value());
  EXPECT_EQ(failure.error, ENOENT);
  EXPECT_STREQ(launch_step_name(failure.step), "execve");
  EXPECT_EQ(ending_of(launched.value()).code, 127);
}

TEST(Launch, only_named_descriptors_and_capabilities_are_kept) {
  auto pipe = sys::pipe();
  ASSERT_TRUE(pipe.ok());
  const auto [kept, lost] = std::pair(pipe.value()[0].get(), pipe.value()[1].get());
  const std::string both = "test -e /proc/self/fd/" + std::to_string(kept) + " && ! test -e /proc/self/fd/" +
                           std::to_string(lost) + " && grep -q '^NoNewPrivs:.1' /proc/self/status" +
                           " && grep -q '^CapPrm:.0*$' /proc/self/status";
  LaunchOptions options = shell(both);
  options.descriptors = {kept};
  options.capabilities = 0;
  auto launched = launch(std::move(options));
  ASSERT_TRUE(launched.ok());
  say_go(launched.value());
  EXPECT_EQ(ending_of(launched.value()).code, 0);
}

TEST(Launch, in_namespaces_of_its_own_the_shares_become_the_root) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounts without a map of ids take root; test/ts/sandbox has the maps";
  const test::TempDir one;
  const test::TempDir two;
  std::ofstream(one / "file") << "1";
  std::ofstream(two / "file") << "2";
  const NewRoot root({one.path(), two.path()});
  EXPECT_EQ(root.share_paths(), (std::vector<std::string>{one.path() + "/0", one.path() + "/1"}));
  LaunchOptions options = shell("test $$ = 1 && test \"$(cat " + one.path() + "/1/file)\" = 2 && test -n \"$" +
                                kChangerVariable + "\" && exit 5");
  options.namespaces = CLONE_NEWNS | CLONE_NEWPID;
  options.shares = {one.path(), two.path()};
  auto launched = launch(std::move(options));
  ASSERT_TRUE(launched.ok());
  say_go(launched.value());
  EXPECT_EQ(failure_of(launched.value()).error, 0);
  EXPECT_EQ(ending_of(launched.value()).code, 5);
  // Nothing of it is left here.
  EXPECT_FALSE(std::filesystem::exists(one / "0"));
}

TEST(Launch, the_root_of_the_host_is_not_exchanged_for_itself) {
  const NewRoot root({"/"});
  EXPECT_FALSE(root.changes());
  EXPECT_EQ(root.share_paths(), std::vector<std::string>{"/"});
  EXPECT_FALSE(NewRoot(std::vector<std::string>{}).changes());
}

TEST(Launch, every_call_that_fails_before_the_child_is_passed_on_and_leaves_no_descriptor) {
  // Two pipes, the signals, the child; the calls after that are the child's, too, which has the same fault.
  constexpr unsigned kCallsBefore = 4;
  for (unsigned nth = 1; nth <= kCallsBefore; ++nth) {
    const int before = test::open_descriptors();
    sys::fault_injection::fail_call(nth, EMFILE);
    const auto launched = launch(shell("exit 0"));
    sys::fault_injection::fail_call(0, 0);
    ASSERT_FALSE(launched.ok()) << nth;
    EXPECT_EQ(launched.error(), Errno(EMFILE)) << nth;
    EXPECT_EQ(test::open_descriptors(), before) << nth;
  }
}

}  // namespace
}  // namespace vfs::sandbox
