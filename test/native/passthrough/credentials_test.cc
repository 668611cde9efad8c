// Who owns what is created, and that nothing of it sticks to the thread. Most of it needs root.
#include "passthrough/credentials.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <thread>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

constexpr uid_t kUser = 1234;
constexpr gid_t kGroup = 2345;

// On a thread of its own, so that umask and groups of the test's thread stay.
template <typename Body>
void on_thread(bool prepare, Body body) {
  std::thread([&] {
    if (prepare) {
      ASSERT_TRUE(passthrough::prepare_thread().ok());
    }
    EXPECT_EQ(passthrough::thread_prepared(), prepare);
    body();
  }).join();
}

class CredentialsTest : public PassthroughTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    PassthroughTest::SetUp();
    before = sys::thread_credentials().value();
  }
  void expect_restored() const {
    const auto now = sys::thread_credentials().value();
    EXPECT_EQ(now.uid.effective, before.uid.effective);
    EXPECT_EQ(now.uid.saved, before.uid.saved);
    EXPECT_EQ(now.gid.effective, before.gid.effective);
    EXPECT_EQ(now.effective, before.effective);
    EXPECT_EQ(now.permitted, before.permitted);
  }
  sys::ThreadCredentials before{};
};

TEST_F(CredentialsTest, what_is_created_belongs_to_the_caller_and_the_next_is_roots) {
  for (const bool prepared : {false, true}) {
    on_thread(prepared, [&] {
      const std::string suffix = prepared ? "1" : "0";
      const auto caller = call(abi::kRootId, kUser, kGroup);
      ASSERT_TRUE(fs->mkdir(caller, {0755, 0}, NameOf("dir" + suffix), {}).ok());
      ASSERT_TRUE(fs->mknod(caller, {S_IFREG | 0644, 0, 0, 0}, NameOf("node" + suffix), {}).ok());
      ASSERT_TRUE(fs->symlink(caller, NameOf("link" + suffix), TargetOf("x"), {}).ok());
      ASSERT_TRUE(fs->create(caller, {O_RDWR | O_CREAT, 0644, 0, 0}, NameOf("file" + suffix), {}).ok());
      for (const char* name : {"dir", "node", "link", "file"}) {
        EXPECT_EQ(host(name + suffix).st_uid, kUser) << name;
        EXPECT_EQ(host(name + suffix).st_gid, kGroup) << name;
      }
      expect_restored();
      ASSERT_TRUE(fs->mkdir(call(), {0755, 0}, NameOf("root" + suffix), {}).ok());
      EXPECT_EQ(host("root" + suffix).st_uid, 0U);
      EXPECT_EQ(host("root" + suffix).st_gid, 0U);
    });
  }
}

TEST_F(CredentialsTest, root_with_another_group) {
  ASSERT_TRUE(fs->mkdir(call(abi::kRootId, 0, kGroup), {0755, 0}, NameOf("dir"), {}).ok());
  EXPECT_EQ(host("dir").st_uid, 0U);
  EXPECT_EQ(host("dir").st_gid, kGroup);
  expect_restored();
}

TEST_F(CredentialsTest, the_guests_kernel_has_checked_the_directory) {
  // A directory that the caller may write to by a supplementary group, which is not told.
  ASSERT_EQ(::chmod(dir.path().c_str(), 0700), 0);
  EXPECT_TRUE(fs->mkdir(call(abi::kRootId, kUser, kGroup), {0755, 0}, NameOf("dir"), {}).ok());
}

TEST_F(CredentialsTest, exactly_one_capability_while_somebody_else) {
  passthrough::ScopedCredentials credentials;
  ASSERT_TRUE(credentials.become_creator(kUser, kGroup).ok());
  const auto now = sys::thread_credentials().value();
  EXPECT_EQ(now.uid.effective, kUser);
  EXPECT_EQ(now.gid.effective, kGroup);
  EXPECT_EQ(now.effective, std::uint64_t{1} << CAP_DAC_OVERRIDE);
}

TEST_F(CredentialsTest, a_setgid_bit_that_the_caller_may_not_set_is_dropped) {
  // CVE-2022-0358: an executable with the directory's group and S_ISGID, made by somebody who is not of the group.
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0755), 0);
  ASSERT_EQ(::chown((dir / "sub").c_str(), 0, 77), 0);
  ASSERT_EQ(::chmod((dir / "sub").c_str(), 02777), 0);
  const auto sub = node("sub");
  for (const bool prepared : {false, true}) {
    on_thread(prepared, [&] {
      // The thread's own groups must not count either.
      const gid_t groups[] = {77};
      ASSERT_EQ(::syscall(SYS_setgroups, prepared ? 0 : 1, groups), 0);
      const std::string name = prepared ? "f1" : "f0";
      ASSERT_TRUE(fs->create(call(sub, kUser, kGroup), {O_RDWR, 02775, 0, 0}, NameOf(name), {}).ok());
      EXPECT_EQ(host("sub/" + name).st_mode, S_IFREG | 0775U);
      EXPECT_EQ(host("sub/" + name).st_gid, 77U);
      gid_t after[8];
      EXPECT_EQ(::getgroups(8, after), prepared ? 0 : 1);
      // A new directory inherits group and bit.
      ASSERT_TRUE(fs->mkdir(call(sub, kUser, kGroup), {0775, 0}, NameOf(name + "d"), {}).ok());
      EXPECT_EQ(host("sub/" + name + "d").st_mode, S_IFDIR | 02775U);
    });
  }
}

TEST_F(CredentialsTest, the_mode_is_the_guests_whatever_our_umask) {
  for (const bool prepared : {false, true}) {
    on_thread(prepared, [&] {
      // Not to disturb the other tests, and still a thread that is not prepared.
      if (!prepared) {
        ASSERT_TRUE(sys::unshare_fs().ok());
        ::umask(0077);
      }
      const std::string suffix = prepared ? "1" : "0";
      for (const unsigned mode : {0777U, 0640U, 0002U, 0000U}) {
        const std::string name = std::to_string(mode) + "-" + suffix;
        const auto made = fs->mkdir(call(abi::kRootId, kUser, kGroup), {mode, 0}, NameOf("d" + name), {});
        ASSERT_TRUE(made.ok());
        EXPECT_EQ(host("d" + name).st_mode, S_IFDIR | mode);
        EXPECT_EQ(made.value().attr.mode, S_IFDIR | mode);
        ASSERT_TRUE(fs->mknod(call(), {S_IFIFO | mode, 0, 0, 0}, NameOf("n" + name), {}).ok());
        EXPECT_EQ(host("n" + name).st_mode, S_IFIFO | mode);
        const auto file = fs->create(call(), {O_RDWR, mode, 0, 0}, NameOf("f" + name), {});
        ASSERT_TRUE(file.ok());
        EXPECT_EQ(host("f" + name).st_mode, S_IFREG | mode);
        EXPECT_EQ(file.value().entry.attr.mode, S_IFREG | mode);
        ASSERT_TRUE(fs->symlink(call(), NameOf("l" + name), TargetOf("nowhere"), {}).ok());
      }
      // It was not touched.
      EXPECT_EQ(::umask(0077), prepared ? 0U : 0077U);
    });
  }
}

TEST_F(CredentialsTest, a_default_acl_is_not_widened_by_the_repair) {
  // system.posix_acl_default, version 2: rwx for the owner, r-x for the group, nothing for others.
  const std::uint8_t acl[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
                              5, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
  if (::setxattr(dir.path().c_str(), "system.posix_acl_default", acl, sizeof(acl), 0) != 0) {
    GTEST_SKIP() << "the file system has no ACLs";
  }
  on_thread(false, [&] {
    ASSERT_TRUE(sys::unshare_fs().ok());
    ::umask(0077);
    ASSERT_TRUE(fs->mkdir(call(), {0777, 0}, NameOf("dir"), {}).ok());
    EXPECT_EQ(host("dir").st_mode, S_IFDIR | 0750U);
  });
}

TEST_F(CredentialsTest, access_asks_as_the_caller) {
  put("private", "", 0600);
  put("public", "", 0644);
  EXPECT_ERRNO(fs->access(call(node("private"), kUser, kGroup), {R_OK, 0}), EACCES);
  EXPECT_TRUE(fs->access(call(node("public"), kUser, kGroup), {R_OK, 0}).ok());
  EXPECT_ERRNO(fs->access(call(node("public"), kUser, kGroup), {W_OK, 0}), EACCES);
  EXPECT_TRUE(fs->access(call(node("private")), {R_OK | W_OK, 0}).ok());
  expect_restored();
}

TEST_F(CredentialsTest, create_does_not_open_what_the_caller_may_not) {
  put("private", "secret", 0600);
  const auto caller = call(abi::kRootId, kUser, kGroup);
  EXPECT_ERRNO(fs->create(caller, {O_RDONLY | O_CREAT, 0600, 0, 0}, NameOf("private"), {}), ESTALE);
  EXPECT_ERRNO(fs->create(caller, {O_RDONLY | O_CREAT | O_TRUNC, 0600, 0, 0}, NameOf("private"), {}), ESTALE);
  EXPECT_EQ(get("private"), "secret");
  EXPECT_EQ(fs->inode_count(), 0U);
  put("public", "text", 0644);
  EXPECT_TRUE(fs->create(caller, {O_RDONLY | O_CREAT, 0600, 0, 0}, NameOf("public"), {}).ok());
}

TEST_F(CredentialsTest, ids_that_do_not_exist_make_nothing) {
  EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, 0xFFFFFFFF, 0), {0755, 0}, NameOf("dir"), {}), EOVERFLOW);
  EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, 0, 0xFFFFFFFF), {0755, 0}, NameOf("dir"), {}), EOVERFLOW);
  EXPECT_FALSE(exists("dir"));
}

TEST_F(CredentialsTest, an_ordinary_users_daemon_creates_as_itself_only) {
  ASSERT_EQ(::chown(dir.path().c_str(), kUser, kGroup), 0);
  on_thread(false, [&] {
    // For good, on this thread: an ordinary user.
    ASSERT_EQ(::syscall(SYS_setgroups, 0, nullptr), 0);
    ASSERT_EQ(::syscall(SYS_setresgid, kGroup, kGroup, kGroup), 0);
    ASSERT_EQ(::syscall(SYS_setresuid, kUser, kUser, kUser), 0);
    ASSERT_TRUE(fs->mkdir(call(abi::kRootId, kUser, kGroup), {0755, 0}, NameOf("own"), {}).ok());
    ASSERT_TRUE(fs->mkdir(call(abi::kRootId, 0, 0), {0755, 0}, NameOf("roots"), {}).ok());
    EXPECT_EQ(host("roots").st_uid, kUser);
    EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, kUser + 1, kGroup), {0755, 0}, NameOf("other"), {}), EPERM);
    EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, kUser, kGroup + 1), {0755, 0}, NameOf("other"), {}), EPERM);
    // As git does: a read-only file, written to by its creator.
    const auto made =
        fs->create(call(abi::kRootId, kUser, kGroup), {O_WRONLY | O_CREAT, 0444, 0, 0}, NameOf("object"), {});
    ASSERT_TRUE(made.ok());
    EXPECT_TRUE(write(made.value().entry.nodeid, made.value().open.fh, 0, "text").ok());
  });
  EXPECT_FALSE(exists("other"));
  EXPECT_EQ(get("object"), "text");
}

TEST_F(CredentialsTest, an_identity_without_way_back_is_not_given_up) {
  on_thread(false, [&] {
    // Effective root and nothing else: setresuid would take all capabilities away for good.
    ASSERT_EQ(::syscall(SYS_setresuid, kUser, 0, kUser), 0);
    EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, kUser + 1, kGroup), {0755, 0}, NameOf("dir"), {}), EPERM);
    EXPECT_EQ(sys::user_ids().effective, 0U);
  });
}

}  // namespace
}  // namespace vfs::test
