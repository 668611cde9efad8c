#include <linux/fs.h>
#include <sys/xattr.h>

#include "overlay/overlay_fixture.h"

namespace vfs::test {
namespace {

using Names = std::vector<std::string>;

class OverlayFsTest : public OverlayTest {
 protected:
  void SetUp() override {
    OverlayTest::SetUp();
    put_file(lower("file"), "lower text", 0640);
    std::filesystem::create_directories(lower("d/inner"));
    put_file(lower("d/a"), "a");
    put_file(lower("d/b"), "b");
    put_file(lower("d/inner/deep"), "deep");
    before_ = tree_of(dir / "lower");
    mount();
  }
  void TearDown() override { EXPECT_EQ(tree_of(dir / "lower"), before_) << "the share was changed"; }

  Names before_;
};

TEST_F(OverlayFsTest, ReadsTheLowerDirectory) {
  EXPECT_EQ(text("file").value(), "lower text");
  EXPECT_EQ(text("d/inner/deep").value(), "deep");
  EXPECT_EQ(names(""), (Names{"d", "file"}));
  EXPECT_TRUE(tree_of(dir / "upper").empty());
  EXPECT_ERRNO(find("missing"), ENOENT);
}

TEST_F(OverlayFsTest, WritingCopiesUp) {
  const auto node = find("file");
  const auto opened = open("file", O_RDWR);
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(write_to(node.value().nodeid, opened.value().fh, "UPPER").ok());
  EXPECT_EQ(text("file").value(), "UPPER text");
  EXPECT_EQ(file_text(upper("file")), "UPPER text");
  struct stat seen{};
  ASSERT_EQ(::lstat(upper("file").c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode & 07777, 0640U);
  const auto again = find("file");
  EXPECT_EQ(again.value().nodeid, node.value().nodeid);
  EXPECT_EQ(again.value().attr.ino, node.value().attr.ino);
  EXPECT_TRUE(close(node.value().nodeid, opened.value().fh).ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir / "work"));
}

TEST_F(OverlayFsTest, WhoReadsSeesWhatIsWrittenAfterwards) {
  const std::uint64_t node = find("file").value().nodeid;
  const std::uint64_t reader = open("file", O_RDONLY).value().fh;
  EXPECT_EQ(read(node, reader).value(), "lower text");
  ASSERT_TRUE(write("file", "new").ok());
  EXPECT_EQ(read(node, reader).value(), "new");
  EXPECT_TRUE(close(node, reader).ok());
  EXPECT_EQ(fs->handle_count(), 0U);
}

TEST_F(OverlayFsTest, ParentsAreCopiedUpWithTheirTimes) {
  ASSERT_EQ(::chmod(lower("d").c_str(), 0750), 0);
  before_ = tree_of(dir / "lower");
  struct stat there{};
  ASSERT_EQ(::lstat(lower("d/inner").c_str(), &there), 0);
  ASSERT_TRUE(write("d/inner/deep", "changed").ok());
  struct stat seen{};
  ASSERT_EQ(::lstat(upper("d/inner").c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mtim.tv_sec, there.st_mtim.tv_sec);
  EXPECT_EQ(seen.st_mtim.tv_nsec, there.st_mtim.tv_nsec);
  ASSERT_EQ(::lstat(upper("d").c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode & 07777, 0750U);
  EXPECT_EQ(names("d"), (Names{"a", "b", "inner"}));
}

TEST_F(OverlayFsTest, RemovingLeavesAWhiteout) {
  ASSERT_TRUE(unlink("d/a").ok());
  EXPECT_TRUE(is_whiteout_at(upper("d/a")));
  EXPECT_ERRNO(find("d/a"), ENOENT);
  EXPECT_ERRNO(unlink("d/a"), ENOENT);
  EXPECT_EQ(names("d"), (Names{"b", "inner"}));
  ASSERT_TRUE(write("d/a", "again", O_WRONLY | O_EXCL).ok());
  EXPECT_EQ(text("d/a").value(), "again");
  ASSERT_TRUE(unlink("d/a").ok());
  EXPECT_TRUE(is_whiteout_at(upper("d/a")));
  EXPECT_TRUE(std::filesystem::is_empty(dir / "work"));
}

TEST_F(OverlayFsTest, AnUnlinkedFileIsStillReadAndChanged) {
  const std::uint64_t node = find("file").value().nodeid;
  const std::uint64_t reader = open("file", O_RDONLY).value().fh;
  ASSERT_TRUE(unlink("file").ok());
  EXPECT_EQ(fs->getattr(call(node), {}).value().attr.nlink, 0U);
  EXPECT_EQ(read(node, reader).value(), "lower text");
  abi::SetattrIn in{};
  in.valid = abi::fattr::kMode;
  in.mode = 0600;
  ASSERT_TRUE(fs->setattr(call(node), in).ok());
  EXPECT_EQ(read(node, reader).value(), "lower text");
  EXPECT_EQ(fs->getattr(call(node), {}).value().attr.mode & 07777, 0600U);
  EXPECT_EQ(names(""), (Names{"d"}));
}

TEST_F(OverlayFsTest, ADirectoryMadeAgainIsOpaque) {
  EXPECT_ERRNO(rmdir("d"), ENOTEMPTY);
  ASSERT_TRUE(unlink("d/a").ok());
  ASSERT_TRUE(unlink("d/b").ok());
  ASSERT_TRUE(unlink("d/inner/deep").ok());
  ASSERT_TRUE(rmdir("d/inner").ok());
  ASSERT_TRUE(rmdir("d").ok());
  EXPECT_TRUE(is_whiteout_at(upper("d")));
  ASSERT_TRUE(mkdir("d").ok());
  EXPECT_TRUE(names("d").empty());
  EXPECT_ERRNO(find("d/a"), ENOENT);
  char value = 0;
  EXPECT_EQ(::lgetxattr(upper("d").c_str(), overlay::opaque_name(fs->names()), &value, 1), 1);
  EXPECT_EQ(value, 'y');
  EXPECT_TRUE(std::filesystem::is_empty(dir / "work"));
}

TEST_F(OverlayFsTest, RenamesWhatIsOnlyInTheUpperDirectory) {
  EXPECT_ERRNO(rename("d", "e"), EXDEV);
  ASSERT_TRUE(rename("file", "moved").ok());
  EXPECT_TRUE(is_whiteout_at(upper("file")));
  EXPECT_EQ(text("moved").value(), "lower text");
  ASSERT_TRUE(mkdir("new").ok());
  ASSERT_TRUE(write("new/x", "x").ok());
  EXPECT_ERRNO(rename("new", "d"), ENOTEMPTY);
  ASSERT_TRUE(rename("new", "file").ok());
  EXPECT_EQ(text("file/x").value(), "x");
  EXPECT_ERRNO(rename("moved", "d/a", RENAME_NOREPLACE), EEXIST);
  ASSERT_TRUE(rename("moved", "d/a", RENAME_EXCHANGE).ok());
  EXPECT_EQ(text("d/a").value(), "lower text");
  EXPECT_EQ(text("moved").value(), "a");
  EXPECT_ERRNO(rename("moved", "other", RENAME_WHITEOUT), EINVAL);
}

TEST_F(OverlayFsTest, NothingOfOverlayfsCanBeForged) {
  abi::MknodIn in{};
  in.mode = S_IFCHR | 0600;
  EXPECT_ERRNO(fs->mknod(call(), in, NameOf("white"), {}), EPERM);
  ASSERT_TRUE(mkdir("new").ok());
  ASSERT_TRUE(unlink("file").ok());
  ASSERT_TRUE(mkdir("file").ok());
  const std::uint64_t node = find("file").value().nodeid;
  EXPECT_EQ(fs->listxattr(call(node), {}).value(), 0U);
}

TEST_F(OverlayFsTest, HardLinksOfTheLowerDirectoryAreCopiedUpByThemselves) {
  ASSERT_EQ(::link(lower("file").c_str(), lower("second").c_str()), 0);
  before_ = tree_of(dir / "lower");
  ASSERT_TRUE(write("second", "changed").ok());
  EXPECT_EQ(text("file").value(), "lower text");
  ASSERT_TRUE(link("second", "third").ok());
  EXPECT_EQ(find("second").value().nodeid, find("third").value().nodeid);
  EXPECT_EQ(find("third").value().attr.nlink, 2U);
}

TEST_F(OverlayFsTest, ListingsKeepTheirPlaces) {
  const std::uint64_t node = find("d").value().nodeid;
  const std::uint64_t handle = fs->opendir(call(node), {}).value().fh;
  ListSink first(3);
  ASSERT_TRUE(fs->readdir(call(node), {handle, 0, 4096, 0, 0, 0, 0}, first).ok());
  ASSERT_EQ(first.entries.size(), 3U);
  ASSERT_TRUE(unlink("d/a").ok());
  ASSERT_TRUE(unlink("d/b").ok());
  PlusListSink rest(10);
  ASSERT_TRUE(fs->readdirplus(call(node), {handle, first.entries.back().cookie, 4096, 0, 0, 0, 0}, rest).ok());
  EXPECT_EQ(rest.entries.size(), 2U);
  ListSink again(10);
  ASSERT_TRUE(fs->readdir(call(node), {handle, 0, 4096, 0, 0, 0, 0}, again).ok());
  EXPECT_EQ(again.entries.size(), 3U);
  ListSink none(0);
  EXPECT_ERRNO(fs->readdir(call(node), {handle, 0, 4096, 0, 0, 0, 0}, none), EINVAL);
}

TEST_F(OverlayFsTest, ForgettingLeavesNothing) {
  const auto node = find("d/inner/deep");
  ASSERT_TRUE(write("d/inner/deep", "changed").ok());
  EXPECT_GT(fs->inode_count(), 0U);
  for (const char* path : {"d/inner/deep", "d/inner", "d"}) {
    fs->forget(call(), find(path).value().nodeid, 1000);
    // Looking it up has counted its parents again.
  }
  fs->forget(call(), node.value().nodeid, 1000);
  for (const char* path : {"d/inner", "d"}) fs->forget(call(), find(path).value().nodeid, 1000);
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_EQ(text("d/inner/deep").value(), "changed");
}

TEST_F(OverlayFsTest, TwoDevicesDoNotShareAnUpperDirectory) {
  passthrough::PassthroughOptions share;
  share.root = dir / "lower";
  EXPECT_ERRNO(overlay::OverlayFs::create(share, options_of()), EBUSY);
  fs.reset();
  EXPECT_TRUE(overlay::OverlayFs::create(share, options_of()).ok());
  share.writeback = true;
  EXPECT_ERRNO(overlay::OverlayFs::create(share, options_of()), EINVAL);
}

TEST_F(OverlayFsTest, WhatWasLeftHalfDoneIsRemoved) {
  fs.reset();
  std::filesystem::create_directories(dir / "work/#7/inside");
  mount();
  EXPECT_TRUE(std::filesystem::is_empty(dir / "work"));
}

}  // namespace
}  // namespace vfs::test
