#include "passthrough/ino_map.h"

#include <gtest/gtest.h>

#include <set>

namespace vfs::passthrough {
namespace {

constexpr std::uint64_t kRoot = 0x800000001;
constexpr std::uint64_t kOther = 0x2b;
constexpr std::uint64_t kTop = std::uint64_t{1} << 63;

TEST(InoMap, the_shares_own_device_keeps_its_numbers) {
  InoMap map(kRoot);
  for (const std::uint64_t ino : {std::uint64_t{1}, std::uint64_t{2}, kTop - 1, std::uint64_t{1} << 48}) {
    EXPECT_EQ(map.number(kRoot, ino), ino);
  }
  EXPECT_FALSE(map.has_foreign());
}

TEST(InoMap, no_two_objects_have_one_number) {
  InoMap map(kRoot);
  std::set<std::uint64_t> seen;
  std::size_t objects = 0;
  for (std::uint64_t device : {kRoot, kOther, kOther + 1, std::uint64_t{0}}) {
    for (std::uint64_t high : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x7fff}, std::uint64_t{0x8000}}) {
      for (std::uint64_t low : {std::uint64_t{1}, std::uint64_t{2}, (std::uint64_t{1} << 48) - 1}) {
        seen.insert(map.number(device, (high << 48) | low));
        ++objects;
      }
    }
  }
  EXPECT_EQ(seen.size(), objects);
  EXPECT_TRUE(map.has_foreign());
}

TEST(InoMap, a_number_stays_what_it_is) {
  InoMap map(kRoot);
  const std::uint64_t first = map.number(kOther, 2);
  EXPECT_NE(first, 2U);
  map.number(kOther + 1, 2);
  EXPECT_EQ(map.number(kOther, 2), first);
  // Neighbours stay neighbours: what a directory lists is in one order with what it holds.
  EXPECT_EQ(map.number(kOther, 3), first + 1);
}

TEST(InoMap, what_scatters_over_all_bits_takes_bounded_memory_and_stays_apart) {
  InoMap map(kRoot);
  std::set<std::uint64_t> seen;
  constexpr std::uint64_t kMany = InoMap::kPrefixesMax + 5000;
  for (std::uint64_t i = 0; i < kMany; ++i) seen.insert(map.number(kOther, (i << 48) | 7));
  EXPECT_EQ(seen.size(), kMany);
  for (const std::uint64_t number : seen) EXPECT_NE(number & kTop, 0U);
  const std::uint64_t late = map.number(kOther, ((kMany - 1) << 48) | 7);
  EXPECT_TRUE(seen.contains(late)) << "also a hashed number stays";
}

}  // namespace
}  // namespace vfs::passthrough
