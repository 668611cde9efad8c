#include "memory/guest_memory.h"

#include <gtest/gtest.h>

#include <limits>
#include <string_view>
#include <vector>

#include "base/sys.h"
#include "support/fake_driver.h"

namespace vfs {
namespace {

constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();

Errno error_of_allocating(std::vector<GuestMemory::RegionSpec> regions) {
  const auto memory = GuestMemory::allocate(std::move(regions));
  return memory.ok() ? Errno(0) : memory.error();
}

GuestMemory::RegionSpec region(std::uint64_t address, std::uint64_t size) {
  return {GuestAddress{address}, size, -1, 0};
}

GuestRange range(std::uint64_t address, std::uint32_t length) { return {GuestAddress{address}, length}; }

// The memory of a region that is a file of 16 KiB from `offset` on.
struct FileMemory {
  FileMemory() : file(sys::memfd("memory-test", 16384)) {}
  Result<std::shared_ptr<GuestMemory>> map(std::uint64_t size, std::uint64_t offset) const {
    return GuestMemory::from_fds({{GuestAddress{0x1000}, size, file.value().get(), offset}});
  }
  Result<UniqueFd> file;
};

TEST(GuestMemory, no_region_is_refused) { EXPECT_EQ(error_of_allocating({}), Errno(EINVAL)); }

TEST(GuestMemory, empty_region_is_refused) { EXPECT_EQ(error_of_allocating({region(0x1000, 0)}), Errno(EINVAL)); }

TEST(GuestMemory, region_that_wraps_is_refused) {
  EXPECT_EQ(error_of_allocating({region(kTop - 0xfff, 0x1001)}), Errno(EINVAL));
  EXPECT_EQ(error_of_allocating({region(1, kTop)}), Errno(EINVAL));
}

TEST(GuestMemory, region_up_to_the_last_address_is_accepted) {
  EXPECT_EQ(error_of_allocating({region(kTop - 0xfff, 0x1000)}), Errno(0));
}

TEST(GuestMemory, overlapping_regions_are_refused_in_any_order) {
  EXPECT_EQ(error_of_allocating({region(0x1000, 0x2000), region(0x2fff, 0x1000)}), Errno(EINVAL));
  EXPECT_EQ(error_of_allocating({region(0x2fff, 0x1000), region(0x1000, 0x2000)}), Errno(EINVAL));
  EXPECT_EQ(error_of_allocating({region(0x1000, 0x1000), region(0x1000, 0x1000)}), Errno(EINVAL));
  EXPECT_EQ(error_of_allocating({region(0x1000, 0x4000), region(0x2000, 0x1000)}), Errno(EINVAL));
}

TEST(GuestMemory, adjacent_regions_are_accepted) {
  EXPECT_EQ(error_of_allocating({region(0x2000, 0x1000), region(0x1000, 0x1000)}), Errno(0));
}

TEST(GuestMemory, region_beyond_the_end_of_its_file_is_refused) {
  const FileMemory memory;
  EXPECT_EQ(memory.map(16385, 0).error(), Errno(EINVAL));
  EXPECT_EQ(memory.map(4097, 12288).error(), Errno(EINVAL));
  EXPECT_EQ(memory.map(1, 16384).error(), Errno(EINVAL));
  EXPECT_EQ(memory.map(1, kTop).error(), Errno(EINVAL));
  EXPECT_TRUE(memory.map(16384, 0).ok());
  EXPECT_TRUE(memory.map(1, 16383).ok());
}

TEST(GuestMemory, bad_descriptor_is_an_errno) {
  EXPECT_EQ(GuestMemory::from_fds({{GuestAddress{0}, 4096, -1, 0}}).error(), Errno(EBADF));
}

TEST(GuestMemory, failing_system_calls_are_passed_on) {
  for (unsigned nth = 1;; ++nth) {
    ASSERT_LT(nth, 20U);
    const FileMemory memory;
    sys::fault_injection::fail_call(nth, ENOMEM);
    const auto mapped = memory.map(4096, 0);
    sys::fault_injection::fail_call(0, 0);
    if (mapped.ok()) {
      EXPECT_GT(nth, 2U);
      break;
    }
    EXPECT_EQ(mapped.error(), Errno(ENOMEM)) << nth;
  }
}

TEST(GuestMemory, unaligned_file_offset_shows_the_right_bytes) {
  const FileMemory memory;
  const std::string_view text = "at offset 5000";
  ASSERT_EQ(::pwrite(memory.file.value().get(), text.data(), text.size(), 5000), static_cast<ssize_t>(text.size()));
  const auto mapped = memory.map(100, 5000);
  ASSERT_TRUE(mapped.ok());
  std::vector<std::byte> seen(text.size());
  const auto window = mapped.value()->window(range(0x1000, 100));
  ASSERT_TRUE(window.ok());
  window.value().copy_out(0, seen);
  EXPECT_EQ(0, memcmp(seen.data(), text.data(), text.size()));
  EXPECT_EQ(mapped.value()->region_bytes(0).size(), 100U);
  EXPECT_FALSE(mapped.value()->contains(range(0x1000, 101)));
}

TEST(GuestMemory, mapping_outlives_the_callers_descriptor) {
  std::shared_ptr<GuestMemory> memory;
  {
    const FileMemory file;
    memory = file.map(4096, 0).value();
  }
  const auto window = memory->window(range(0x1000, 8));
  ASSERT_TRUE(window.ok());
  window.value().store(0, std::uint64_t{42});
  EXPECT_EQ(window.value().load<std::uint64_t>(0), 42U);
}

TEST(GuestMemory, window_at_the_borders_of_a_region) {
  const auto memory = test::make_memory(0x1000, 0x10000);
  EXPECT_TRUE(memory->contains(range(0x10000, 0x1000)));
  EXPECT_TRUE(memory->contains(range(0x10fff, 1)));
  EXPECT_FALSE(memory->contains(range(0x10fff, 2)));
  EXPECT_FALSE(memory->contains(range(0xffff, 1)));
  EXPECT_FALSE(memory->contains(range(0xffff, 2)));
  EXPECT_FALSE(memory->contains(range(0x11000, 1)));
  EXPECT_EQ(memory->window(range(0x11000, 1)).error(), Fault::kAddressOutsideMemory);
  EXPECT_EQ(memory->window(range(0, 1)).error(), Fault::kAddressOutsideMemory);
}

TEST(GuestMemory, range_across_two_adjacent_regions_is_refused) {
  auto memory = GuestMemory::allocate({region(0x2000, 0x1000), region(0x1000, 0x1000)});
  ASSERT_TRUE(memory.ok());
  EXPECT_TRUE(memory.value()->contains(range(0x1ffc, 4)));
  EXPECT_TRUE(memory.value()->contains(range(0x2000, 4)));
  EXPECT_EQ(memory.value()->window(range(0x1ffc, 5)).error(), Fault::kAddressOutsideMemory);
}

TEST(GuestMemory, ranges_near_the_top_do_not_wrap) {
  const auto low = test::make_memory(0x10000, 0);
  EXPECT_FALSE(low->contains(range(kTop, 1)));
  EXPECT_FALSE(low->contains(range(kTop, 2)));
  EXPECT_FALSE(low->contains(range(kTop - 0xf, 0x20)));
  const auto high = test::make_memory(0x1000, kTop - 0xfff);
  EXPECT_TRUE(high->contains(range(kTop, 1)));
  EXPECT_FALSE(high->contains(range(kTop, 2)));
  EXPECT_FALSE(high->contains(range(kTop - 0xf, 0xffffffff)));
}

TEST(GuestMemory, regions_keep_the_order_in_which_they_were_given) {
  auto memory = GuestMemory::allocate({region(0x9000, 0x3000), region(0x1000, 0x1000), region(0x5000, 0x2000)});
  ASSERT_TRUE(memory.ok());
  ASSERT_EQ(memory.value()->region_count(), 3U);
  EXPECT_EQ(memory.value()->region_bytes(0).size(), 0x3000U);
  EXPECT_EQ(memory.value()->region_bytes(1).size(), 0x1000U);
  EXPECT_EQ(memory.value()->region_bytes(2).size(), 0x2000U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(sys::file_size(memory.value()->region_fd(i)).value(), memory.value()->region_bytes(i).size());
  }
  memory.value()->region_bytes(2)[1] = std::byte{7};
  EXPECT_EQ(memory.value()->window(range(0x5001, 1)).value().load<std::byte>(0), std::byte{7});
}

TEST(GuestMemory, mapped_regions_can_be_kept_from_children) {
  EXPECT_TRUE(test::make_memory(0x10000)->exclude_from_fork().ok());
}

TEST(GuestMemory, borrowed_memory_is_there_between_attach_and_detach) {
  std::vector<std::byte> first(64);
  std::vector<std::byte> second(32);
  const auto memory = GuestMemory::borrow();
  EXPECT_TRUE(memory->borrowed());
  EXPECT_EQ(memory->region_count(), 0U);
  EXPECT_EQ(memory->window(range(0x100, 1)).error(), Fault::kMemoryUnavailable);

  memory->attach(first, GuestAddress{0x100}, nullptr);
  EXPECT_TRUE(memory->contains(range(0x100, 64)));
  EXPECT_EQ(memory->window(range(0x100, 65)).error(), Fault::kAddressOutsideMemory);
  EXPECT_EQ(memory->window(range(0xff, 1)).error(), Fault::kAddressOutsideMemory);

  memory->attach(second, GuestAddress{0}, nullptr);  // it moved, and shrank
  memory->window(range(4, 4)).value().store(0, std::uint32_t{0x01010101});
  EXPECT_EQ(second[4], std::byte{1});
  EXPECT_FALSE(memory->contains(range(0x100, 1)));

  memory->detach();
  EXPECT_EQ(memory->window(range(4, 4)).error(), Fault::kMemoryUnavailable);
}

TEST(GuestMemory, borrowed_memory_of_no_bytes_is_unavailable) {
  const auto memory = GuestMemory::borrow();
  memory->attach({}, GuestAddress{0}, nullptr);
  EXPECT_EQ(memory->window(range(0, 1)).error(), Fault::kMemoryUnavailable);
}

TEST(GuestMemory, borrowed_memory_at_the_top_does_not_wrap) {
  std::vector<std::byte> bytes(64);
  const auto memory = GuestMemory::borrow();
  memory->attach(bytes, GuestAddress{kTop - 15}, nullptr);
  EXPECT_TRUE(memory->contains(range(kTop - 15, 8)));
  EXPECT_FALSE(memory->contains(range(kTop - 15, 64)));
  EXPECT_FALSE(memory->contains(range(0, 1)));
}

TEST(GuestBytesDeathTest, access_beyond_the_window_ends_the_process) {
  const auto memory = test::make_memory(0x1000);
  const GuestBytes window = memory->window(range(0, 8)).value();
  EXPECT_DEATH(static_cast<void>(window.load<std::uint64_t>(1)), "internal error");
  EXPECT_DEATH(static_cast<void>(window.load<std::uint8_t>(std::numeric_limits<std::size_t>::max())), "internal error");
}

// --- a region more or less

TEST(GuestMemoryOfRegions, a_region_more_shares_what_is_mapped_and_outlives_the_memory_that_it_was_added_to) {
  const FileMemory file;
  auto before = file.map(4096, 0).value();
  const auto after = before->with_region({GuestAddress{0x10000}, 4096, file.file.value().get(), 8192}).value();
  EXPECT_EQ(after->region_count(), 2U);
  EXPECT_EQ(before->region_count(), 1U);
  EXPECT_EQ(after->region_bytes(0).data(), before->region_bytes(0).data());
  EXPECT_EQ(after->region_fd(0), -1);
  before.reset();
  after->window(range(0x1000, 4)).value().store(0, std::uint32_t{7});
  after->window(range(0x10000, 4)).value().store(0, std::uint32_t{8});
  EXPECT_EQ(value_from<std::uint32_t>(after->region_bytes(0)), 7U);
  EXPECT_EQ(value_from<std::uint32_t>(after->region_bytes(1)), 8U);
}

TEST(GuestMemoryOfRegions, a_region_that_overlaps_wraps_or_is_beyond_its_file_is_refused) {
  const FileMemory file;
  const auto memory = file.map(4096, 0).value();
  const auto error = [&](std::uint64_t address, std::uint64_t size, std::uint64_t offset) {
    const auto more = memory->with_region({GuestAddress{address}, size, file.file.value().get(), offset});
    return more.ok() ? Errno(0) : more.error();
  };
  EXPECT_EQ(error(0x1fff, 4096, 0), Errno(EINVAL));
  EXPECT_EQ(error(0x2000, 4096, 0), Errno(0));
  EXPECT_EQ(error(0x2000, 16385, 0), Errno(EINVAL));
  EXPECT_EQ(error(0x2000, 4096, 12289), Errno(EINVAL));
  EXPECT_EQ(error(kTop - 100, 4096, 0), Errno(EINVAL));
  EXPECT_EQ(error(0x2000, 0, 0), Errno(EINVAL));
}

TEST(GuestMemoryOfRegions, regions_are_removed_by_the_order_in_which_they_came) {
  const FileMemory file;
  const int fd = file.file.value().get();
  const auto memory = GuestMemory::from_fds({{GuestAddress{0x9000}, 4096, fd, 0},
                                             {GuestAddress{0x1000}, 4096, fd, 4096},
                                             {GuestAddress{0x5000}, 4096, fd, 8192}})
                          .value();
  const auto fewer = memory->without_region(1);
  EXPECT_FALSE(fewer->contains(range(0x1000, 1)));
  EXPECT_TRUE(fewer->contains(range(0x9000, 1)));
  EXPECT_EQ(fewer->region_bytes(1).data(), memory->region_bytes(2).data());
  const auto none = fewer->without_region(0)->without_region(0);
  EXPECT_EQ(none->region_count(), 0U);
  EXPECT_EQ(none->window(range(0x9000, 1)).error(), Fault::kAddressOutsideMemory);
}

TEST(GuestMemoryOfRegions, damage_is_known_to_every_memory_with_that_region_and_to_no_other) {
  const FileMemory file;
  const FileMemory other;
  const auto memory = file.map(4096, 0).value();
  const auto both = memory->with_region({GuestAddress{0x10000}, 4096, other.file.value().get(), 0}).value();
  ASSERT_TRUE(sys::ftruncate(other.file.value().get(), 0).ok());
  EXPECT_FALSE(both->damaged());
  EXPECT_EQ(both->window(range(0x10000, 4)).value().load<std::uint32_t>(0), 0U);
  EXPECT_TRUE(both->damaged());
  EXPECT_FALSE(memory->damaged());
  EXPECT_FALSE(both->without_region(1)->damaged());
}

}  // namespace
}  // namespace vfs
