#include <fcntl.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

using namespace abi::fattr;

class SetattrTest : public PassthroughTest {
 protected:
  void SetUp() override {
    PassthroughTest::SetUp();
    put("file", "some text", 0644);
    file = node("file");
  }
  static constexpr auto kNothing = [](abi::SetattrIn&) {};
  template <typename Fill>
  Result<abi::AttrOut> set(std::uint64_t id, Fill fill, std::uint32_t valid) {
    abi::SetattrIn in{};
    fill(in);
    in.valid = valid;
    return fs->setattr(call(id), in);
  }
  std::uint64_t file = 0;
};

TEST_F(SetattrTest, nothing_asked_is_a_chown_without_ids_where_that_is_ours_to_do) {
  ASSERT_EQ(::chmod((dir / "file").c_str(), 06777), 0);
  const auto out = set(file, kNothing, 0);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().attr.size, 9U);
  EXPECT_EQ(host("file").st_mode & 07777U, 0777U);
}

TEST_F(SetattrTest, nothing_asked_is_nothing_done_where_the_guest_handles_privileges) {
  passthrough::PassthroughOptions options;
  options.killpriv = passthrough::KillPriv::kOff;
  mount(options);
  ASSERT_EQ(::chmod((dir / "file").c_str(), 06777), 0);
  const auto before = host("file");
  ASSERT_TRUE(set(node("file"), kNothing, 0).ok());
  EXPECT_EQ(host("file").st_mode, before.st_mode);
  EXPECT_EQ(host("file").st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}

TEST_F(SetattrTest, mode) {
  const auto out = set(file, [&](auto& in) { in.mode = S_IFREG | 04711; }, kMode);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().attr.mode, S_IFREG | 04711U);
  EXPECT_EQ(host("file").st_mode, S_IFREG | 04711U);
}

TEST_F(SetattrTest, owner_of_file_and_symlink) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(set(
                  file,
                  [&](auto& in) {
                    in.uid = 1234;
                    in.gid = 55;
                  },
                  kUid)
                  .ok());
  EXPECT_EQ(host("file").st_uid, 1234U);
  EXPECT_EQ(host("file").st_gid, ::getegid());
  ASSERT_TRUE(set(
                  file,
                  [&](auto& in) {
                    in.uid = 77;
                    in.gid = 55;
                  },
                  kGid)
                  .ok());
  EXPECT_EQ(host("file").st_uid, 1234U);
  EXPECT_EQ(host("file").st_gid, 55U);
  ASSERT_EQ(::symlink("file", (dir / "link").c_str()), 0);
  ASSERT_TRUE(set(
                  node("link"),
                  [&](auto& in) {
                    in.uid = 9;
                    in.gid = 9;
                  },
                  kUid | kGid)
                  .ok());
  EXPECT_EQ(host("link").st_uid, 9U);
  EXPECT_EQ(host("file").st_uid, 1234U);
}

TEST_F(SetattrTest, a_mode_set_with_an_owner_keeps_its_setuid_bit) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(set(
                  file,
                  [&](auto& in) {
                    in.mode = 04755;
                    in.uid = 1000;
                  },
                  kUid | kMode)
                  .ok());
  EXPECT_EQ(host("file").st_mode, S_IFREG | 04755U);
}

TEST_F(SetattrTest, ids_that_do_not_exist) {
  EXPECT_ERRNO(set(file, [&](auto& in) { in.uid = 0xFFFFFFFF; }, kUid), EINVAL);
  EXPECT_ERRNO(set(file, [&](auto& in) { in.gid = 0xFFFFFFFF; }, kGid), EINVAL);
}

TEST_F(SetattrTest, size_by_node_and_by_handle) {
  ASSERT_TRUE(set(file, [&](auto& in) { in.size = 4; }, kSize).ok());
  EXPECT_EQ(get("file"), "some");
  const auto handle = open(file, O_RDWR);
  const auto out = set(
      file,
      [&](auto& in) {
        in.fh = handle;
        in.size = 6;
      },
      kSize | kFh);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().attr.size, 6U);
  EXPECT_EQ(get("file"), std::string("some\0\0", 6));
  EXPECT_ERRNO(set(
                   file,
                   [&](auto& in) {
                     in.fh = handle + 1;
                     in.size = 6;
                   },
                   kSize | kFh),
               EBADF);
  EXPECT_ERRNO(set(file, [&](auto& in) { in.size = ~std::uint64_t{0}; }, kSize), EFBIG);
  const auto read_only = open(file, O_RDONLY);
  EXPECT_ERRNO(set(
                   file,
                   [&](auto& in) {
                     in.fh = read_only;
                     in.size = 6;
                   },
                   kSize | kFh),
               EINVAL);
}

TEST_F(SetattrTest, size_of_what_has_none) {
  EXPECT_ERRNO(set(abi::kRootId, [&](auto& in) { in.size = 0; }, kSize), EISDIR);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_ERRNO(set(node("fifo"), [&](auto& in) { in.size = 0; }, kSize), EINVAL);
}

TEST_F(SetattrTest, times_given_now_and_omitted) {
  const auto given = [](auto& in) {
    in.atime = 1'000'000'000;
    in.atimensec = 123'456'789;
    in.mtime = static_cast<std::uint64_t>(-5);
    in.mtimensec = 7;
  };
  ASSERT_TRUE(set(file, given, kAtime | kMtime).ok());
  EXPECT_EQ(host("file").st_atim.tv_sec, 1'000'000'000);
  EXPECT_EQ(host("file").st_atim.tv_nsec, 123'456'789);
  EXPECT_EQ(host("file").st_mtim.tv_sec, -5);
  ASSERT_TRUE(set(file, kNothing, kMtime | kMtimeNow).ok());
  EXPECT_EQ(host("file").st_atim.tv_sec, 1'000'000'000);
  EXPECT_NEAR(static_cast<double>(host("file").st_mtim.tv_sec), static_cast<double>(::time(nullptr)), 5);
}

TEST_F(SetattrTest, nanoseconds_out_of_range_are_no_magic_numbers) {
  for (const std::uint32_t wrong :
       {1'000'000'000U, static_cast<std::uint32_t>(UTIME_NOW), static_cast<std::uint32_t>(UTIME_OMIT), 0xFFFFFFFFU}) {
    EXPECT_ERRNO(set(file, [&](auto& in) { in.atimensec = wrong; }, kAtime), EINVAL);
    EXPECT_ERRNO(set(file, [&](auto& in) { in.mtimensec = wrong; }, kMtime), EINVAL);
  }
}

TEST_F(SetattrTest, times_of_a_symlink_are_its_own) {
  ASSERT_EQ(::symlink("file", (dir / "link").c_str()), 0);
  const auto before = host("file").st_mtim.tv_sec;
  ASSERT_TRUE(set(node("link"), [&](auto& in) { in.mtime = 12345; }, kMtime).ok());
  EXPECT_EQ(host("link").st_mtim.tv_sec, 12345);
  EXPECT_EQ(host("file").st_mtim.tv_sec, before);
  EXPECT_ERRNO(set(node("link"), [&](auto& in) { in.mode = 0700; }, kMode), EOPNOTSUPP);
}

}  // namespace
}  // namespace vfs::test
