#include "overlay/changes.h"

#include <sys/xattr.h>

#include "overlay/overlay_fixture.h"

namespace vfs::test {
namespace {

using overlay::Changes;

class ChangesTest : public OverlayTest {
 protected:
  void SetUp() override {
    OverlayTest::SetUp();
    put_file(lower("kept"), "kept");
    put_file(lower("edited"), "old");
    put_file(lower("gone"), "gone");
    std::filesystem::create_directories(lower("d/inner"));
    put_file(lower("d/x"), "x");
    std::filesystem::create_directories(lower("again/old"));
    mount();
    EXPECT_TRUE(write("edited", "new").ok());
    EXPECT_TRUE(unlink("gone").ok());
    EXPECT_TRUE(write("d/inner/added", "added").ok());
    EXPECT_TRUE(symlink("target", "link").ok());
    EXPECT_TRUE(rmdir("again/old").ok());
    EXPECT_TRUE(rmdir("again").ok());
    EXPECT_TRUE(mkdir("again").ok());
    EXPECT_TRUE(write("again/y", "y").ok());
  }

  std::vector<std::string> listed() {
    const auto changes = Changes::open(dir / "lower", options_of(), false);
    EXPECT_TRUE(changes.ok());
    const auto list = changes.value().list();
    EXPECT_TRUE(list.ok());
    std::vector<std::string> lines;
    constexpr const char* kKinds[] = {"added", "modified", "replaced", "removed"};
    for (const auto& each : list.value()) lines.push_back(kKinds[static_cast<int>(each.kind)] + (" " + each.path));
    return lines;
  }
};

using Lines = std::vector<std::string>;

TEST_F(ChangesTest, ListsWhatTheGuestDid) {
  EXPECT_EQ(listed(), (Lines{"replaced again", "added again/y", "added d/inner/added", "modified edited",
                             "removed gone", "added link"}));
}

TEST_F(ChangesTest, UnderstandsEitherNameOfTheAttribute) {
  fs.reset();
  const std::string again = upper("again");
  for (const auto names : {overlay::XattrNames::kTrusted, overlay::XattrNames::kUser}) {
    ::lremovexattr(again.c_str(), "trusted.overlay.opaque");
    ::lremovexattr(again.c_str(), "user.overlay.opaque");
    EXPECT_EQ(listed().front(), "added again/y");
    if (::lsetxattr(again.c_str(), overlay::opaque_name(names), "y", 1, 0) != 0) {
      // Without the privilege there is only the other.
      ASSERT_EQ(names, overlay::XattrNames::kTrusted);
      continue;
    }
    EXPECT_EQ(listed().front(), "replaced again");
  }
  auto opened = Changes::open(dir / "lower", options_of(), true);
  ASSERT_TRUE(opened.ok());
  Changes changes = std::move(opened).value();
  ASSERT_TRUE(changes.apply({"again"}).ok());
  EXPECT_TRUE(std::filesystem::exists(lower("again/y")));
  EXPECT_FALSE(std::filesystem::exists(lower("again/old")));
  EXPECT_EQ(::lgetxattr(lower("again").c_str(), "user.overlay.opaque", nullptr, 0), -1);
}

TEST_F(ChangesTest, NothingIsSettledWhileADeviceRuns) {
  EXPECT_ERRNO(Changes::open(dir / "lower", options_of(), true), EBUSY);
}

TEST_F(ChangesTest, AppliesSomeAndThenTheRest) {
  const auto expected = names("");
  fs.reset();
  auto opened = Changes::open(dir / "lower", options_of(), true);
  ASSERT_TRUE(opened.ok());
  Changes changes = std::move(opened).value();
  ASSERT_TRUE(changes.apply({"edited", "/gone"}).ok());
  EXPECT_EQ(file_text(lower("edited")), "new");
  EXPECT_FALSE(std::filesystem::exists(lower("gone")));
  EXPECT_EQ(listed(), (Lines{"replaced again", "added again/y", "added d/inner/added", "added link"}));
  ASSERT_TRUE(changes.apply({"again", "again/y", "d", "link"}).ok());
  EXPECT_TRUE(listed().empty());
  EXPECT_FALSE(std::filesystem::exists(lower("again/old")));
  EXPECT_EQ(file_text(lower("again/y")), "y");
  EXPECT_EQ(file_text(lower("d/inner/added")), "added");
  EXPECT_EQ(file_text(lower("d/x")), "x");
  EXPECT_EQ(std::filesystem::read_symlink(lower("link")), "target");
  EXPECT_TRUE(tree_of(dir / "upper").empty());
}

TEST_F(ChangesTest, DiscardsAndLeavesTheShareAlone) {
  const auto before = tree_of(dir / "lower");
  fs.reset();
  auto opened = Changes::open(dir / "lower", options_of(), true);
  ASSERT_TRUE(opened.ok());
  Changes changes = std::move(opened).value();
  ASSERT_TRUE(changes.discard({"gone", "again", "d/inner/added", "link", "edited"}).ok());
  EXPECT_TRUE(listed().empty());
  EXPECT_EQ(tree_of(dir / "lower"), before);
}

TEST_F(ChangesTest, StaysWithinTheDirectories) {
  put_file(dir / "outside", "outside");
  ASSERT_EQ(::symlink((dir.path()).c_str(), upper("escape").c_str()), 0);
  fs.reset();
  auto opened = Changes::open(dir / "lower", options_of(), true);
  ASSERT_TRUE(opened.ok());
  Changes changes = std::move(opened).value();
  for (const char* path : {"..", "../outside", "d/../../outside", "", "/", "d//inner", "."}) {
    EXPECT_ERRNO(changes.discard({path}), EINVAL);
    EXPECT_ERRNO(changes.apply({path}), EINVAL);
  }
  EXPECT_ERRNO(changes.discard({"escape/outside"}), ENOTDIR);
  EXPECT_ERRNO(changes.apply({"edited", "nothing"}), ENOENT);
  EXPECT_EQ(file_text(lower("edited")), "old");
  EXPECT_EQ(file_text(dir / "outside"), "outside");
}

}  // namespace
}  // namespace vfs::test
