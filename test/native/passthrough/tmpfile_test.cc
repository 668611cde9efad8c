#include <fcntl.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

constexpr uid_t kUser = 1234;

class TmpfileTest : public PassthroughTest {
 protected:
  // As Linux sends it: O_TMPFILE among the flags.
  Result<abi::CreateOut> make(std::uint32_t flags, mode_t mode = 0640, std::uint64_t directory = abi::kRootId,
                              uid_t uid = ::geteuid()) {
    const abi::CreateIn in{flags | O_TMPFILE, S_IFREG | mode, 022, 0};
    return fs->tmpfile(call(directory, uid, uid == 0 ? 0 : static_cast<gid_t>(uid)), in, {}, {});
  }
};

TEST_F(TmpfileTest, is_a_file_without_a_name_that_gets_one_by_link) {
  const auto made = make(O_RDWR);
  ASSERT_TRUE(made.ok()) << made.error().value();
  const auto file = made.value().entry.nodeid;
  const auto handle = made.value().open.fh;
  EXPECT_EQ(made.value().entry.attr.nlink, 0U);
  EXPECT_EQ(made.value().entry.attr.mode, S_IFREG | 0640U);
  EXPECT_EQ(write(file, handle, 0, "text").value().size, 4U);
  EXPECT_EQ(read(file, handle, 0, 10).value(), "text");
  const auto linked = fs->link(call(), {file}, NameOf("named"));
  ASSERT_TRUE(linked.ok()) << linked.error().value();
  EXPECT_EQ(linked.value().nodeid, file) << "one inode, one node";
  EXPECT_EQ(get("named"), "text");
  EXPECT_EQ(host("named").st_nlink, 1U);
}

TEST_F(TmpfileTest, with_o_excl_it_never_gets_a_name) {
  const auto made = make(O_RDWR | O_EXCL);
  ASSERT_TRUE(made.ok());
  EXPECT_ERRNO(fs->link(call(), {made.value().entry.nodeid}, NameOf("named")), ENOENT);
  EXPECT_FALSE(exists("named"));
}

TEST_F(TmpfileTest, must_be_writable) {
  EXPECT_ERRNO(make(O_RDONLY), EINVAL);
  EXPECT_TRUE(make(O_WRONLY).ok());
}

TEST_F(TmpfileTest, is_made_in_a_directory_that_is_known) {
  put("file", "");
  EXPECT_ERRNO(make(O_RDWR, 0640, node("file")), ENOTDIR);
  EXPECT_ERRNO(make(O_RDWR, 0640, 12345), EBADF);
}

TEST_F(TmpfileTest, belongs_to_the_caller) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto made = make(O_RDWR, 0666, abi::kRootId, kUser);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made.value().entry.attr.uid, kUser);
  EXPECT_EQ(made.value().entry.attr.gid, kUser);
  EXPECT_EQ(::geteuid(), 0U);
}

TEST_F(TmpfileTest, the_umask_of_the_application_takes_nothing_away) {
  const mode_t before = ::umask(077);
  const auto made = make(O_RDWR, 0666);
  ::umask(before);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made.value().entry.attr.mode, S_IFREG | 0644U);  // the guest's umask of 022 does
}

TEST_F(TmpfileTest, a_guest_at_its_limit_gets_enfile_and_leaves_nothing) {
  mount({.descriptors_max = passthrough::FdBudget::used() + 1});
  EXPECT_ERRNO(make(O_RDWR), ENFILE);
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
}

}  // namespace
}  // namespace vfs::test
