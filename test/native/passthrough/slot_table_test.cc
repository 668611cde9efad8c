#include "passthrough/slot_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <thread>

namespace vfs::passthrough {
namespace {

constexpr std::uint32_t kSession = 3;

template <unsigned kBits = 26>
struct Table : SlotTable<int, kBits> {
  explicit Table(std::size_t capacity) : SlotTable<int, kBits>(capacity) { this->begin_session(kSession); }
  Result<std::uint64_t> put(int value, std::uint32_t session = kSession) {
    VFS_TRY(auto inserted, this->emplace(session, [&](std::uint64_t) { return std::make_shared<int>(value); }));
    return inserted.id;
  }
};

// On the heap: GCC 12 places over-aligned locals wrongly in the stack frames that AddressSanitizer keeps to find uses
// after return (GCC bug 110027).
template <unsigned kBits = 26>
std::unique_ptr<Table<kBits>> table_of(std::size_t capacity) {
  return std::make_unique<Table<kBits>>(capacity);
}

TEST(SlotTable, finds_what_was_put_and_nothing_else) {
  const auto owned = table_of(100);
  auto& table = *owned;
  const auto id = table.put(42);
  ASSERT_TRUE(id.ok());
  EXPECT_LT(id.value(), std::uint64_t{1} << 53);
  ASSERT_NE(table.get(id.value()), nullptr);
  EXPECT_EQ(*table.get(id.value()), 42);
  for (const std::uint64_t wrong :
       {std::uint64_t{0}, std::uint64_t{1}, id.value() + 1, id.value() + (std::uint64_t{1} << 26),
        id.value() + (std::uint64_t{1} << 58), ~std::uint64_t{0}}) {
    EXPECT_EQ(table.get(wrong), nullptr) << wrong;
    EXPECT_EQ(table.remove(wrong), nullptr) << wrong;
  }
}

TEST(SlotTable, never_gives_an_id_twice) {
  const auto owned = table_of(1);
  auto& table = *owned;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto id = table.put(i);
    ASSERT_TRUE(id.ok());
    EXPECT_TRUE(seen.insert(id.value()).second);
    EXPECT_EQ(*table.remove(id.value()), i);
    EXPECT_EQ(table.get(id.value()), nullptr);
    EXPECT_EQ(table.remove(id.value()), nullptr);
  }
  EXPECT_EQ(table.size(), 0U);
}

TEST(SlotTable, retires_a_slot_when_its_generations_are_used_up) {
  const auto owned = table_of<2>(1);
  auto& table = *owned;
  std::set<std::uint64_t> seen;
  int given = 0;
  for (; given < 100000; ++given) {
    const auto id = table.put(given);
    if (!id.ok()) {
      EXPECT_EQ(id.error(), Errno(ENFILE));
      break;
    }
    EXPECT_TRUE(seen.insert(id.value()).second);
    table.remove(id.value());
  }
  EXPECT_GT(given, 0);
  EXPECT_LT(given, 100000);
  EXPECT_EQ(table.size(), 0U);
}

TEST(SlotTable, is_full_at_its_capacity_and_has_room_after_a_removal) {
  const auto owned = table_of(130);
  auto& table = *owned;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 130; ++i) {
    const auto id = table.put(i);
    ASSERT_TRUE(id.ok());
    ids.push_back(id.value());
  }
  const auto refused = table.put(0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error(), Errno(ENFILE));
  table.remove(ids[77]);
  EXPECT_TRUE(table.put(0).ok());
  EXPECT_EQ(table.size(), 130U);
}

TEST(SlotTable, refuses_another_session) {
  const auto owned = table_of(10);
  auto& table = *owned;
  EXPECT_EQ(table.put(1, kSession + 1).error(), Errno(EIO));
  table.begin_session(kNoSession);
  EXPECT_EQ(table.put(1, kNoSession).error(), Errno(EIO));
  EXPECT_EQ(table.size(), 0U);
}

TEST(SlotTable, clear_forgets_but_does_not_pull_away) {
  const auto owned = table_of(5000);
  auto& table = *owned;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 3000; ++i) ids.push_back(table.put(i).value());
  const auto kept = table.get(ids[1234]);
  table.clear();
  EXPECT_EQ(table.size(), 0U);
  for (const auto id : ids) EXPECT_EQ(table.get(id), nullptr);
  EXPECT_EQ(*kept, 1234);
  EXPECT_TRUE(table.put(1).ok());
}

TEST(SlotTable, serves_several_threads) {
  const auto owned = table_of(10000);
  auto& table = *owned;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&table, t] {
      std::vector<std::uint64_t> mine;
      for (int i = 0; i < 5000; ++i) {
        const auto id = table.put(t);
        if (id.ok()) mine.push_back(id.value());
        if (i % 3 == 0 && !mine.empty()) {
          EXPECT_EQ(*table.remove(mine.back()), t);
          mine.pop_back();
        }
        if (!mine.empty()) {
          EXPECT_EQ(*table.get(mine.front()), t);
        }
      }
      for (const auto id : mine) EXPECT_EQ(*table.remove(id), t);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace vfs::passthrough
