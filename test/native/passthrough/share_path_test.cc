#include "passthrough/share_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/temp_dir.h"

namespace vfs::passthrough {
namespace {

class SharePathOf : public ::testing::Test {
 protected:
  SharePathOf() : proc_(ProcFd::open().value()), root_(open(dir_.path())) {}

  static UniqueFd open(const std::string& path) {
    return UniqueFd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  Result<std::string> path(const UniqueFd& of) const { return share_path(proc_, root_.get(), of.get()); }

  test::TempDir dir_;
  ProcFd proc_;
  UniqueFd root_;
};

TEST_F(SharePathOf, root_and_what_is_below) {
  ASSERT_EQ(::mkdir((dir_ / "a").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("x", (dir_ / "a/link").c_str()), 0);
  EXPECT_EQ(path(root_).value(), "/");
  EXPECT_EQ(path(open(dir_ / "a")).value(), "/a");
  EXPECT_EQ(path(open(dir_ / "a/link")).value(), "/a/link");
}

TEST_F(SharePathOf, is_true_after_a_rename) {
  ASSERT_EQ(::mkdir((dir_ / "a").c_str(), 0755), 0);
  const UniqueFd held = open(dir_ / "a");
  ASSERT_EQ(::rename((dir_ / "a").c_str(), (dir_ / "b").c_str()), 0);
  EXPECT_EQ(path(held).value(), "/b");
}

TEST_F(SharePathOf, what_is_not_below_the_root_has_none) {
  const test::TempDir outside;
  EXPECT_EQ(path(open(outside.path())).error(), Errno(ENOENT));
  // A neighbour whose name begins like the root's.
  const std::string neighbour = dir_.path() + "-too";
  ASSERT_EQ(::mkdir(neighbour.c_str(), 0755), 0);
  EXPECT_EQ(path(open(neighbour)).error(), Errno(ENOENT));
  ::rmdir(neighbour.c_str());
  EXPECT_EQ(path(UniqueFd()).error(), Errno(ENOENT));
}

TEST_F(SharePathOf, a_share_that_is_all_there_is) {
  const UniqueFd everything = open("/");
  EXPECT_EQ(share_path(proc_, everything.get(), root_.get()).value(), dir_.path());
  EXPECT_EQ(share_path(proc_, everything.get(), everything.get()).value(), "/");
}

}  // namespace
}  // namespace vfs::passthrough
