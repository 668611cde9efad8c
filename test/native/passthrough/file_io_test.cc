#include <fcntl.h>
#include <linux/falloc.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

using passthrough::CachePolicy;

class FileIoTest : public PassthroughTest {};

TEST_F(FileIoTest, reads_what_is_there_and_no_more) {
  put("file", "0123456789");
  const auto file = node("file");
  const auto handle = open(file, O_RDONLY);
  for (const bool may_wait : {true, false}) {
    EXPECT_EQ(read(file, handle, 0, 4, may_wait).value(), "0123");
    EXPECT_EQ(read(file, handle, 6, 100, may_wait).value(), "6789");
    EXPECT_EQ(read(file, handle, 10, 100, may_wait).value(), "");
    EXPECT_EQ(read(file, handle, 1000, 100, may_wait).value(), "");
    EXPECT_ERRNO(read(file, handle, ~std::uint64_t{0}, 1, may_wait), EINVAL);
  }
  EXPECT_ERRNO(write(file, handle, 0, "x"), EBADF);
}

TEST_F(FileIoTest, reads_without_waiting_on_a_file_system_in_memory) {
  struct statfs seen{};
  if (::statfs("/dev/shm", &seen) != 0 || ::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "no /dev/shm";
  const TempDir memory("/dev/shm");
  std::ofstream(memory / "file") << "in memory";
  auto made = passthrough::PassthroughFs::create({.root = memory.path()});
  ASSERT_TRUE(made.ok());
  fs = std::move(made).value();
  ASSERT_TRUE(fs->init(kSession, 0).ok());
  const auto file = node("file");
  const auto handle = open(file, O_RDONLY);
  EXPECT_EQ(read(file, handle, 0, 100, false).value(), "in memory");
  EXPECT_EQ(read(file, handle, 3, 100, false).value(), "memory");
}

TEST_F(FileIoTest, a_file_system_without_nowait_is_asked_once) {
  put("file", "text");
  const auto file = node("file");
  const auto handle = open(file, O_RDONLY);
  const GuestBuffer buffer(4);
  GuestWriter writer = buffer.writer();
  fuse::Call not_waiting = call(file);
  not_waiting.may_wait = false;
  sys::fault_injection::fail_call(1, EOPNOTSUPP);
  const auto refused = fs->read(not_waiting, {handle, 0, 4, 0, 0, 0, 0}, writer);
  sys::fault_injection::fail_call(0, 0);
  struct statfs seen{};
  ASSERT_EQ(::statfs(dir.path().c_str(), &seen), 0);
  if (seen.f_type == 0x01021994) {  // tmpfs: it is read at once
    EXPECT_TRUE(refused.ok());
    return;
  }
  EXPECT_EQ(refused.error(), kWouldWait);
  EXPECT_EQ(read(file, handle, 0, 4, false).error(), kWouldWait);
  EXPECT_EQ(read(file, handle, 0, 4, true).value(), "text");
}

TEST_F(FileIoTest, writes_where_it_is_told) {
  put("file", "0123456789");
  const auto file = node("file");
  const auto handle = open(file, O_RDWR);
  EXPECT_EQ(write(file, handle, 3, "abc").value().size, 3U);
  EXPECT_EQ(get("file"), "012abc6789");
  EXPECT_EQ(write(file, handle, 12, "end").value().size, 3U);
  EXPECT_EQ(get("file"), std::string("012abc6789\0\0end", 15));
  EXPECT_ERRNO(write(file, handle, ~std::uint64_t{0}, "x"), EINVAL);
}

TEST_F(FileIoTest, writes_through_to_the_disk_only_where_waiting_is_allowed) {
  put("f", "before");
  const std::uint64_t file = node("f");
  for (const int flags : {O_WRONLY | O_DSYNC, O_WRONLY | O_SYNC}) {
    const std::uint64_t handle = open(file, flags);
    const GuestBuffer buffer(std::string("after."));
    GuestReader reader = buffer.reader();
    fuse::Call not_waiting = call(file);
    not_waiting.may_wait = false;
    EXPECT_ERRNO(fs->write(not_waiting, {handle, 0, 6, 0, 0, 0, 0}, reader), kWouldWait.value());
    EXPECT_EQ(reader.remaining(), 6U);
    EXPECT_TRUE(fs->write(call(file), {handle, 0, 6, 0, 0, 0, 0}, reader).ok());
    EXPECT_EQ(get("f"), "after.");
  }
}

TEST_F(FileIoTest, appends_go_to_the_end_and_cached_pages_where_they_belong) {
  put("file", "0123");
  const auto file = node("file");
  const auto handle = open(file, O_WRONLY | O_APPEND);
  std::ofstream(dir / "file", std::ios::app) << "45";  // another writer, of which the guest does not know
  EXPECT_TRUE(write(file, handle, 4, "ab").ok());
  EXPECT_EQ(get("file"), "012345ab");
  EXPECT_TRUE(write(file, handle, 0, "XY", abi::kWriteCache).ok());
  EXPECT_EQ(get("file"), "XY2345ab");
}

TEST_F(FileIoTest, writeback_reads_write_only_files_and_never_appends) {
  mount({.writeback = true});
  put("file", "0123");
  const auto file = node("file");
  const auto handle = open(file, O_WRONLY | O_APPEND);
  EXPECT_EQ(read(file, handle, 0, 4).value(), "0123");
  EXPECT_TRUE(write(file, handle, 1, "ab").ok());
  EXPECT_EQ(get("file"), "0ab3");
}

TEST_F(FileIoTest, o_trunc_only_if_it_was_agreed) {
  put("file", "0123");
  open(node("file"), O_WRONLY | O_TRUNC);
  EXPECT_EQ(get("file"), "");
  put("file", "0123");
  negotiated.flags = 0;
  open(node("file"), O_WRONLY | O_TRUNC);
  EXPECT_EQ(get("file"), "0123");
}

TEST_F(FileIoTest, flags_that_choose_what_is_opened_are_ours) {
  put("file", "0123");
  const auto file = node("file");
  for (const int flags : {O_CREAT | O_EXCL, O_NOFOLLOW, O_DIRECTORY, O_DIRECT, O_NOATIME, O_NOCTTY}) {
    const auto handle = open(file, O_RDWR | flags);
    EXPECT_EQ(read(file, handle, 0, 4).value(), "0123") << flags;
  }
  for (const int flags : {O_ACCMODE, O_PATH, O_RDWR | O_TMPFILE}) {
    EXPECT_ERRNO(fs->open(call(file), {static_cast<std::uint32_t>(flags), 0}), EINVAL);
  }
  EXPECT_ERRNO(fs->open(call(), {O_RDONLY, 0}), EISDIR);
}

TEST_F(FileIoTest, a_handle_is_good_for_its_node_and_kind_only) {
  put("a", "A");
  put("b", "B");
  const auto a = node("a");
  const auto b = node("b");
  const auto handle = open(a, O_RDWR);
  const auto directory = fs->opendir(call(), {0, 0});
  ASSERT_TRUE(directory.ok());
  EXPECT_ERRNO(read(b, handle, 0, 1), EBADF);
  EXPECT_ERRNO(write(b, handle, 0, "x"), EBADF);
  EXPECT_ERRNO(read(abi::kRootId, directory.value().fh, 0, 1), EBADF);
  EXPECT_ERRNO(fs->fsync(call(b), {handle, 0, 0}), EBADF);
  EXPECT_ERRNO(fs->flush(call(b), {handle, 0, 0, 0}), EBADF);
  EXPECT_ERRNO(fs->release(call(b), {handle, 0, 0, 0}), EBADF);
  ListSink sink(10);
  EXPECT_ERRNO(fs->readdir(call(a), {handle, 0, 1, 0, 0, 0, 0}, sink), EBADF);
  EXPECT_ERRNO(fs->releasedir(call(a), {handle, 0, 0, 0}), EBADF);
  EXPECT_TRUE(fs->release(call(a), {handle, 0, 0, 0}).ok());
  EXPECT_ERRNO(fs->release(call(a), {handle, 0, 0, 0}), EBADF);
  EXPECT_ERRNO(read(a, handle, 0, 1), EBADF);
}

TEST_F(FileIoTest, flush_fsync_fallocate_lseek) {
  put("file", "");
  const auto file = node("file");
  const auto handle = open(file, O_RDWR);
  EXPECT_TRUE(fs->flush(call(file), {handle, 0, 0, 0}).ok());
  EXPECT_TRUE(fs->fsync(call(file), {handle, 0, 0}).ok());
  EXPECT_TRUE(fs->fsync(call(file), {handle, abi::kFsyncFdatasync, 0}).ok());
  ASSERT_TRUE(fs->fallocate(call(file), {handle, 0, 8192, 0, 0}).ok());
  EXPECT_EQ(host("file").st_size, 8192);
  ASSERT_TRUE(fs->fallocate(call(file), {handle, 0, 16384, FALLOC_FL_KEEP_SIZE, 0}).ok());
  EXPECT_EQ(host("file").st_size, 8192);
  EXPECT_ERRNO(fs->fallocate(call(file), {handle, ~std::uint64_t{0}, 1, 0, 0}), EINVAL);
  EXPECT_ERRNO(fs->fallocate(call(file), {handle, 0, 0, 0, 0}), EINVAL);
  EXPECT_EQ(fs->lseek(call(file), {handle, 0, SEEK_HOLE, 0}).ok(), true);
  EXPECT_ERRNO(fs->lseek(call(file), {handle, 9000, SEEK_DATA, 0}), ENXIO);
  EXPECT_ERRNO(fs->lseek(call(file), {handle, ~std::uint64_t{0}, SEEK_DATA, 0}), ENXIO);
  EXPECT_ERRNO(fs->lseek(call(file), {handle, ~std::uint64_t{0}, SEEK_SET, 0}), EINVAL);
  EXPECT_EQ(fs->lseek(call(file), {handle, 0, SEEK_END, 0}).value().offset, 8192U);
  EXPECT_EQ(fs->lseek(call(file), {handle, ~std::uint64_t{0}, SEEK_END, 0}).value().offset, 8191U);
  EXPECT_ERRNO(fs->lseek(call(file), {handle, 0, SEEK_CUR, 0}), EINVAL);
  EXPECT_ERRNO(fs->lseek(call(file), {handle, 0, 99, 0}), EINVAL);
}

TEST_F(FileIoTest, create_makes_a_file_that_its_creator_can_use) {
  for (const unsigned mode : {0644U, 0444U, 0000U}) {
    const std::string name = "file" + std::to_string(mode);
    const auto made = fs->create(call(), {O_RDWR | O_CREAT, mode, 0, 0}, NameOf(name), {});
    ASSERT_TRUE(made.ok()) << made.error().value();
    const auto file = made.value().entry.nodeid;
    EXPECT_TRUE(write(file, made.value().open.fh, 0, "text").ok());
    EXPECT_EQ(read(file, made.value().open.fh, 0, 9).value(), "text");
    EXPECT_EQ(host(name).st_mode, S_IFREG | mode);
    EXPECT_EQ(node(name), file);
  }
}

TEST_F(FileIoTest, create_opens_what_exists_unless_exclusive) {
  put("file", "text");
  EXPECT_ERRNO(fs->create(call(), {O_RDWR | O_CREAT | O_EXCL, 0600, 0, 0}, NameOf("file"), {}), EEXIST);
  const auto opened = fs->create(call(), {O_RDWR | O_CREAT, 0600, 0, 0}, NameOf("file"), {});
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(read(opened.value().entry.nodeid, opened.value().open.fh, 0, 9).value(), "text");
  const auto truncated = fs->create(call(), {O_RDWR | O_CREAT | O_TRUNC, 0600, 0, 0}, NameOf("file"), {});
  ASSERT_TRUE(truncated.ok());
  EXPECT_EQ(truncated.value().entry.attr.size, 0U);
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  EXPECT_ERRNO(fs->create(call(), {O_RDWR | O_CREAT, 0600, 0, 0}, NameOf("sub"), {}), EISDIR);
}

TEST_F(FileIoTest, create_does_not_follow_symlinks_out) {
  const TempDir outside;
  ASSERT_EQ(::symlink((outside / "target").c_str(), (dir / "link").c_str()), 0);
  EXPECT_ERRNO(fs->create(call(), {O_RDWR | O_CREAT, 0600, 0, 0}, NameOf("link"), {}), ESTALE);
  EXPECT_NE(::access((outside / "target").c_str(), F_OK), 0);
  EXPECT_EQ(fs->inode_count(), 0U);
}

TEST_F(FileIoTest, open_flags_follow_the_cache_policy) {
  put("file", "");
  const struct {
    CachePolicy policy;
    std::uint32_t file, directory;
  } cases[] = {{CachePolicy::kNever, abi::fopen::kDirectIo, 0},
               {CachePolicy::kAuto, 0, 0},
               {CachePolicy::kAlways, abi::fopen::kKeepCache, abi::fopen::kCacheDir | abi::fopen::kKeepCache},
               {CachePolicy::kMetadata, abi::fopen::kDirectIo, abi::fopen::kCacheDir | abi::fopen::kKeepCache}};
  for (const auto& expected : cases) {
    mount({.cache = expected.policy});
    EXPECT_EQ(fs->open(call(node("file")), {O_RDONLY, 0}).value().open_flags, expected.file);
    EXPECT_EQ(fs->opendir(call(), {0, 0}).value().open_flags, expected.directory);
  }
}

}  // namespace
}  // namespace vfs::test
