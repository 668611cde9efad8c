#include "passthrough/implicit_handles.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace vfs::passthrough {
namespace {

constexpr std::uint32_t kSession = 3;

class ImplicitHandlesTest : public ::testing::Test {
 protected:
  void SetUp() override { handles.begin_session(kSession); }

  // A handle of at least this value, or a new one with it.
  Result<std::shared_ptr<int>> find(std::uint64_t node, int value) {
    return handles.find(
        kSession, node, [&](int known) { return known >= value; },
        [&]() -> Result<std::shared_ptr<int>> { return std::make_shared<int>(value); });
  }

  ImplicitHandles<int> handles;
};

TEST_F(ImplicitHandlesTest, one_per_node_until_it_is_forgotten) {
  const auto first = find(1, 10);
  EXPECT_EQ(find(1, 9).value(), first.value());
  EXPECT_EQ(*find(2, 20).value(), 20);
  EXPECT_EQ(handles.size(), 2U);
  EXPECT_EQ(handles.known(1), first.value());
  handles.forget(1);
  handles.forget(3);
  EXPECT_EQ(handles.size(), 1U);
  EXPECT_EQ(handles.known(1), nullptr);
  EXPECT_EQ(*find(1, 12).value(), 12);
  EXPECT_EQ(*first.value(), 10);  // who has it keeps it
}

TEST_F(ImplicitHandlesTest, one_that_does_not_serve_is_replaced) {
  const auto first = find(1, 1);
  EXPECT_EQ(*find(1, 2).value(), 2);
  EXPECT_EQ(*find(1, 1).value(), 2);
  EXPECT_EQ(handles.size(), 1U);
}

TEST_F(ImplicitHandlesTest, an_error_leaves_nothing_and_may_not_be_the_last_word) {
  const auto refused = handles.find(
      kSession, 1, [](int) { return true; }, []() -> Result<std::shared_ptr<int>> { return Errno(EACCES); });
  EXPECT_EQ(refused.error(), Errno(EACCES));
  EXPECT_EQ(handles.size(), 0U);
  EXPECT_TRUE(find(1, 1).ok());
}

TEST_F(ImplicitHandlesTest, a_request_of_a_session_that_is_over_leaves_nothing) {
  ASSERT_TRUE(find(1, 1).ok());
  handles.begin_session(kSession + 1);
  EXPECT_EQ(handles.size(), 0U);
  EXPECT_EQ(find(1, 1).error(), Errno(EIO));
  EXPECT_EQ(handles.size(), 0U);
}

TEST_F(ImplicitHandlesTest, threads_that_open_at_once_get_the_same) {
  std::vector<std::shared_ptr<int>> got(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&, i] { got[i] = find(7, 1).value(); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& each : got) EXPECT_EQ(each, got.front());
}

}  // namespace
}  // namespace vfs::passthrough
