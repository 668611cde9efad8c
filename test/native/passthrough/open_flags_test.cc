#include "passthrough/open_flags.h"

#include <fcntl.h>

#include <set>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

using passthrough::OpenPolicy;
using passthrough::to_open_flags;

constexpr std::uint64_t kTruncates = abi::init_flag::kAtomicOTrunc;

int host_flags(int guest, const OpenPolicy& policy = {false, false}, std::uint64_t negotiated = kTruncates) {
  const auto flags = to_open_flags(static_cast<std::uint32_t>(guest), {46, negotiated}, policy);
  EXPECT_TRUE(flags.ok());
  return flags.ok() ? flags.value().host : -1;
}

TEST(OpenFlags, what_decides_on_the_object_never_passes) {
  EXPECT_EQ(host_flags(O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECTORY | O_NOCTTY | O_APPEND | O_ASYNC), O_RDWR);
  EXPECT_EQ(host_flags(O_WRONLY | O_TRUNC | O_SYNC | O_NONBLOCK), O_WRONLY | O_TRUNC | O_SYNC | O_NONBLOCK);
  EXPECT_EQ(host_flags(O_WRONLY | O_TRUNC, {false, false}, 0), O_WRONLY);
}

TEST(OpenFlags, direct_io_and_noatime_pass_where_they_are_allowed) {
  EXPECT_EQ(host_flags(O_RDONLY | O_DIRECT | O_NOATIME), O_RDONLY);
  EXPECT_EQ(host_flags(O_RDONLY | O_DIRECT | O_NOATIME, {true, false}), O_DIRECT);
  EXPECT_EQ(host_flags(O_RDONLY | O_DIRECT | O_NOATIME, {false, true}), O_NOATIME);
}

TEST(OpenFlags, what_opens_nothing_is_einval) {
  for (const int wrong : {O_PATH, O_TMPFILE | O_RDWR, O_TMPFILE & ~O_DIRECTORY, O_ACCMODE}) {
    EXPECT_ERRNO(to_open_flags(static_cast<std::uint32_t>(wrong), {46, kTruncates}, {false, false}), EINVAL);
  }
}

TEST(OpenFlags, a_writeback_cache_needs_to_read_and_knows_where_the_end_is) {
  const fuse::Negotiated writeback{46, kTruncates | abi::init_flag::kWritebackCache};
  const auto flags = to_open_flags(O_WRONLY | O_APPEND, writeback, {false, false});
  EXPECT_EQ(flags.value().host, O_RDWR);
  EXPECT_FALSE(flags.value().appends);
  EXPECT_TRUE(to_open_flags(O_WRONLY | O_APPEND, {46, 0}, {false, false}).value().appends);
}

class OpenOptionsTest : public PassthroughTest {
 protected:
  int flags_of(std::uint64_t handle_flags) {
    const auto before = descriptors();
    const auto handle = open(file, static_cast<int>(handle_flags));
    EXPECT_NE(handle, 0U);
    for (const int fd : descriptors()) {
      if (!before.contains(fd)) return ::fcntl(fd, F_GETFL);
    }
    return -1;
  }
  static std::set<int> descriptors() {
    std::set<int> open;
    for (int fd = 0; fd < 1024; ++fd) {
      if (::fcntl(fd, F_GETFD) != -1) open.insert(fd);
    }
    return open;
  }
  std::uint64_t file = 0;
};

TEST_F(OpenOptionsTest, options_reach_the_descriptor) {
  put("file", "text");
  file = node("file");
  EXPECT_EQ(flags_of(O_RDONLY | O_NOATIME | O_DIRECT) & (O_NOATIME | O_DIRECT), 0);
  mount({.allow_direct_io = true, .preserve_noatime = true});
  file = node("file");
  EXPECT_EQ(flags_of(O_RDONLY | O_NOATIME) & O_NOATIME, O_NOATIME);
  const int direct = ::open((dir / "file").c_str(), O_RDONLY | O_DIRECT);
  if (direct == -1) GTEST_SKIP() << "no O_DIRECT here";
  ::close(direct);
  EXPECT_EQ(flags_of(O_RDONLY | O_DIRECT) & O_DIRECT, O_DIRECT);
}

TEST_F(OpenOptionsTest, shared_mappings_without_a_cache_are_asked_for_only_if_wanted) {
  EXPECT_EQ(negotiated.flags & abi::init_flag::kDirectIoAllowMmap, 0U);
  mount({.allow_mmap = true});
  EXPECT_NE(negotiated.flags & abi::init_flag::kDirectIoAllowMmap, 0U);
}

TEST_F(OpenOptionsTest, read_only_shares_open_for_reading_only) {
  put("file", "text");
  mount({.read_only = true});
  file = node("file");
  EXPECT_NE(open(file, O_RDONLY), 0U);
  for (const int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC}) {
    EXPECT_ERRNO(fs->open(call(file), {static_cast<std::uint32_t>(flags), 0}), EROFS);
  }
  EXPECT_EQ(get("file"), "text");
}

TEST_F(OpenOptionsTest, create_on_a_read_only_share_opens_what_is_there) {
  put("file", "text");
  mount({.read_only = true});
  const auto create = [&](const std::string& name, int flags) {
    const abi::CreateIn in{static_cast<std::uint32_t>(flags | O_CREAT), S_IFREG | 0644, 022, 0};
    return fs->create(call(), in, NameOf(name), {});
  };
  EXPECT_TRUE(create("file", O_RDONLY).ok());
  EXPECT_ERRNO(create("file", O_RDWR), EROFS);
  EXPECT_ERRNO(create("file", O_RDONLY | O_TRUNC), EROFS);
  EXPECT_ERRNO(create("file", O_RDONLY | O_EXCL), EEXIST);
  EXPECT_ERRNO(create("new", O_RDONLY | O_EXCL), EROFS);
  EXPECT_ERRNO(create("new", O_RDWR), EROFS);
  EXPECT_FALSE(exists("new"));
  EXPECT_EQ(get("file"), "text");
}

TEST_F(OpenOptionsTest, access_to_write_on_a_read_only_share_is_erofs_but_for_special_files) {
  put("file", "");
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  mount({.read_only = true});
  EXPECT_ERRNO(fs->access(call(node("file")), {W_OK, 0}), EROFS);
  EXPECT_ERRNO(fs->access(call(), {W_OK | R_OK, 0}), EROFS);
  EXPECT_TRUE(fs->access(call(node("file")), {R_OK, 0}).ok());
  EXPECT_TRUE(fs->access(call(node("fifo")), {W_OK, 0}).ok());
}

}  // namespace
}  // namespace vfs::test
