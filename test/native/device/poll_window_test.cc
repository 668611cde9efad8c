#include "device/poll_window.h"

#include <gtest/gtest.h>

namespace vfs::device {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;

constexpr microseconds kMax{80};

TEST(PollWindow, none_looks_at_nothing) {
  const PollWindow window(microseconds(0));
  EXPECT_FALSE(window.enabled());
  bool looked = false;
  EXPECT_FALSE(window.look([&] { return looked = true; }));
  EXPECT_FALSE(looked);
}

TEST(PollWindow, looks_until_it_finds_or_the_window_has_passed) {
  const PollWindow window(kMax);
  EXPECT_TRUE(window.enabled());
  int looks = 0;
  EXPECT_TRUE(window.look([&] { return ++looks == 3; }));
  EXPECT_EQ(looks, 3);
  const auto begin = PollWindow::Clock::now();
  EXPECT_FALSE(window.look([] { return false; }));
  EXPECT_GE(PollWindow::Clock::now() - begin, kMax);
}

TEST(PollWindow, halves_after_long_sleeps_until_it_is_none) {
  PollWindow window(kMax);
  EXPECT_EQ(window.length(), kMax);
  for (const int expected : {40, 20, 10, 0, 0}) {
    window.slept(kMax);
    EXPECT_EQ(window.length(), microseconds(expected));
  }
}

TEST(PollWindow, doubles_after_short_sleeps_up_to_the_longest) {
  PollWindow window(kMax);
  for (int i = 0; i < 5; ++i) window.slept(hours(1));
  for (const int expected : {10, 20, 40, 80, 80}) {
    window.slept(kMax - microseconds(1));
    EXPECT_EQ(window.length(), microseconds(expected));
  }
}

}  // namespace
}  // namespace vfs::device
