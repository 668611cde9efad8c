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

// CREATE_SUPP_GROUP as it stands at the end of a request.
fuse::Creation with_group(std::uint32_t group, std::vector<std::byte>& body) {
  const std::array<std::uint32_t, 4> words{16, abi::kExtGroups, 1, group};
  body.assign(16, std::byte{0});
  copy_bytes(body, std::as_bytes(std::span(words)));
  return fuse::Creation::parse(body).value();
}

TEST_F(CredentialsTest, a_group_that_the_guest_names_counts_for_that_request_and_no_other) {
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0755), 0);
  ASSERT_EQ(::chown((dir / "sub").c_str(), 0, 77), 0);
  ASSERT_EQ(::chmod((dir / "sub").c_str(), 02777), 0);
  const auto sub = node("sub");
  std::vector<std::byte> body;
  const fuse::Creation creation = with_group(77, body);
  for (const bool prepared : {false, true}) {
    on_thread(prepared, [&] {
      const gid_t own[] = {88, 99};
      if (!prepared) {
        ASSERT_EQ(::syscall(SYS_setgroups, 2, own), 0);
      }
      const std::string suffix = prepared ? "1" : "0";
      const auto mode_of = [&](const std::string& name, uid_t uid, const fuse::Creation& given) {
        EXPECT_TRUE(fs->create(call(sub, uid, uid), {O_RDWR, 02775, 0, 0}, NameOf(name + suffix), given).ok());
        return host("sub/" + name + suffix).st_mode & 07777U;
      };
      // Of the directory's group, says the guest: the bit stays.
      EXPECT_EQ(mode_of("member", kUser, creation), 02775U);
      EXPECT_EQ(mode_of("stranger", kUser, {}), 0775U);
      // The same after root, whose identity needs no change.
      EXPECT_EQ(mode_of("root", 0, creation), 02775U);
      EXPECT_EQ(mode_of("after-root", kUser, {}), 0775U);
      gid_t after[8];
      EXPECT_EQ(::getgroups(8, after), prepared ? 0 : 2);
      if (!prepared) {
        EXPECT_EQ(after[0], 88U);
        EXPECT_EQ(after[1], 99U);
      }
      expect_restored();
    });
  }
}

TEST_F(CredentialsTest, a_group_that_does_not_exist_makes_nothing) {
  std::vector<std::byte> body;
  const fuse::Creation creation = with_group(0xFFFFFFFF, body);
  EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, kUser, kGroup), {0755, 0}, NameOf("dir"), creation), EINVAL);
  EXPECT_ERRNO(fs->mkdir(call(), {0755, 0}, NameOf("dir"), creation), EINVAL);
  EXPECT_FALSE(exists("dir"));
  expect_restored();
}

TEST_F(CredentialsTest, the_umask_of_the_caller_is_applied_here_if_it_was_agreed) {
  for (const bool prepared : {false, true}) {
    on_thread(prepared, [&] {
      if (!prepared) {
        ASSERT_TRUE(sys::unshare_fs().ok());
        ::umask(0077);
      }
      const std::string suffix = prepared ? "1" : "0";
      const auto modes = [&](const std::string& name) {
        EXPECT_TRUE(fs->mkdir(call(), {0777, 0027}, NameOf("d" + name + suffix), {}).ok());
        EXPECT_TRUE(fs->mknod(call(), {S_IFIFO | 0666, 0, 0027, 0}, NameOf("n" + name + suffix), {}).ok());
        EXPECT_TRUE(fs->create(call(), {O_RDWR, 0666, 0027, 0}, NameOf("f" + name + suffix), {}).ok());
        return std::array<unsigned, 3>{host("d" + name + suffix).st_mode & 07777U,
                                       host("n" + name + suffix).st_mode & 07777U,
                                       host("f" + name + suffix).st_mode & 07777U};
      };
      EXPECT_EQ(modes("agreed"), (std::array<unsigned, 3>{0750, 0640, 0640}));
      const auto flags = negotiated.flags;
      negotiated.flags &= ~abi::init_flag::kDontMask;
      EXPECT_EQ(modes("not"), (std::array<unsigned, 3>{0777, 0666, 0666}));
      negotiated.flags = flags;
      EXPECT_EQ(::umask(0), prepared ? 0U : 0077U);
    });
  }
}

TEST_F(CredentialsTest, without_cap_fsetid_a_write_takes_the_bits_and_the_capability_comes_back) {
  const auto after_write = [&](std::uint32_t write_flags) {
    put("file", "text");
    EXPECT_EQ(::chmod((dir / "file").c_str(), 06777), 0);
    const auto file = node("file");
    const auto handle = open(file, O_RDWR);
    EXPECT_TRUE(write(file, handle, 0, "more", write_flags).ok());
    expect_restored();
    return host("file").st_mode & 07777U;
  };
  for (const bool prepared : {false, true}) {
    on_thread(prepared, [&] {
      for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(after_write(0), 06777U);
        EXPECT_EQ(after_write(abi::kWriteKillSuidgid), 0777U);
      }
      // Without a bit there is nothing to give up a privilege for.
      put("plain", "text");
      const UniqueFd plain(::open((dir / "plain").c_str(), O_RDONLY));
      const UniqueFd setuid(::open((dir / "file").c_str(), O_RDONLY));
      EXPECT_EQ(::chmod((dir / "file").c_str(), 04777), 0);
      for (const auto& [fd, wanted] : {std::pair{plain.get(), true}, std::pair{setuid.get(), false}}) {
        passthrough::ScopedCredentials credentials;
        ASSERT_TRUE(credentials.become_killer(wanted, fd, 77).ok());
        EXPECT_TRUE(sys::has_effective_capability(CAP_FSETID));
      }
      {
        passthrough::ScopedCredentials credentials;
        ASSERT_TRUE(credentials.become_killer(true, setuid.get(), 77).ok());
        EXPECT_FALSE(sys::has_effective_capability(CAP_FSETID));
        EXPECT_EQ(sys::group_ids().effective, 77U);
      }
      expect_restored();
    });
  }
}

TEST_F(CredentialsTest, an_acl_costs_the_setgid_bit_only_if_the_guest_says_so) {
  // u::rwx g::r-x o::r-x
  const std::uint8_t acl[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
                              5, 0, 255, 255, 255, 255, 32, 0, 5,   0,   255, 255, 255, 255};
  if (::setxattr(dir.path().c_str(), "system.posix_acl_access", acl, sizeof(acl), 0) != 0) {
    GTEST_SKIP() << "the file system has no ACLs";
  }
  const std::string text = "system.posix_acl_access";
  std::vector<std::byte> name(text.size() + 1);
  copy_bytes(name, std::as_bytes(std::span(text)));
  const auto xattr = fuse::Decoder(name).take_xattr_name();
  for (const bool prepared : {false, true}) {
    for (const gid_t group : {gid_t{0}, gid_t{77}}) {
      on_thread(prepared, [&] {
        if (!prepared) {
          // The thread's own groups must not count.
          const gid_t groups[] = {77};
          ASSERT_EQ(::syscall(SYS_setgroups, 1, groups), 0);
        }
        put("file", "");
        ASSERT_EQ(::chown((dir / "file").c_str(), kUser, group), 0);
        ASSERT_EQ(::chmod((dir / "file").c_str(), 02775), 0);
        const auto file = node("file");
        const auto set = [&](std::uint32_t flags) {
          return fs->setxattr(call(file, kUser, kGroup), {sizeof(acl), 0, flags, 0}, xattr.value(),
                              std::as_bytes(std::span(acl)));
        };
        ASSERT_TRUE(set(0).ok());
        EXPECT_EQ(host("file").st_mode & 07777U, 02755U);
        ASSERT_TRUE(set(abi::kSetxattrAclKillSgid).ok());
        EXPECT_EQ(host("file").st_mode & 07777U, 0755U);
        expect_restored();
        gid_t after[8];
        EXPECT_EQ(::getgroups(8, after), prepared ? 0 : 1);
      });
    }
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

TEST_F(CredentialsTest, what_is_remembered_of_the_own_identity_ends_with_the_next_look) {
  on_thread(true, [&] {
    passthrough::look_again_at_identity();
    for (const uid_t uid : {kUser, uid_t{0}, kUser + 1, kUser}) {
      const std::string name = "of" + std::to_string(uid);
      static_cast<void>(fs->unlink(call(), NameOf(name)).ok());
      ASSERT_TRUE(fs->mknod(call(abi::kRootId, uid, 0), {S_IFREG | 0644, 0, 0, 0}, NameOf(name), {}).ok());
      EXPECT_EQ(host(name).st_uid, uid);
      expect_restored();
    }
    // As setuid(2) of the C library does on every thread when the application calls it.
    ASSERT_EQ(::syscall(SYS_setresuid, -1, kUser, -1), 0);
    passthrough::look_again_at_identity();
    ASSERT_EQ(::chown(dir.path().c_str(), kUser, kGroup), -1);
    EXPECT_EQ(sys::user_ids().effective, kUser);
    EXPECT_ERRNO(fs->mkdir(call(abi::kRootId, kUser, 0), {0755, 0}, NameOf("not here"), {}), EACCES);
    ASSERT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
  });
}

TEST_F(CredentialsTest, a_process_that_gives_up_what_it_was_goes_on_as_what_it_is) {
  on_thread(true, [&] {
    {
      passthrough::ScopedCredentials scope;
      ASSERT_TRUE(scope.become_creator(kUser, kGroup).ok());
      // The raw calls, for this thread alone: what an application's setuid(2) does here in the middle of a request.
      ASSERT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
      ASSERT_EQ(::syscall(SYS_setresgid, kGroup + 1, kGroup + 1, kGroup + 1), 0);
      ASSERT_EQ(::syscall(SYS_setresuid, kUser + 1, kUser + 1, kUser + 1), 0);
    }
    EXPECT_EQ(sys::user_ids().effective, kUser + 1);
  });
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
