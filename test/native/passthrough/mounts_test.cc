// More than one file system below the root; "." and ".."; SYNCFS.
#include <fcntl.h>
#include <sys/mount.h>

#include <map>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

class MountsTest : public PassthroughTest {
 protected:
  void TearDown() override {
    fs.reset();
    for (const std::string& mounted : mounts) ::umount2(mounted.c_str(), MNT_DETACH);
  }
  // A tmpfs below the share; false: not allowed here.
  bool mount_below(const std::string& name) {
    ::mkdir((dir / name).c_str(), 0755);
    if (::mount("vfs-test", (dir / name).c_str(), "tmpfs", 0, "size=1m") != 0) return false;
    mounts.push_back(dir / name);
    return true;
  }
  abi::EntryOut entry(const std::string& name, std::uint64_t directory = abi::kRootId) {
    const auto found = fs->lookup(call(directory), NameOf(name));
    EXPECT_TRUE(found.ok()) << name;
    return found.ok() ? found.value() : abi::EntryOut{};
  }
  static bool submount(const abi::EntryOut& entry) { return (entry.attr.flags & abi::kAttrSubmount) != 0; }
  std::map<std::string, Listed> list_plus(std::uint64_t directory) {
    std::map<std::string, Listed> all;
    PlusListSink sink(1000);
    const auto opened = fs->opendir(call(directory), {0, 0});
    EXPECT_TRUE(fs->readdirplus(call(directory), {opened.value().fh, 0, 4096, 0, 0, 0, 0}, sink).ok());
    for (const Listed& each : sink.entries) all[each.name] = each;
    return all;
  }
  std::map<std::string, Listed> list_plain(std::uint64_t directory) {
    std::map<std::string, Listed> all;
    ListSink sink(1000);
    const auto opened = fs->opendir(call(directory), {0, 0});
    EXPECT_TRUE(fs->readdir(call(directory), {opened.value().fh, 0, 4096, 0, 0, 0, 0}, sink).ok());
    for (const Listed& each : sink.entries) all[each.name] = each;
    return all;
  }

  std::vector<std::string> mounts;
};

TEST_F(MountsTest, a_mount_is_announced_where_that_was_agreed) {
  if (!mount_below("m")) GTEST_SKIP() << "mounting is not allowed";
  ASSERT_EQ(::mkdir((dir / "m/inner").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((dir / "plain").c_str(), 0755), 0);
  EXPECT_TRUE(submount(entry("m")));
  EXPECT_FALSE(submount(entry("plain")));
  EXPECT_FALSE(submount(entry("inner", node("m"))));
  // The number of attributes alone is no announcement.
  EXPECT_EQ(fs->getattr(call(node("m")), {}).value().attr.flags, 0U);

  negotiated.flags &= ~abi::init_flag::kSubmounts;
  EXPECT_FALSE(submount(entry("m")));
  mount({.announce_submounts = false});
  EXPECT_EQ(negotiated.flags & abi::init_flag::kSubmounts, 0U);
  EXPECT_FALSE(submount(entry("m")));
}

TEST_F(MountsTest, a_bind_mount_of_the_same_file_system_is_a_mount_too) {
  ASSERT_EQ(::mkdir((dir / "target").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((dir / "source").c_str(), 0755), 0);
  if (::mount((dir / "source").c_str(), (dir / "target").c_str(), "", MS_BIND, nullptr) != 0) {
    GTEST_SKIP() << "mounting is not allowed";
  }
  mounts.push_back(dir / "target");
  EXPECT_TRUE(submount(entry("target")));
  EXPECT_FALSE(submount(entry("source")));
  EXPECT_NE(entry("target").nodeid, entry("source").nodeid);
}

TEST_F(MountsTest, numbers_of_two_file_systems_never_meet) {
  if (!mount_below("a") || !mount_below("b")) GTEST_SKIP() << "mounting is not allowed";
  std::map<std::uint64_t, std::string> seen;
  for (const std::string directory : {"a", "b"}) {
    for (int i = 0; i < 20; ++i) {
      const std::string name = directory + "/" + std::to_string(i);
      put(name, "");
      const auto ino = entry(std::to_string(i), node(directory)).attr.ino;
      EXPECT_TRUE(seen.emplace(ino, name).second) << name << " and " << seen[ino];
      EXPECT_NE(ino, host(name).st_ino);
    }
  }
  put("own", "");
  EXPECT_EQ(entry("own").attr.ino, host("own").st_ino);
}

TEST_F(MountsTest, what_is_listed_has_the_number_of_its_attributes) {
  if (!mount_below("m")) GTEST_SKIP() << "mounting is not allowed";
  put("m/file", "");
  ASSERT_EQ(::mkdir((dir / "m/sub").c_str(), 0755), 0);
  put("own", "");
  const auto mounted = node("m");
  for (const char* name : {"file", "sub"}) {
    const auto ino = entry(name, mounted).attr.ino;
    EXPECT_EQ(list_plain(mounted).at(name).ino, ino);
    EXPECT_EQ(list_plus(mounted).at(name).ino, ino);
    EXPECT_EQ(fs->statx(call(node(name, mounted)), {0, 0, 0, 0, STATX_INO}).value().stat.ino, ino);
  }
  EXPECT_EQ(list_plain(mounted).at(".").ino, entry("m").attr.ino);
  EXPECT_EQ(list_plus(abi::kRootId).at("own").ino, host("own").st_ino);
  // A mount point is listed as the directory that it covers, as getdents64(2) does.
  EXPECT_EQ(list_plus(abi::kRootId).at("m").ino, list_plain(abi::kRootId).at("m").ino);
}

TEST_F(MountsTest, self_is_the_node_with_one_more_lookup) {
  put("file", "text");
  ASSERT_EQ(::symlink("x", (dir / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "link", "fifo"}) {
    const auto id = node(name);
    const auto self = fs->lookup_self(call(id));
    ASSERT_TRUE(self.ok()) << name;
    EXPECT_EQ(self.value().nodeid, id);
    EXPECT_EQ(self.value().attr.ino, host(name).st_ino);
    fs->forget(call(), id, 1);
    EXPECT_TRUE(fs->getattr(call(id), {}).ok()) << "one lookup is left";
    fs->forget(call(), id, 1);
    EXPECT_ERRNO(fs->lookup_self(call(id)), ESTALE);
  }
  EXPECT_EQ(fs->lookup_self(call()).value().nodeid, abi::kRootId);
  EXPECT_ERRNO(fs->lookup_self(call(12345)), ESTALE);
}

TEST_F(MountsTest, parent_is_found_whoever_knew_it) {
  ASSERT_EQ(::mkdir((dir / "a").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((dir / "a/b").c_str(), 0755), 0);
  const auto a = node("a");
  const auto b = node("b", a);
  fs->forget(call(), a, 1);
  const auto parent = fs->lookup_parent(call(b));
  ASSERT_TRUE(parent.ok());
  EXPECT_EQ(parent.value().attr.ino, host("a").st_ino);
  EXPECT_EQ(fs->lookup_parent(call(parent.value().nodeid)).value().nodeid, abi::kRootId);
  EXPECT_EQ(fs->lookup_parent(call()).value().nodeid, abi::kRootId) << "never above the root";
  put("file", "");
  EXPECT_ERRNO(fs->lookup_parent(call(node("file"))), ENOTDIR);
  EXPECT_ERRNO(fs->lookup_parent(call(12345)), ESTALE);
}

TEST_F(MountsTest, parent_of_what_was_moved_out_of_the_share_is_estale) {
  const TempDir outside;
  ASSERT_EQ(::mkdir((dir / "a").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((dir / "a/b").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((dir / "a/b/c").c_str(), 0755), 0);
  const auto a = node("a");
  const auto b = node("b", a);
  const auto c = node("c", b);
  if (::rename((dir / "a").c_str(), (outside / "moved").c_str()) != 0) GTEST_SKIP() << "two file systems";
  EXPECT_ERRNO(fs->lookup_parent(call(a)), ESTALE);
  EXPECT_ERRNO(fs->lookup_parent(call(b)), ESTALE);
  EXPECT_ERRNO(fs->lookup_parent(call(c)), ESTALE);
}

TEST_F(MountsTest, parent_of_the_root_of_a_mount_is_where_it_is_mounted) {
  if (!mount_below("m")) GTEST_SKIP() << "mounting is not allowed";
  EXPECT_EQ(fs->lookup_parent(call(node("m"))).value().nodeid, abi::kRootId);
}

TEST_F(MountsTest, syncfs_of_roots_with_and_without_announced_mounts) {
  EXPECT_TRUE(fs->syncfs(call(), {}).ok());
  EXPECT_ERRNO(fs->syncfs(call(12345), {}), EBADF);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_ERRNO(fs->syncfs(call(node("fifo")), {}), EINVAL);
  if (!mount_below("m")) return;
  EXPECT_TRUE(fs->syncfs(call(node("m")), {}).ok());
  negotiated.flags &= ~abi::init_flag::kSubmounts;
  EXPECT_TRUE(fs->syncfs(call(), {}).ok());
}

}  // namespace
}  // namespace vfs::test
