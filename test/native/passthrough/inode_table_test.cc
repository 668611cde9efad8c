#include "passthrough/inode_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "fuse/abi.h"

namespace vfs::passthrough {
namespace {

constexpr std::uint32_t kSession = 1;

class InodeTableTest : public ::testing::Test {
 protected:
  InodeTableTest() { table.begin_session(kSession); }

  static UniqueFd null_fd() { return UniqueFd(::open("/dev/null", O_PATH | O_CLOEXEC)); }
  Result<std::shared_ptr<Inode>> acquire(std::uint64_t ino, std::uint32_t session = kSession) {
    struct statx seen{};
    seen.stx_mask = STATX_BASIC_STATS | STATX_MNT_ID;
    seen.stx_dev_minor = 1;
    seen.stx_ino = ino;
    seen.stx_mnt_id = 1;
    seen.stx_mode = S_IFREG;
    return table.acquire(session, seen, Anchor{null_fd(), {}, nullptr});
  }

  static constexpr InodeKey kRootKey{1, 1, 1};
  InodeTable table{std::make_shared<Inode>(abi::kRootId, kRootKey, mode_t{S_IFDIR}, Anchor{null_fd(), {}, nullptr}),
                   100};
};

TEST_F(InodeTableTest, one_object_of_the_host_is_one_inode) {
  const auto first = acquire(10);
  const auto again = acquire(10);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first.value(), again.value());
  EXPECT_EQ(table.acquire_known(kSession, {1, 10, 1}).value(), first.value());
  // Another mount or device is another object.
  EXPECT_EQ(table.acquire_known(kSession, {1, 10, 2}).value(), nullptr);
  EXPECT_EQ(table.acquire_known(kSession, {2, 10, 1}).value(), nullptr);
  EXPECT_EQ(table.size(), 1U);
  EXPECT_EQ(table.get(first.value()->id()).value(), first.value());
}

TEST_F(InodeTableTest, goes_with_the_last_lookup_and_not_before) {
  const std::uint64_t id = acquire(10).value()->id();
  ASSERT_TRUE(acquire(10).ok());
  table.forget(id, 1);
  EXPECT_TRUE(table.get(id).ok());
  table.forget(id, 1);
  EXPECT_EQ(table.get(id).error(), Errno(EBADF));
  EXPECT_EQ(table.acquire_known(kSession, {1, 10, 1}).value(), nullptr);
  EXPECT_NE(acquire(10).value()->id(), id);
}

TEST_F(InodeTableTest, forgetting_too_much_is_forgetting_all) {
  const std::uint64_t id = acquire(10).value()->id();
  table.forget(id, ~std::uint64_t{0});
  table.forget(id, ~std::uint64_t{0});
  EXPECT_EQ(table.size(), 0U);
  EXPECT_TRUE(acquire(10).ok());
  EXPECT_EQ(table.size(), 1U);
}

TEST_F(InodeTableTest, the_root_stays) {
  table.forget(abi::kRootId, ~std::uint64_t{0});
  EXPECT_TRUE(table.get(abi::kRootId).ok());
  EXPECT_EQ(table.acquire_known(kSession, kRootKey).value(), table.root());
  table.begin_session(kSession + 1);
  EXPECT_EQ(table.get(abi::kRootId).value(), table.root());
}

TEST_F(InodeTableTest, a_new_session_knows_nothing_of_the_old_one) {
  const auto kept = acquire(10).value();
  table.begin_session(kSession + 1);
  EXPECT_EQ(table.get(kept->id()).error(), Errno(EBADF));
  EXPECT_EQ(table.size(), 0U);
  EXPECT_GE(kept->path_fd().value().get(), 0);
  // A late request of the old session leaves nothing behind.
  EXPECT_EQ(acquire(11).error(), Errno(EIO));
  EXPECT_EQ(table.acquire_known(kSession, {1, 10, 1}).error(), Errno(EIO));
  EXPECT_EQ(table.size(), 0U);
  // And a late forget takes nothing away.
  const auto fresh = acquire(10, kSession + 1).value();
  table.forget(kept->id(), 1);
  EXPECT_TRUE(table.get(fresh->id()).ok());
}

TEST_F(InodeTableTest, lookups_and_forgets_of_several_threads_balance) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (std::uint64_t i = 0; i < 2000; ++i) {
        const auto inode = acquire(10 + i % 7);
        ASSERT_TRUE(inode.ok());
        table.forget(inode.value()->id(), 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace vfs::passthrough
