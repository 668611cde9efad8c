#include "passthrough/id_map.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace vfs::passthrough {
namespace {

constexpr std::uint32_t kNoId = 0xFFFFFFFF;
constexpr std::uint32_t kLastId = 0xFFFFFFFE;

IdRange shift(std::uint32_t from, std::uint32_t to, std::uint32_t count) {
  return {IdRangeKind::kShift, from, to, count};
}
IdRange squash(std::uint32_t from, std::uint32_t to, std::uint32_t count) {
  return {IdRangeKind::kSquash, from, to, count};
}
IdRange forbid(std::uint32_t from, std::uint32_t count) { return {IdRangeKind::kForbid, from, 0, count}; }

std::int64_t host(const UidMap& map, std::uint32_t guest) {
  const auto result = map.to_host(GuestUid{guest});
  return result.ok() ? std::int64_t{result.value().value} : -result.error().value();
}
std::uint32_t guest(const UidMap& map, std::uint32_t host) { return map.to_guest(HostUid{host}).value; }

TEST(IdMap, without_ranges_every_id_stays) {
  const UidMap map;
  EXPECT_TRUE(map.identity());
  for (const std::uint32_t id : {0U, 1U, 1000U, kLastId, kNoId}) {
    EXPECT_EQ(host(map, id), id);
    EXPECT_EQ(guest(map, id), id);
  }
}

TEST(IdMap, shifts_a_range_and_leaves_its_neighbours) {
  const UidMap map({shift(1000, 5000, 10)}, {shift(5000, 1000, 10)});
  EXPECT_FALSE(map.identity());
  EXPECT_EQ(host(map, 999), 999);
  EXPECT_EQ(host(map, 1000), 5000);
  EXPECT_EQ(host(map, 1009), 5009);
  EXPECT_EQ(host(map, 1010), 1010);
  EXPECT_EQ(guest(map, 4999), 4999U);
  EXPECT_EQ(guest(map, 5000), 1000U);
  EXPECT_EQ(guest(map, 5009), 1009U);
  EXPECT_EQ(guest(map, 5010), 5010U);
}

TEST(IdMap, directions_are_independent) {
  const UidMap map({shift(1, 2, 1)}, {shift(7, 8, 1)});
  EXPECT_EQ(host(map, 1), 2);
  EXPECT_EQ(host(map, 7), 7);
  EXPECT_EQ(host(map, 8), 8);
  EXPECT_EQ(guest(map, 2), 2U);
  EXPECT_EQ(guest(map, 7), 8U);
  EXPECT_FALSE(UidMap({}, {shift(7, 8, 1)}).identity());
}

TEST(IdMap, squashes_many_to_one) {
  const UidMap map({squash(0, 65534, 1000)}, {squash(100, 3, 5)});
  EXPECT_EQ(host(map, 0), 65534);
  EXPECT_EQ(host(map, 999), 65534);
  EXPECT_EQ(host(map, 1000), 1000);
  EXPECT_EQ(guest(map, 104), 3U);
  EXPECT_EQ(guest(map, 105), 105U);
}

TEST(IdMap, forbidden_ids_are_eperm) {
  const UidMap map({forbid(5, 2)}, {});
  EXPECT_EQ(host(map, 4), 4);
  EXPECT_EQ(host(map, 5), -EPERM);
  EXPECT_EQ(host(map, 6), -EPERM);
  EXPECT_EQ(host(map, 7), 7);
  EXPECT_EQ(guest(map, 5), 5U);
}

TEST(IdMap, ends_of_the_number_range) {
  const UidMap map({squash(0, 9, kNoId)}, {shift(0, 1, 1), shift(kLastId, 0, 1)});
  EXPECT_EQ(host(map, 0), 9);
  EXPECT_EQ(host(map, kLastId), 9);
  // "No id" stays what it is, or a chown that leaves the owner would set one.
  EXPECT_EQ(host(map, kNoId), kNoId);
  EXPECT_EQ(guest(map, kLastId), 0U);
  EXPECT_EQ(guest(map, kNoId), kNoId);
  EXPECT_EQ(guest(map, 0), 1U);
}

TEST(IdMap, finds_each_of_many_ranges) {
  constexpr std::uint32_t kRanges = 1000;
  std::vector<IdRange> ranges;
  ranges.reserve(kRanges);
  for (std::uint32_t i = 0; i < kRanges; ++i) ranges.push_back(shift(i * 10 + 2, 1000000 + i * 10, 5));
  const UidMap map(ranges, {});
  for (std::uint32_t id = 0; id < kRanges * 10; ++id) {
    const std::uint32_t offset = id % 10;
    const bool inside = offset >= 2 && offset < 7;
    EXPECT_EQ(host(map, id), inside ? 1000000 + id - 2 : id) << id;
  }
}

TEST(IdMap, gids_have_a_map_of_their_own) {
  const GidMap map({forbid(0, 1)}, {squash(1, 0, 1)});
  EXPECT_FALSE(map.to_host(GuestGid{0}).ok());
  EXPECT_EQ(map.to_host(GuestGid{1}).value(), HostGid{1});
  EXPECT_EQ(map.to_guest(HostGid{1}), GuestGid{0});
}

TEST(IdMap, ranges_that_cannot_be_are_known) {
  EXPECT_TRUE(well_formed({}));
  EXPECT_TRUE(well_formed(std::vector<IdRange>{shift(0, 0, 5), forbid(5, 1), squash(6, 0, 1)}));
  EXPECT_TRUE(well_formed(std::vector<IdRange>{shift(kLastId, kLastId, 1)}));
  EXPECT_TRUE(well_formed(std::vector<IdRange>{squash(0, kLastId, kNoId)}));
  const std::vector<std::vector<IdRange>> wrong = {
      {shift(0, 0, 0)},
      {shift(kNoId, 0, 1)},
      {shift(kLastId, 0, 2)},
      {shift(0, kLastId, 2)},
      {squash(0, kNoId, 1)},
      {forbid(1, kNoId)},
      {shift(5, 5, 2), shift(6, 0, 1)},
      {shift(5, 5, 1), shift(4, 0, 1)},
      {forbid(0, 5), shift(0, 0, 1)},
      {forbid(0, 1), forbid(0, 1)},
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) EXPECT_FALSE(well_formed(wrong[i])) << i;
}

TEST(IdMapDeathTest, broken_ranges_and_a_forbidden_host_id_are_our_bug) {
  EXPECT_DEATH(UidMap({shift(5, 5, 2), shift(6, 0, 1)}, {}), "well_formed");
  EXPECT_DEATH(UidMap({}, {forbid(0, 1)}), "kForbid");
}

}  // namespace
}  // namespace vfs::passthrough
