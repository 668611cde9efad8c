#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

using Answer = fuse::FileSystem::IoctlAnswer;

constexpr std::uint32_t kGetFlags32 = 0x80046601;
constexpr std::uint32_t kGetFlags64 = 0x80086601;
constexpr std::uint32_t kSetFlags32 = 0x40046602;
constexpr std::uint32_t kSetFlags64 = 0x40086602;
constexpr std::uint32_t kFsGetXattr = 0x801c581f;
constexpr std::uint32_t kFsSetXattr = 0x401c5820;
constexpr std::uint32_t kGetPolicy = 0xc0096616;
constexpr std::uint32_t kEnableVerity = 0x40806685;
constexpr std::uint32_t kMeasureVerity = 0xc0046686;

constexpr std::uint32_t kUser = 1234;

std::vector<std::byte> bytes_for(std::uint32_t value, std::size_t size = 4) {
  std::vector<std::byte> bytes(size);
  copy_bytes(bytes, bytes_of(value));
  return bytes;
}

class IoctlTest : public PassthroughTest {
 protected:
  void SetUp() override {
    PassthroughTest::SetUp();
    put("file", "content");
    file = node("file");
    handle = open(file, O_RDONLY);
    directory = fs->opendir(call(), {0, 0}).value().fh;
    int flags = 0;
    supported = host_ioctl("file", FS_IOC_GETFLAGS, &flags) == 0;
  }
  // The ioctl on the host: 0, or the errno.
  int host_ioctl(const std::string& name, unsigned long request, void* argument) const {
    const int fd = ::open((dir / name).c_str(), O_RDONLY);
    const int result = ::ioctl(fd, request, argument) == 0 ? 0 : errno;
    ::close(fd);
    return result;
  }
  std::uint32_t host_flags(const std::string& name) const {
    std::uint32_t flags = 0;
    EXPECT_EQ(host_ioctl(name, FS_IOC_GETFLAGS, &flags), 0);
    return flags;
  }
  Result<Answer> ask(std::uint32_t command, const std::vector<std::byte>& data, std::size_t room,
                     std::uint32_t uid = ::geteuid()) {
    out.assign(room, std::byte{0});
    const abi::IoctlIn in{
        handle, 0, command, 0, static_cast<std::uint32_t>(data.size()), static_cast<std::uint32_t>(room)};
    fuse::Call caller = call(file, uid);
    caller.negotiated.minor = minor;
    return fs->ioctl(caller, in, data, out);
  }
  Result<Answer> ask_directory(std::uint32_t command, const std::vector<std::byte>& data, std::size_t room) {
    out.assign(room, std::byte{0});
    const abi::IoctlIn in{directory,
                          abi::kIoctlDir,
                          command,
                          0,
                          static_cast<std::uint32_t>(data.size()),
                          static_cast<std::uint32_t>(room)};
    return fs->ioctl(call(), in, data, out);
  }

  std::uint64_t file = 0;
  std::uint64_t handle = 0;
  std::uint64_t directory = 0;
  std::uint32_t minor = 46;
  bool supported = false;
  std::vector<std::byte> out;
};

TEST_F(IoctlTest, anything_else_is_enotty) {
  // FIONREAD, FICLONE, FS_IOC_GETVERSION, FIBMAP, TCGETS, and numbers that mean nothing.
  for (const std::uint32_t command : {0x541bU, 0x40049409U, 0x80087601U, 1U, 0x5401U, 0U, 0xffffffffU}) {
    EXPECT_ERRNO(ask(command, bytes_for(0, 64), 64), ENOTTY);
    EXPECT_ERRNO(ask_directory(command, bytes_for(0, 64), 64), ENOTTY);
  }
}

TEST_F(IoctlTest, handles_are_checked) {
  out.resize(4);
  EXPECT_ERRNO(fs->ioctl(call(file), {12345, 0, kGetFlags64, 0, 0, 4}, {}, out), EBADF);
  EXPECT_ERRNO(fs->ioctl(call(), {handle, 0, kGetFlags64, 0, 0, 4}, {}, out), EBADF);
  EXPECT_ERRNO(fs->ioctl(call(file), {handle, abi::kIoctlDir, kGetFlags64, 0, 0, 4}, {}, out), EBADF);
  EXPECT_ERRNO(fs->ioctl(call(), {directory, 0, kGetFlags64, 0, 0, 4}, {}, out), EBADF);
}

TEST_F(IoctlTest, flags_are_read_by_both_numbers_on_files_and_directories) {
  if (!supported) GTEST_SKIP() << "the file system has no flags";
  for (const std::uint32_t command : {kGetFlags32, kGetFlags64}) {
    const auto answer = ask(command, {}, 4);
    ASSERT_TRUE(answer.ok()) << answer.error().value();
    EXPECT_EQ(answer.value().result, 0);
    EXPECT_EQ(answer.value().out_bytes, 4U);
    EXPECT_EQ(value_from<std::uint32_t>(out), host_flags("file"));
    ASSERT_TRUE(ask_directory(command, {}, 4).ok());
    EXPECT_EQ(value_from<std::uint32_t>(out), host_flags("."));
    // A guest before 5.13 makes room for a long; the kernel fills an int.
    EXPECT_EQ(ask(command, {}, 8).value().out_bytes, 4U);
  }
}

TEST_F(IoctlTest, flags_are_set_by_both_numbers) {
  if (!supported) GTEST_SKIP() << "the file system has no flags";
  const std::uint32_t before = host_flags("file");
  ASSERT_TRUE(ask(kSetFlags32, bytes_for(before | FS_NODUMP_FL), 0).ok());
  EXPECT_EQ(host_flags("file"), before | FS_NODUMP_FL);
  ASSERT_TRUE(ask(kSetFlags64, bytes_for(before, 8), 0).ok());
  EXPECT_EQ(host_flags("file"), before);
  ASSERT_TRUE(ask_directory(kSetFlags64, bytes_for(host_flags(".") | FS_NOATIME_FL), 0).ok());
  EXPECT_NE(host_flags(".") & FS_NOATIME_FL, 0U);
}

TEST_F(IoctlTest, a_failing_ioctl_is_an_error_as_on_the_host) {
  if (!supported) GTEST_SKIP() << "the file system has no flags";
  std::uint32_t nonsense = 0xffffffff;
  const int expected = host_ioctl("file", FS_IOC_SETFLAGS, &nonsense);
  ASSERT_NE(expected, 0);
  EXPECT_ERRNO(ask(kSetFlags64, bytes_for(nonsense), 0), expected);
}

TEST_F(IoctlTest, extended_flags_and_project) {
  struct fsxattr expected{};
  if (host_ioctl("file", FS_IOC_FSGETXATTR, &expected) != 0) GTEST_SKIP() << "the file system has none";
  const auto answer = ask(kFsGetXattr, {}, 28);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer.value().out_bytes, 28U);
  EXPECT_EQ(0, std::memcmp(out.data(), &expected, 20));
  const auto flags = value_from<std::uint32_t>(out);
  std::vector<std::byte> changed = out;
  copy_bytes(changed, bytes_of(flags | std::uint32_t{FS_XFLAG_NODUMP}));
  ASSERT_TRUE(ask(kFsSetXattr, changed, 0).ok());
  EXPECT_NE(host_flags("file") & FS_NODUMP_FL, 0U);
}

TEST_F(IoctlTest, arguments_too_short_are_einval) {
  for (const std::uint32_t command : {kGetFlags32, kGetFlags64, kFsGetXattr, kGetPolicy, kMeasureVerity}) {
    EXPECT_ERRNO(ask(command, bytes_for(0, 8), 3), EINVAL);
    EXPECT_ERRNO(ask(command, bytes_for(0, 8), 0), EINVAL);
  }
  EXPECT_ERRNO(ask(kFsGetXattr, {}, 27), EINVAL);
  EXPECT_ERRNO(ask(kFsSetXattr, bytes_for(0, 27), 0), EINVAL);
  for (const std::uint32_t command : {kSetFlags32, kSetFlags64, kEnableVerity}) {
    EXPECT_ERRNO(ask(command, bytes_for(0, 3), 0), EINVAL);
    EXPECT_ERRNO(ask(command, {}, 0), EINVAL);
  }
  EXPECT_ERRNO(ask(kGetPolicy, bytes_for(0, 7), 32), EINVAL);
  EXPECT_ERRNO(ask(kMeasureVerity, bytes_for(0, 3), 68), EINVAL);
}

TEST_F(IoctlTest, verity_parts_must_be_there) {
  const auto with = [&](std::uint32_t salt, std::uint32_t signature, std::size_t behind) {
    fsverity_enable_arg argument{};
    argument.version = 1;
    argument.hash_algorithm = 1;
    argument.block_size = 4096;
    argument.salt_size = salt;
    argument.sig_size = signature;
    std::vector<std::byte> data(sizeof(argument) + behind);
    copy_bytes(data, bytes_of(argument));
    return data;
  };
  EXPECT_ERRNO(ask(kEnableVerity, with(1, 0, 0), 0), EINVAL);
  EXPECT_ERRNO(ask(kEnableVerity, with(32, 32, 63), 0), EINVAL);
  EXPECT_ERRNO(ask(kEnableVerity, with(0xffffffff, 1, 8), 0), EINVAL);
  EXPECT_ERRNO(ask(kEnableVerity, with(1, 0xffffffff, 8), 0), EINVAL);
}

TEST_F(IoctlTest, verity_fails_or_works_as_on_the_host) {
  put("twin", "content");
  fsverity_enable_arg argument{};
  argument.version = 1;
  argument.hash_algorithm = 1;
  argument.block_size = 4096;
  std::vector<std::byte> data(sizeof(argument));
  copy_bytes(data, bytes_of(argument));
  const int expected = host_ioctl("twin", FS_IOC_ENABLE_VERITY, &argument);
  const auto enabled = ask(kEnableVerity, data, 0);
  EXPECT_EQ(enabled.ok() ? 0 : enabled.error().value(), expected);
  std::vector<std::byte> digest(68);
  const std::uint16_t room = 64;
  copy_bytes(MutableByteSpan(digest).subspan(2), bytes_of(room));
  std::vector<std::byte> host_digest = digest;
  const int measured = host_ioctl("twin", FS_IOC_MEASURE_VERITY, host_digest.data());
  const auto answer = ask(kMeasureVerity, digest, digest.size());
  EXPECT_EQ(answer.ok() ? 0 : answer.error().value(), measured);
  if (answer.ok()) {
    host_digest.resize(answer.value().out_bytes);
    out.resize(answer.value().out_bytes);
    EXPECT_EQ(out, host_digest);
  }
}

TEST_F(IoctlTest, verity_needs_permission_to_write) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  fsverity_enable_arg argument{};
  argument.version = 1;
  std::vector<std::byte> data(sizeof(argument));
  copy_bytes(data, bytes_of(argument));
  EXPECT_ERRNO(ask(kEnableVerity, data, 0, kUser), EACCES);
}

TEST_F(IoctlTest, old_guests_do_not_check_who_sets_flags_so_we_do) {
  if (!supported || ::geteuid() != 0) GTEST_SKIP() << "needs root and a file system with flags";
  const std::uint32_t before = host_flags("file");
  minor = 31;
  EXPECT_ERRNO(ask(kSetFlags64, bytes_for(before | FS_NODUMP_FL), 0, kUser), EPERM);
  ASSERT_EQ(::chown((dir / "file").c_str(), kUser, kUser), 0);
  EXPECT_ERRNO(ask(kSetFlags64, bytes_for(before | FS_IMMUTABLE_FL), 0, kUser), EPERM);
  EXPECT_ERRNO(ask(kSetFlags64, bytes_for(before | FS_APPEND_FL), 0, kUser), EPERM);
  EXPECT_TRUE(ask(kSetFlags64, bytes_for(before | FS_NODUMP_FL), 0, kUser).ok());
  EXPECT_EQ(host_flags("file"), before | FS_NODUMP_FL);
  minor = 46;
  EXPECT_TRUE(ask(kSetFlags64, bytes_for(before), 0, kUser + 1).ok()) << "this guest has checked";
}

TEST_F(IoctlTest, read_only_shares_tell_and_change_nothing) {
  mount({.read_only = true});
  file = node("file");
  handle = open(file, O_RDONLY);
  EXPECT_ERRNO(ask(kSetFlags64, bytes_for(0), 0), EROFS);
  EXPECT_ERRNO(ask(kFsSetXattr, bytes_for(0, 28), 0), EROFS);
  EXPECT_ERRNO(ask(kEnableVerity, bytes_for(0, 128), 0), EROFS);
  if (supported) {
    EXPECT_TRUE(ask(kGetFlags64, {}, 4).ok());
  }
}

}  // namespace
}  // namespace vfs::test
