#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

class ChromeosTest : public PassthroughTest {
 protected:
  void SetUp() override {
    passthrough::PassthroughOptions options;
    options.open_atomic = true;
    options.chromeos_tmpfile = true;
    mount(options);
  }
  Result<abi::CreateOut> open_atomic(const std::string& name, int flags) {
    return fs->open_atomic(call(), {static_cast<std::uint32_t>(flags), S_IFREG | 0644, 022, 0}, NameOf(name), {});
  }
};

TEST_F(ChromeosTest, what_exists_is_found_and_opened_in_one) {
  put("file", "content");
  const auto out = open_atomic("file", O_RDWR | O_CREAT);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().entry.nodeid, node("file"));
  EXPECT_EQ(out.value().open.open_flags & abi::fopen::kFileCreated, 0U);
  EXPECT_EQ(read(out.value().entry.nodeid, out.value().open.fh, 0, 100).value(), "content");
  EXPECT_ERRNO(open_atomic("file", O_RDWR | O_CREAT | O_EXCL), EEXIST);
}

TEST_F(ChromeosTest, what_is_missing_is_created_if_that_is_asked) {
  EXPECT_ERRNO(open_atomic("new", O_RDWR), ENOENT);
  const auto out = open_atomic("new", O_RDWR | O_CREAT);
  ASSERT_TRUE(out.ok());
  EXPECT_NE(out.value().open.open_flags & abi::fopen::kFileCreated, 0U);
  EXPECT_TRUE(write(out.value().entry.nodeid, out.value().open.fh, 0, "text").ok());
  EXPECT_EQ(get("new"), "text");
}

TEST_F(ChromeosTest, what_is_missing_may_be_remembered) {
  passthrough::PassthroughOptions options;
  options.open_atomic = true;
  options.negative_timeout_ns = 2'000'000'000;
  mount(options);
  const auto out = open_atomic("missing", O_RDONLY);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().entry.nodeid, 0U);
  EXPECT_EQ(out.value().entry.entry_valid, 2U);
}

TEST_F(ChromeosTest, a_symlink_is_an_entry_and_is_not_followed) {
  ASSERT_EQ(::symlink("/etc/passwd", (dir / "link").c_str()), 0);
  const auto out = open_atomic("link", O_RDONLY);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().entry.nodeid, node("link"));
  EXPECT_EQ(out.value().open.fh, 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
}

TEST_F(ChromeosTest, truncating_needs_the_permission_of_the_caller) {
  put("file", "content", 0600);
  const abi::CreateIn in{static_cast<std::uint32_t>(O_RDWR | O_TRUNC), 0, 0, 0};
  EXPECT_ERRNO(fs->open_atomic(call(abi::kRootId, 1000, 1000), in, NameOf("file"), {}), EACCES);
  EXPECT_EQ(get("file"), "content");
  EXPECT_EQ(fs->inode_count(), 0U);
}

TEST_F(ChromeosTest, a_nameless_file_is_an_inode_and_no_handle) {
  const auto made = fs->chromeos_tmpfile(call(), {0600, 022}, {});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made.value().attr.nlink, 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
  const std::uint64_t handle = open(made.value().nodeid, O_RDWR);
  EXPECT_TRUE(write(made.value().nodeid, handle, 0, "text").ok());
  EXPECT_TRUE(fs->link(call(), {made.value().nodeid}, NameOf("named")).ok());
  EXPECT_EQ(get("named"), "text");
}

TEST_F(PassthroughTest, operations_of_chromeos_are_unknown_unless_asked_for) {
  EXPECT_ERRNO(fs->open_atomic(call(), {0, 0, 0, 0}, NameOf("x"), {}), ENOSYS);
  EXPECT_ERRNO(fs->chromeos_tmpfile(call(), {0600, 0}, {}), ENOSYS);
}

}  // namespace
}  // namespace vfs::test
