#include <fcntl.h>
#include <sys/sysmacros.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

class StatxTest : public PassthroughTest {
 protected:
  Result<abi::StatxOut> ask(std::uint64_t id, std::uint32_t mask = STATX_BASIC_STATS | STATX_BTIME,
                            std::uint32_t flags = 0) {
    return fs->statx(call(id), {0, 0, 0, flags, mask});
  }
  struct statx oracle(const std::string& name) const {
    struct statx seen{};
    EXPECT_EQ(::statx(AT_FDCWD, (dir / name).c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &seen), 0);
    return seen;
  }
};

void expect_time(const abi::SxTime& seen, const struct statx_timestamp& expected) {
  EXPECT_EQ(seen.tv_sec, expected.tv_sec);
  EXPECT_EQ(seen.tv_nsec, expected.tv_nsec);
  EXPECT_EQ(seen.reserved, 0);
}

TEST_F(StatxTest, tells_what_the_host_tells) {
  put("file", "some text", 0640);
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0750), 0);
  ASSERT_EQ(::symlink("nowhere", (dir / "link").c_str()), 0);
  if (::geteuid() == 0) {
    ASSERT_EQ(::mknod((dir / "device").c_str(), S_IFCHR | 0600, makedev(0x123, 0x45678)), 0);
  }
  for (const char* name : {"file", "sub", "link", "device"}) {
    if (!exists(name)) continue;
    SCOPED_TRACE(name);
    const struct statx expected = oracle(name);
    const auto asked = ask(node(name));
    ASSERT_TRUE(asked.ok());
    const abi::Statx& seen = asked.value().stat;
    EXPECT_EQ(seen.mask, expected.stx_mask & (STATX_BASIC_STATS | STATX_BTIME));
    EXPECT_EQ(seen.mode, expected.stx_mode);
    EXPECT_EQ(seen.nlink, expected.stx_nlink);
    EXPECT_EQ(seen.uid, expected.stx_uid);
    EXPECT_EQ(seen.gid, expected.stx_gid);
    EXPECT_EQ(seen.ino, expected.stx_ino);
    EXPECT_EQ(seen.size, expected.stx_size);
    EXPECT_EQ(seen.blocks, expected.stx_blocks);
    EXPECT_EQ(seen.blksize, expected.stx_blksize);
    EXPECT_EQ(seen.attributes, expected.stx_attributes);
    EXPECT_EQ(seen.attributes_mask, expected.stx_attributes_mask);
    EXPECT_EQ(seen.rdev_major, expected.stx_rdev_major);
    EXPECT_EQ(seen.rdev_minor, expected.stx_rdev_minor);
    EXPECT_EQ(seen.dev_major, expected.stx_dev_major);
    EXPECT_EQ(seen.dev_minor, expected.stx_dev_minor);
    expect_time(seen.atime, expected.stx_atime);
    expect_time(seen.mtime, expected.stx_mtime);
    expect_time(seen.ctime, expected.stx_ctime);
    expect_time(seen.btime, expected.stx_btime);
  }
}

TEST_F(StatxTest, the_mask_claims_nothing_that_the_reply_has_not) {
  put("file", "");
  EXPECT_EQ(ask(node("file"), 0x7fffffff).value().stat.mask & ~std::uint32_t{STATX_BASIC_STATS | STATX_BTIME}, 0U);
}

TEST_F(StatxTest, flags_and_mask_are_checked_as_statx_checks_them) {
  put("file", "");
  const auto file = node("file");
  EXPECT_TRUE(ask(file, STATX_BASIC_STATS, AT_STATX_DONT_SYNC).ok());
  EXPECT_TRUE(ask(file, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC).ok());
  EXPECT_ERRNO(ask(file, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC), EINVAL);
  for (const int flag : {AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_NO_AUTOMOUNT, 1, 0x8000}) {
    EXPECT_ERRNO(ask(file, STATX_BASIC_STATS, static_cast<std::uint32_t>(flag)), EINVAL);
  }
  EXPECT_ERRNO(ask(file, 0x80000000), EINVAL);
  EXPECT_ERRNO(ask(12345), EBADF);
}

TEST_F(StatxTest, attributes_are_valid_as_long_as_those_of_getattr) {
  mount({.attr_timeout_ns = 2'500'000'000});
  const auto seen = ask(abi::kRootId);
  EXPECT_EQ(seen.value().attr_valid, 2U);
  EXPECT_EQ(seen.value().attr_valid_nsec, 500'000'000U);
}

}  // namespace
}  // namespace vfs::test
