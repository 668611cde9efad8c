#include "base/bus_guard.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "base/sys.h"

namespace vfs {
namespace {

// A file of 16 KiB, and a mapping of it.
struct Mapped {
  explicit Mapped(bool guarded = true) : file(std::move(sys::memfd("bus-guard-test", kBytes)).value()) {
    address = static_cast<unsigned char*>(sys::map_shared(file.get(), kBytes, 0).value());
    if (guarded) guard = std::move(BusGuard::over(address, kBytes, sys::page_size())).value();
  }
  ~Mapped() {
    guard = BusGuard();
    sys::unmap(address, kBytes);
  }
  void shrink(std::int64_t to) { EXPECT_TRUE(sys::ftruncate(file.get(), to).ok()); }
  volatile unsigned char& at(std::size_t offset) { return address[offset]; }

  static constexpr std::size_t kBytes = 16384;
  UniqueFd file;
  unsigned char* address;
  BusGuard guard;
};

TEST(BusGuard, page_that_is_gone_becomes_zeros_and_the_holder_is_told) {
  Mapped mapped;
  mapped.at(100) = 7;
  mapped.at(9000) = 8;
  EXPECT_FALSE(mapped.guard.hit());
  const std::uint64_t before = BusGuard::hits();
  mapped.shrink(4096);
  EXPECT_EQ(mapped.at(9000), 0);
  mapped.at(9001) = 5;
  EXPECT_EQ(mapped.at(9001), 5);
  EXPECT_TRUE(mapped.guard.hit());
  EXPECT_EQ(BusGuard::hits(), before + 1);
  EXPECT_EQ(mapped.at(100), 7) << "what is still in the file is not touched";
}

TEST(BusGuard, other_mappings_are_not_told) {
  Mapped shrunk;
  Mapped whole;
  shrunk.shrink(0);
  shrunk.at(0) = 1;
  EXPECT_TRUE(shrunk.guard.hit());
  EXPECT_FALSE(whole.guard.hit());
}

TEST(BusGuard, place_is_used_again_and_begins_unhit) {
  {
    Mapped mapped;
    mapped.shrink(0);
    mapped.at(0) = 1;
  }
  Mapped next;
  EXPECT_FALSE(next.guard.hit());
}

TEST(BusGuard, more_mappings_than_a_block_has_places) {
  std::vector<std::unique_ptr<Mapped>> many;
  for (int i = 0; i < 200; ++i) many.push_back(std::make_unique<Mapped>());
  many.back()->shrink(0);
  many.back()->at(4096) = 1;
  EXPECT_TRUE(many.back()->guard.hit());
  EXPECT_FALSE(many.front()->guard.hit());
}

TEST(BusGuard, the_last_page_of_a_mapping_ends_with_it) {
  Mapped mapped(false);
  // Guarded with a page size that reaches beyond the mapping on both sides.
  mapped.guard = std::move(BusGuard::over(mapped.address + 4096, 4096, 1U << 20)).value();
  mapped.shrink(0);
  mapped.at(5000) = 1;
  EXPECT_TRUE(mapped.guard.hit());
}

TEST(BusGuardDeathTest, unguarded_mapping_still_ends_the_process) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const Mapped guarded;
        Mapped unguarded(false);
        unguarded.shrink(0);
        unguarded.at(0) = 1;
      },
      "");
}

TEST(BusGuardDeathTest, signal_that_somebody_sends_is_no_fault_and_goes_to_the_earlier_handler) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        struct sigaction ours{};
        ours.sa_handler = [](int) { ::_exit(42); };
        ::sigaction(SIGBUS, &ours, nullptr);
        const Mapped guarded;
        ::raise(SIGBUS);
      },
      testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace vfs
