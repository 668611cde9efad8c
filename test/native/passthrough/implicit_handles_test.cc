#include "passthrough/implicit_handles.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace vfs::passthrough {
namespace {

using Handles = ImplicitHandles<int>;

Result<std::shared_ptr<int>> make(int value) { return std::make_shared<int>(value); }

TEST(ImplicitHandles, one_per_node_until_it_is_forgotten) {
  Handles handles;
  const auto first = handles.find(1, [] { return make(10); });
  EXPECT_EQ(handles.find(1, [] { return make(11); }).value(), first.value());
  EXPECT_EQ(*handles.find(2, [] { return make(20); }).value(), 20);
  EXPECT_EQ(handles.size(), 2U);
  handles.forget(1);
  handles.forget(3);
  EXPECT_EQ(handles.size(), 1U);
  EXPECT_EQ(*handles.find(1, [] { return make(12); }).value(), 12);
  handles.clear();
  EXPECT_EQ(handles.size(), 0U);
  EXPECT_EQ(*first.value(), 10);  // who has it keeps it
}

TEST(ImplicitHandles, an_error_leaves_nothing_and_may_not_be_the_last_word) {
  Handles handles;
  EXPECT_EQ(handles.find(1, []() -> Result<std::shared_ptr<int>> { return Errno(EACCES); }).error(), Errno(EACCES));
  EXPECT_EQ(handles.size(), 0U);
  EXPECT_TRUE(handles.find(1, [] { return make(1); }).ok());
}

TEST(ImplicitHandles, another_takes_the_place) {
  Handles handles;
  handles.replace(1, std::make_shared<int>(1));
  handles.replace(1, std::make_shared<int>(2));
  EXPECT_EQ(*handles.find(1, [] { return make(3); }).value(), 2);
}

TEST(ImplicitHandles, threads_that_open_at_once_get_the_same) {
  Handles handles;
  std::vector<std::shared_ptr<int>> got(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&, i] { got[i] = handles.find(7, [&] { return make(static_cast<int>(i)); }).value(); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& each : got) EXPECT_EQ(each, got.front());
}

}  // namespace
}  // namespace vfs::passthrough
