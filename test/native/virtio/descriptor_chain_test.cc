#include "virtio/descriptor_chain.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_driver.h"
#include "support/written_ranges.h"
#include "virtio/ring_layout.h"

namespace vfs::virtio {
namespace {

using test::make_memory;

constexpr std::uint16_t kSize = 8;
constexpr std::uint16_t kNext = abi::kDescNext;
constexpr std::uint16_t kWrite = abi::kDescWrite;
constexpr std::uint16_t kIndirect = abi::kDescIndirect;
constexpr std::uint64_t kTableAt = 0x10000;
constexpr std::uint64_t kIndirectAt = 0x20000;

// A descriptor table of eight entries, and a place for an indirect one.
class ChainWalk : public ::testing::Test {
 protected:
  void describe(std::size_t index, const abi::Descriptor& descriptor, std::uint64_t table = kTableAt) {
    copy_bytes(memory_->region_bytes(0).subspan(table + index * sizeof(descriptor)), bytes_of(descriptor));
  }
  // An indirect table whose entries are 16 readable bytes each, in one chain.
  void describe_indirect(std::size_t entries) {
    for (std::size_t i = 0; i < entries; ++i) {
      const bool last = i + 1 == entries;
      describe(i, {0x1000, 16, last ? std::uint16_t{0} : kNext, static_cast<std::uint16_t>(last ? 0 : i + 1)},
               kIndirectAt);
    }
  }
  std::optional<Fault> fault_of(std::uint16_t head) {
    const GuestBytes table = memory_->window({GuestAddress{kTableAt}, kSize * sizeof(abi::Descriptor)}).value();
    const auto walked = walk_chain(*memory_, table, head, {kSize, indirect_}, ranges_);
    if (walked.ok()) return std::nullopt;
    return walked.error();
  }
  std::uint32_t readable_bytes() const { return ranges_.reader(*memory_).remaining(); }
  std::uint32_t writable_bytes() const { return ranges_.writer(*memory_).remaining(); }

  std::shared_ptr<GuestMemory> memory_ = make_memory(1U << 20);
  bool indirect_ = true;
  ChainRanges ranges_;
};

TEST_F(ChainWalk, follows_next_and_keeps_readable_and_writable_apart) {
  describe(5, {0x1000, 40, kNext, 2});
  describe(2, {0x2000, 8, kNext, 7});
  describe(7, {0x3000, 16, kWrite | kNext, 0});
  describe(0, {0x4000, 100, kWrite, 0});
  EXPECT_EQ(fault_of(5), std::nullopt);
  EXPECT_EQ(readable_bytes(), 48U);
  EXPECT_EQ(writable_bytes(), 116U);
}

TEST_F(ChainWalk, reads_the_ranges_in_chain_order) {
  memory_->region_bytes(0)[0x1000] = std::byte{'a'};
  memory_->region_bytes(0)[0x2000] = std::byte{'b'};
  describe(1, {0x2000, 1, kNext, 0});
  describe(0, {0x1000, 1, 0, 0});
  ASSERT_EQ(fault_of(1), std::nullopt);
  GuestReader reader = ranges_.reader(*memory_);
  EXPECT_EQ(reader.take<char>().value(), 'b');
  EXPECT_EQ(reader.take<char>().value(), 'a');
}

TEST_F(ChainWalk, next_of_the_last_descriptor_does_not_matter) {
  describe(0, {0x1000, 40, 0, 9999});
  EXPECT_EQ(fault_of(0), std::nullopt);
}

TEST_F(ChainWalk, chain_as_long_as_the_queue_is_accepted) {
  for (std::uint16_t i = 0; i < kSize; ++i) {
    describe(i, {0x1000, 1, i + 1 < kSize ? kNext : std::uint16_t{0}, static_cast<std::uint16_t>(i + 1)});
  }
  EXPECT_EQ(fault_of(0), std::nullopt);
  EXPECT_EQ(readable_bytes(), kSize);
}

TEST_F(ChainWalk, loop_is_too_long) {
  describe(0, {0x1000, 1, kNext, 1});
  describe(1, {0x1000, 1, kNext, 0});
  EXPECT_EQ(fault_of(0), Fault::kChainTooLong);
}

TEST_F(ChainWalk, loop_of_empty_descriptors_is_too_long) {
  describe(3, {0x1000, 0, kNext, 3});
  EXPECT_EQ(fault_of(3), Fault::kChainTooLong);
}

TEST_F(ChainWalk, refuses_next_outside_the_table) {
  describe(0, {0x1000, 1, kNext, kSize});
  EXPECT_EQ(fault_of(0), Fault::kDescriptorOutOfRange);
  describe(0, {0x1000, 1, kNext, 0xffff});
  EXPECT_EQ(fault_of(0), Fault::kDescriptorOutOfRange);
}

TEST_F(ChainWalk, refuses_head_outside_the_table) { EXPECT_EQ(fault_of(kSize), Fault::kDescriptorOutOfRange); }

TEST_F(ChainWalk, refuses_readable_after_writable) {
  describe(0, {0x1000, 1, kWrite | kNext, 1});
  describe(1, {0x2000, 1, 0, 0});
  EXPECT_EQ(fault_of(0), Fault::kReadableAfterWritable);
}

TEST_F(ChainWalk, refuses_buffer_outside_memory) {
  describe(0, {1U << 20, 1, 0, 0});
  EXPECT_EQ(fault_of(0), Fault::kAddressOutsideMemory);
  describe(0, {(1U << 20) - 8, 9, kWrite, 0});
  EXPECT_EQ(fault_of(0), Fault::kAddressOutsideMemory);
  describe(0, {0xffffffffffffffff, 0xffffffff, 0, 0});
  EXPECT_EQ(fault_of(0), Fault::kAddressOutsideMemory);
}

TEST_F(ChainWalk, refuses_later_bad_buffer_too) {
  describe(0, {0x1000, 40, kNext, 1});
  describe(1, {0x8000000000000000, 16, kWrite, 0});
  EXPECT_EQ(fault_of(0), Fault::kAddressOutsideMemory);
}

TEST_F(ChainWalk, empty_descriptors_carry_nothing_wherever_they_point) {
  describe(0, {0xffffffffffffff00, 0, kNext, 1});
  describe(1, {0x1000, 24, kNext, 2});
  describe(2, {0, 0, kWrite, 0});
  EXPECT_EQ(fault_of(0), std::nullopt);
  EXPECT_EQ(readable_bytes(), 24U);
  EXPECT_EQ(writable_bytes(), 0U);
}

TEST_F(ChainWalk, ranges_of_the_chain_before_are_gone) {
  describe(0, {0x1000, 100, kNext, 1});
  describe(1, {0x2000, 200, kWrite, 0});
  describe(2, {0x1000, 7, 0, 0});
  ASSERT_EQ(fault_of(0), std::nullopt);
  ASSERT_EQ(fault_of(2), std::nullopt);
  EXPECT_EQ(readable_bytes(), 7U);
  EXPECT_EQ(writable_bytes(), 0U);
}

TEST_F(ChainWalk, indirect_table_alone) {
  describe_indirect(3);
  describe(2, {0x3000, 64, kWrite, 0}, kIndirectAt);
  describe(4, {kIndirectAt, 3 * 16, kIndirect, 0});
  EXPECT_EQ(fault_of(4), std::nullopt);
  EXPECT_EQ(readable_bytes(), 32U);
  EXPECT_EQ(writable_bytes(), 64U);
}

TEST_F(ChainWalk, indirect_table_after_direct_descriptors) {
  describe_indirect(2);
  describe(0, {0x1000, 40, kNext, 1});
  describe(1, {kIndirectAt, 2 * 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), std::nullopt);
  EXPECT_EQ(readable_bytes(), 72U);
}

TEST_F(ChainWalk, refuses_readable_indirect_after_direct_writable) {
  describe_indirect(1);
  describe(0, {0x1000, 40, kWrite | kNext, 1});
  describe(1, {kIndirectAt, 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kReadableAfterWritable);
}

TEST_F(ChainWalk, indirect_table_may_be_longer_than_the_queue) {
  describe_indirect(1024);
  describe(0, {kIndirectAt, 1024 * 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), std::nullopt);
  EXPECT_EQ(readable_bytes(), 1024U * 16);
}

TEST_F(ChainWalk, refuses_indirect_table_of_more_than_1024) {
  describe_indirect(1025);
  describe(0, {kIndirectAt, 1025 * 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kChainTooLong);
  describe(0, {kIndirectAt, 0xfffffff0, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kChainTooLong);
}

TEST_F(ChainWalk, refuses_indirect_without_the_feature) {
  indirect_ = false;
  describe_indirect(1);
  describe(0, {kIndirectAt, 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kIndirectNotNegotiated);
}

TEST_F(ChainWalk, refuses_nested_indirect) {
  describe(0, {kIndirectAt, 16, kIndirect, 0});
  describe(0, {kIndirectAt + 64, 16, kIndirect, 0}, kIndirectAt);
  EXPECT_EQ(fault_of(0), Fault::kBadIndirectTable);
  describe(0, {kIndirectAt, 16, kIndirect, 0}, kIndirectAt);  // itself
  EXPECT_EQ(fault_of(0), Fault::kBadIndirectTable);
}

TEST_F(ChainWalk, refuses_indirect_with_next) {
  describe_indirect(1);
  describe(0, {kIndirectAt, 16, kIndirect | kNext, 1});
  describe(1, {0x1000, 16, kWrite, 0});
  EXPECT_EQ(fault_of(0), Fault::kBadIndirectTable);
}

TEST_F(ChainWalk, refuses_indirect_table_of_a_bad_size) {
  describe_indirect(2);
  for (const std::uint32_t bytes : {0U, 1U, 15U, 17U, 31U}) {
    describe(0, {kIndirectAt, bytes, kIndirect, 0});
    EXPECT_EQ(fault_of(0), Fault::kBadIndirectTable) << bytes;
  }
}

TEST_F(ChainWalk, refuses_indirect_table_outside_memory) {
  describe(0, {(1U << 20) - 16, 32, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kAddressOutsideMemory);
}

TEST_F(ChainWalk, refuses_next_outside_the_indirect_table) {
  describe(0, {0x1000, 16, kNext, 2}, kIndirectAt);
  describe(0, {kIndirectAt, 2 * 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kDescriptorOutOfRange);
}

TEST_F(ChainWalk, loop_in_an_indirect_table_is_too_long) {
  describe(0, {0x1000, 16, kNext, 1}, kIndirectAt);
  describe(1, {0x1000, 16, kNext, 0}, kIndirectAt);
  describe(0, {kIndirectAt, 2 * 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), Fault::kChainTooLong);
}

TEST_F(ChainWalk, unaligned_indirect_table_is_read_all_the_same) {
  describe(0, {0x1000, 16, 0, 0}, kIndirectAt + 3);
  describe(0, {kIndirectAt + 3, 16, kIndirect, 0});
  EXPECT_EQ(fault_of(0), std::nullopt);
  EXPECT_EQ(readable_bytes(), 16U);
}

TEST_F(ChainWalk, detached_memory_is_unavailable) {
  std::vector<std::byte> bytes(0x20000);
  const auto borrowed = GuestMemory::borrow();
  borrowed->attach(bytes, GuestAddress{0}, nullptr);
  const abi::Descriptor descriptor{0x1000, 16, 0, 0};
  copy_bytes(MutableByteSpan(bytes).subspan(kTableAt), bytes_of(descriptor));
  const GuestBytes table = borrowed->window({GuestAddress{kTableAt}, 128}).value();
  borrowed->detach();
  const auto walked = walk_chain(*borrowed, table, 0, {kSize, true}, ranges_);
  ASSERT_FALSE(walked.ok());
  EXPECT_EQ(walked.error(), Fault::kMemoryUnavailable);
}

TEST_F(ChainWalk, pieces_that_follow_each_other_are_one_range) {
  std::vector<std::byte> bytes(0x20000);
  test::WrittenRanges written;
  const auto borrowed = GuestMemory::borrow();
  borrowed->attach(bytes, GuestAddress{0}, &written);
  // What is read ends where the room begins, and the fourth lies before the third.
  const std::array<abi::Descriptor, 5> chain{{{0x1000, 16, kNext, 1},
                                              {0x1010, 100, kNext | kWrite, 2},
                                              {0x1074, 28, kNext | kWrite, 3},
                                              {0x1000, 16, kNext | kWrite, 4},
                                              {0x1010, 8, kWrite, 0}}};
  copy_bytes(MutableByteSpan(bytes).subspan(kTableAt), std::as_bytes(std::span(chain)));
  const GuestBytes table = borrowed->window({GuestAddress{kTableAt}, kSize * sizeof(abi::Descriptor)}).value();
  ASSERT_TRUE(walk_chain(*borrowed, table, 0, {kSize, true}, ranges_).ok());
  EXPECT_EQ(ranges_.reader(*borrowed).remaining(), 16U);
  GuestWriter room = ranges_.writer(*borrowed);
  ASSERT_EQ(room.remaining(), 152U);
  ASSERT_TRUE(room.put_bytes(std::vector<std::byte>(152)).ok());
  const std::vector<std::pair<std::uint64_t, std::uint32_t>> expected{{0x1010, 128}, {0x1000, 24}};
  EXPECT_EQ(written.seen, expected);
}

TEST(ChainWalkOfRegions, pieces_that_follow_each_other_in_two_regions_are_two_ranges) {
  constexpr std::uint64_t kRegion = 0x10000;
  // The second is mapped somewhere else.
  const auto memory =
      GuestMemory::allocate({{GuestAddress{0}, kRegion, -1, 0}, {GuestAddress{kRegion}, kRegion, -1, 0}}).value();
  const std::array<abi::Descriptor, 2> chain{{{kRegion - 4, 4, kNext | kWrite, 1}, {kRegion, 4, kWrite, 0}}};
  copy_bytes(memory->region_bytes(0), std::as_bytes(std::span(chain)));
  const GuestBytes table = memory->window({GuestAddress{0}, 2 * sizeof(abi::Descriptor)}).value();
  ChainRanges ranges;
  ASSERT_TRUE(walk_chain(*memory, table, 0, {2, false}, ranges).ok());
  ASSERT_TRUE(ranges.writer(*memory).put(std::uint64_t{0x0807060504030201}).ok());
  EXPECT_EQ(value_from<std::uint32_t>(memory->region_bytes(0).subspan(kRegion - 4)), 0x04030201U);
  EXPECT_EQ(value_from<std::uint32_t>(memory->region_bytes(1)), 0x08070605U);
}

TEST(ChainWalkOfGigabytes, total_that_does_not_fit_32_bits_is_too_large) {
  constexpr std::uint32_t kGigabyte = 1U << 30;
  const auto memory = make_memory(kGigabyte);
  for (std::uint16_t i = 0; i < 5; ++i) {
    const auto next = static_cast<std::uint16_t>(i + 1);
    // Four are one byte too many for 32 bits; five are too many in any case.
    const abi::Descriptor descriptor{0, kGigabyte, i == 4 ? std::uint16_t{0} : kNext, next};
    copy_bytes(memory->region_bytes(0).subspan(i * sizeof(descriptor)), bytes_of(descriptor));
  }
  const GuestBytes table = memory->window({GuestAddress{0}, 5 * sizeof(abi::Descriptor)}).value();
  ChainRanges ranges;
  const auto walked = walk_chain(*memory, table, 0, {5, false}, ranges);
  ASSERT_FALSE(walked.ok());
  EXPECT_EQ(walked.error(), Fault::kTotalTooLarge);
  EXPECT_TRUE(walk_chain(*memory, table, 2, {5, false}, ranges).ok());
}

}  // namespace
}  // namespace vfs::virtio
