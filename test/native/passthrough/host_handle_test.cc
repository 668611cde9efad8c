// Inodes that are known by their handles: the same file system, and no descriptor for what the guest merely knows.
#include "passthrough/host_handle.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <unistd.h>

#include <filesystem>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

using passthrough::FileHandles;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class HostHandles : public PassthroughTest {
 protected:
  void SetUp() override {
    // The kernel opens handles for nobody else.
    if (!sys::has_effective_capability(CAP_DAC_READ_SEARCH)) GTEST_SKIP() << "needs CAP_DAC_READ_SEARCH";
    passthrough::PassthroughOptions options;
    options.file_handles = FileHandles::kMandatory;
    mount(options);
  }
};

TEST_F(HostHandles, known_inodes_hold_no_descriptors) {
  for (int i = 0; i < 200; ++i) put("f" + std::to_string(i), "x");
  node("f0");  // the mount's own descriptor is open from here on
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 200; ++i) node("f" + std::to_string(i));
  EXPECT_EQ(fs->inode_count(), 200U);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(HostHandles, an_object_is_one_inode_however_it_is_found) {
  put("file", "x");
  ASSERT_EQ(::link((dir / "file").c_str(), (dir / "hard").c_str()), 0);
  const std::uint64_t id = node("file");
  EXPECT_EQ(node("file"), id);
  EXPECT_EQ(node("hard"), id);
  fs->forget(call(), id, 3);
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_NE(node("file"), id);
}

TEST_F(HostHandles, every_kind_of_object_can_be_worked_on) {
  ASSERT_EQ(::mkdir((dir / "d").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("to/somewhere", (dir / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  put("d/file", "content");
  std::array<std::byte, 4096> target;
  const auto length = fs->readlink(call(node("link")), target);
  ASSERT_TRUE(length.ok());
  EXPECT_EQ(text_of(ByteSpan(target).first(length.value())), "to/somewhere");
  EXPECT_EQ(fs->getattr(call(node("pipe")), {}).value().attr.mode, host("pipe").st_mode);

  const std::uint64_t file = node("file", node("d"));
  const std::uint64_t handle = open(file, O_RDWR);
  EXPECT_EQ(read(file, handle, 0, 100).value(), "content");
  EXPECT_TRUE(fs->mkdir(call(node("d")), {0755, 0}, NameOf("sub"), {}).ok());
  EXPECT_TRUE(fs->rename(call(node("d")), {abi::kRootId, 0, 0}, NameOf("file"), NameOf("moved")).ok());
  EXPECT_EQ(node("moved"), file);
  EXPECT_EQ(get("moved"), "content");
}

TEST_F(HostHandles, a_file_that_is_gone_is_estale_and_its_number_may_come_again) {
  put("old", "old");
  const std::uint64_t old = node("old");
  const ino_t number = host("old").st_ino;
  ASSERT_EQ(::unlink((dir / "old").c_str()), 0);
  // Most file systems give the number to the next file.
  put("new", "new");
  const std::uint64_t fresh = node("new");
  EXPECT_NE(fresh, old) << (host("new").st_ino == number ? "the same number" : "another number");
  EXPECT_ERRNO(fs->getattr(call(old), {}), ESTALE);
  EXPECT_TRUE(fs->getattr(call(fresh), {}).ok());
  // Each is forgotten by itself.
  fs->forget(call(), old, 1);
  EXPECT_ERRNO(fs->getattr(call(old), {}), EBADF);
  EXPECT_EQ(node("new"), fresh);
}

TEST_F(HostHandles, an_unlinked_file_lives_as_long_as_it_is_open) {
  put("file", "content");
  const std::uint64_t file = node("file");
  const std::uint64_t handle = open(file, O_RDWR);
  ASSERT_TRUE(fs->unlink(call(), NameOf("file")).ok());
  const auto seen = fs->getattr(call(file), {abi::kGetattrFh, 0, handle});
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(seen.value().attr.nlink, 0U);
  EXPECT_TRUE(write(file, handle, 7, " and more").ok());
  EXPECT_EQ(read(file, handle, 0, 100).value(), "content and more");
}

TEST_F(HostHandles, times_of_a_file_that_is_gone_are_written_back_to_nowhere) {
  passthrough::PassthroughOptions options;
  options.file_handles = FileHandles::kMandatory;
  options.writeback = true;
  mount(options);
  put("file", "content");
  const std::uint64_t file = node("file");
  ASSERT_TRUE(fs->unlink(call(), NameOf("file")).ok());
  abi::SetattrIn in{};
  in.valid = abi::fattr::kMtime | abi::fattr::kCtime;
  const auto gone = fs->setattr(call(file), in);
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(gone.value().attr.nlink, 0U);
  EXPECT_EQ(gone.value().attr.mode, static_cast<std::uint32_t>(S_IFREG));
  // Nothing else is done to it.
  in.valid |= abi::fattr::kAtime;
  EXPECT_ERRNO(fs->setattr(call(file), in), ESTALE);
  in.valid = abi::fattr::kMode;
  EXPECT_ERRNO(fs->setattr(call(file), in), ESTALE);
  negotiated.flags = 0;
  in.valid = abi::fattr::kMtime | abi::fattr::kCtime;
  EXPECT_ERRNO(fs->setattr(call(file), in), ESTALE);
}

TEST_F(HostHandles, a_new_session_begins_with_nothing) {
  put("old", "x");
  const std::uint64_t old = node("old");
  ASSERT_EQ(::unlink((dir / "old").c_str()), 0);
  put("new", "x");
  node("new");
  ASSERT_TRUE(fs->init(kSession + 1, kAllOffered).ok());
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_ERRNO(fs->getattr(call(old), {}), EBADF);
}

TEST_F(HostHandles, where_there_are_no_handles_prefer_does_without_and_mandatory_fails) {
  passthrough::PassthroughOptions options;
  options.root = "/proc/self";
  options.file_handles = FileHandles::kMandatory;
  EXPECT_ERRNO(passthrough::PassthroughFs::create(options), EOPNOTSUPP);
  options.file_handles = FileHandles::kPrefer;
  auto made = passthrough::PassthroughFs::create(options);
  ASSERT_TRUE(made.ok());
  fs = std::move(made).value();
  ASSERT_TRUE(fs->init(kSession, 0).ok());
  EXPECT_NE(node("status"), 0U);
}

}  // namespace
}  // namespace vfs::test
