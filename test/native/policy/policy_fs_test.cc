// A policy over a real directory.
#include "policy/policy_fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "passthrough/fs_fixture.h"
#include "policy/policy_fixture.h"

namespace vfs::test {
namespace {

using policy::Permission;
using policy::PolicyFs;

class PolicyFsTest : public PassthroughTest {
 protected:
  void with(policy::PolicySource source) {
    ruled = std::make_unique<PolicyFs>(*fs, policy::PolicyOptions{.policy = std::move(source)});
    const auto flags = ruled->init(kSession, kAllOffered);
    ASSERT_TRUE(flags.ok());
    negotiated = {46, flags.value()};
  }

  Result<abi::EntryOut> look(const std::string& name, std::uint64_t directory = abi::kRootId) {
    return ruled->lookup(call(directory), NameOf(name));
  }
  std::uint64_t id(const std::string& name, std::uint64_t directory = abi::kRootId) {
    const auto found = look(name, directory);
    EXPECT_TRUE(found.ok()) << name;
    return found.ok() ? found.value().nodeid : 0;
  }
  Status rename(const std::string& from, std::uint64_t source, const std::string& to, std::uint64_t target,
                std::uint32_t flags = 0) {
    return ruled->rename(call(source), {target, flags, 0}, NameOf(from), NameOf(to));
  }
  std::vector<std::string> list(bool plus) {
    std::vector<std::string> names;
    const auto opened = ruled->opendir(call(), {O_RDONLY | O_DIRECTORY, 0});
    EXPECT_TRUE(opened.ok());
    if (!opened.ok()) return names;
    abi::ReadIn in{};
    in.fh = opened.value().fh;
    ListSink plain(100);
    PlusListSink entries(100);
    EXPECT_TRUE((plus ? ruled->readdirplus(call(), in, entries) : ruled->readdir(call(), in, plain)).ok());
    for (const Listed& each : plus ? entries.entries : plain.entries) names.push_back(each.name);
    EXPECT_TRUE(ruled->releasedir(call(), {in.fh, 0, 0, 0}).ok());
    std::sort(names.begin(), names.end());
    return names;
  }
  void make_directory(const std::string& name) { ASSERT_EQ(::mkdir((dir / name).c_str(), 0755), 0); }

  std::unique_ptr<PolicyFs> ruled;
};

const abi::CreateIn kCreate{O_CREAT | O_RDWR, S_IFREG | 0644, 0, 0};

TEST_F(PolicyFsTest, what_is_hidden_is_not_there_by_any_operation) {
  put(".env", "secret");
  put("open", "");
  with(policy_of({hide({".env"})}));
  EXPECT_ERRNO(look(".env"), ENOENT);
  EXPECT_EQ(list(false), (std::vector<std::string>{".", "..", "open"}));
  EXPECT_EQ(list(true), (std::vector<std::string>{".", "..", "open"}));
  EXPECT_ERRNO(ruled->unlink(call(), NameOf(".env")), ENOENT);
  EXPECT_ERRNO(ruled->rmdir(call(), NameOf(".env")), ENOENT);
  EXPECT_ERRNO(rename(".env", abi::kRootId, "x", abi::kRootId), ENOENT);
  EXPECT_ERRNO(rename("open", abi::kRootId, ".env", abi::kRootId), EACCES);
  EXPECT_ERRNO(ruled->create(call(), kCreate, NameOf(".env"), {}), EACCES);
  EXPECT_ERRNO(ruled->mkdir(call(), {0755, 0}, NameOf(".env"), {}), EACCES);
  EXPECT_ERRNO(ruled->mknod(call(), {S_IFIFO | 0600, 0, 0, 0}, NameOf(".env"), {}), EACCES);
  EXPECT_ERRNO(ruled->symlink(call(), NameOf(".env"), TargetOf("x"), {}), EACCES);
  EXPECT_ERRNO(ruled->link(call(), {id("open")}, NameOf(".env")), EACCES);
  EXPECT_EQ(get(".env"), "secret");
  EXPECT_EQ(fs->inode_count(), 1U);
}

TEST_F(PolicyFsTest, a_hidden_directory_does_not_show_by_its_type) {
  make_directory("secret");
  put("file", "");
  with(policy_of({hide({"secret/"})}));
  EXPECT_ERRNO(look("secret"), ENOENT);
  EXPECT_ERRNO(ruled->unlink(call(), NameOf("secret")), ENOENT);
  EXPECT_ERRNO(ruled->create(call(), kCreate, NameOf("secret"), {}), EACCES);
  EXPECT_ERRNO(rename("file", abi::kRootId, "secret", abi::kRootId, RENAME_NOREPLACE), EACCES);
  EXPECT_EQ(list(false), (std::vector<std::string>{".", "..", "file"}));
}

TEST_F(PolicyFsTest, a_hard_link_of_what_is_hidden_is_not_there_either) {
  make_directory("vault");
  put("vault/key", "secret");
  put("other", "");
  ASSERT_EQ(::link((dir / "vault/key").c_str(), (dir / "copy").c_str()), 0);
  ASSERT_EQ(::link((dir / "other").c_str(), (dir / "other2").c_str()), 0);
  with(policy_of({hide({"/vault"})}));
  EXPECT_ERRNO(look("copy"), ENOENT);
  EXPECT_TRUE(look("other2").ok());
  const abi::CreateIn truncating{O_CREAT | O_TRUNC | O_WRONLY, S_IFREG | 0644, 0, 0};
  EXPECT_ERRNO(ruled->create(call(), truncating, NameOf("copy"), {}), EACCES);
  EXPECT_ERRNO(ruled->unlink(call(), NameOf("copy")), ENOENT);
  EXPECT_ERRNO(rename("other", abi::kRootId, "copy", abi::kRootId), EACCES);
  EXPECT_EQ(get("vault/key"), "secret");
  EXPECT_EQ(list(true), (std::vector<std::string>{".", "..", "other", "other2"}));
  // One that comes later changes the file, and is looked for again.
  ASSERT_EQ(::link((dir / "vault/key").c_str(), (dir / "later").c_str()), 0);
  EXPECT_ERRNO(look("later"), ENOENT);
}

TEST_F(PolicyFsTest, a_rename_across_a_border_is_refused_as_between_mounts) {
  make_directory("a");
  make_directory("out");
  make_directory("out/sub");
  put("a/secret", "secret");
  put("file", "");
  const std::uint32_t write = bit_of(Permission::kWrite);
  with(policy_of({hide({"/a/secret"}), deny(write, {}, true), allow(write, {"/out"})}));
  // The directory itself may be renamed by the rules, but what is in it would show.
  EXPECT_ERRNO(rename("a", abi::kRootId, "b", abi::kRootId), EXDEV);
  EXPECT_ERRNO(rename("file", abi::kRootId, "file", id("out")), EXDEV);
  EXPECT_ERRNO(ruled->link(call(id("out")), {id("file")}, NameOf("linked")), EXDEV);
  EXPECT_TRUE(rename("sub", id("out"), "other", id("out")).ok());
}

TEST_F(PolicyFsTest, a_whiteout_is_a_device_node_that_is_made) {
  put("file", "");
  with(policy_of({deny(bit_of(Permission::kDevice), {})}));
  EXPECT_ERRNO(rename("file", abi::kRootId, "other", abi::kRootId, RENAME_WHITEOUT), EPERM);
  ruled->replace(policy_of({deny(bit_of(Permission::kCreate), {})}));
  EXPECT_ERRNO(rename("file", abi::kRootId, "other", abi::kRootId, RENAME_WHITEOUT), EACCES);
  EXPECT_TRUE(exists("file"));
  EXPECT_FALSE(exists("other"));
  policy::PolicySource none;
  none.limits.inodes = 0;
  ruled->replace(none);
  EXPECT_ERRNO(rename("file", abi::kRootId, "other", abi::kRootId, RENAME_WHITEOUT), ENOSPC);
  EXPECT_TRUE(rename("file", abi::kRootId, "other", abi::kRootId).ok());
}

TEST_F(PolicyFsTest, a_policy_that_is_replaced_holds_for_known_nodes) {
  make_directory("sub");
  put("sub/file", "x");
  with(policy_of({}));
  const std::uint64_t sub = id("sub");
  const std::uint64_t file = id("file", sub);
  ruled->forget(call(), sub, 1);
  EXPECT_TRUE(ruled->getattr(call(file), {}).ok());
  ruled->replace(policy_of({hide({"/sub"})}));
  EXPECT_ERRNO(ruled->getattr(call(file), {}), ENOENT);
  EXPECT_ERRNO(ruled->open(call(file), {O_RDONLY, 0}), ENOENT);
  EXPECT_ERRNO(look("sub"), ENOENT);
  ruled->replace(policy_of({deny(bit_of(Permission::kRead), {"file"})}));
  EXPECT_ERRNO(ruled->open(call(file), {O_RDONLY, 0}), EACCES);
  ruled->replace(policy_of({}));
  EXPECT_TRUE(ruled->open(call(file), {O_RDONLY, 0}).ok());
}

TEST_F(PolicyFsTest, a_node_that_was_renamed_is_judged_by_its_new_name) {
  put("old", "");
  with(policy_of({}));
  const std::uint64_t file = id("old");
  ASSERT_TRUE(rename("old", abi::kRootId, "new", abi::kRootId).ok());
  ruled->replace(policy_of({hide({"old"})}));
  EXPECT_TRUE(ruled->getattr(call(file), {}).ok());
  ruled->replace(policy_of({hide({"new"})}));
  EXPECT_ERRNO(ruled->getattr(call(file), {}), ENOENT);
}

TEST_F(PolicyFsTest, what_is_below_a_renamed_directory_is_judged_by_its_new_name_though_the_guest_has_forgotten_it) {
  make_directory("old");
  put("old/file", "");
  with(policy_of({}));
  const std::uint64_t directory = id("old");
  const std::uint64_t file = id("file", directory);
  ruled->forget(call(), directory, 1);
  ASSERT_TRUE(rename("old", abi::kRootId, "new", abi::kRootId).ok());
  ruled->replace(policy_of({hide({"/new"})}));
  EXPECT_ERRNO(ruled->getattr(call(file), {}), ENOENT);
  ruled->replace(policy_of({}));
  // And when it has found it again meanwhile.
  EXPECT_EQ(id("new"), directory);
  ASSERT_TRUE(rename("new", abi::kRootId, "newest", abi::kRootId).ok());
  ruled->replace(policy_of({hide({"/newest"})}));
  EXPECT_ERRNO(ruled->open(call(file), {O_RDONLY, 0}), ENOENT);
}

TEST_F(PolicyFsTest, with_a_writeback_cache_neither_reading_nor_copying_shows_what_was_opened_for_writing_only) {
  passthrough::PassthroughOptions options;
  options.writeback = true;
  mount(options);
  put("log", "written by others");
  put("copy", "");
  with(policy_of({deny(bit_of(Permission::kRead), {"log"})}));
  ASSERT_TRUE(negotiated.has(abi::init_flag::kWritebackCache));
  const std::uint64_t log = id("log");
  const std::uint64_t copy = id("copy");
  const auto from = ruled->open(call(log), {O_WRONLY, 0});
  const auto to = ruled->open(call(copy), {O_RDWR, 0});
  ASSERT_TRUE(from.ok() && to.ok());
  const GuestBuffer buffer(16);
  GuestWriter writer = buffer.writer();
  EXPECT_ERRNO(ruled->read(call(log), {from.value().fh, 0, 16, 0, 0, 0, 0}, writer), EACCES);
  EXPECT_ERRNO(ruled->copy_file_range(call(log), {from.value().fh, 0, copy, to.value().fh, 0, 16, 0}), EACCES);
  EXPECT_EQ(get("copy"), "");
}

TEST_F(PolicyFsTest, each_permission_has_its_errno) {
  put("file", "#!/bin/sh\n", 04755);
  const std::uint32_t all = (1U << policy::kPermissions) - 1;
  with(policy_of({deny(all, {})}));
  const std::uint64_t file = id("file");
  EXPECT_ERRNO(ruled->open(call(file), {O_RDONLY, 0}), EACCES);
  EXPECT_ERRNO(ruled->open(call(file), {O_WRONLY, 0}), EACCES);
  EXPECT_ERRNO(ruled->create(call(), kCreate, NameOf("new"), {}), EACCES);
  EXPECT_ERRNO(ruled->unlink(call(), NameOf("file")), EACCES);
  EXPECT_ERRNO(rename("file", abi::kRootId, "new", abi::kRootId), EACCES);
  EXPECT_EQ(ruled->getattr(call(file), {}).value().attr.mode, mode_t{S_IFREG | 0644});
  abi::SetattrIn mode{};
  mode.valid = abi::fattr::kMode;
  EXPECT_ERRNO(ruled->setattr(call(file), mode), EPERM);
  abi::SetattrIn owner{};
  owner.valid = abi::fattr::kUid;
  EXPECT_ERRNO(ruled->setattr(call(file), owner), EPERM);
  abi::SetattrIn times{};
  times.valid = abi::fattr::kMtime | abi::fattr::kCtime;
  EXPECT_ERRNO(ruled->setattr(call(file), times), EPERM);
  EXPECT_ERRNO(ruled->listxattr(call(file), {}), EOPNOTSUPP);
  EXPECT_ERRNO(ruled->ioctl(call(file), {}, {}, {}), ENOTTY);
  EXPECT_ERRNO(ruled->setlk(call(file), {}), ENOLCK);
}

TEST_F(PolicyFsTest, create_opens_what_may_be_opened_and_makes_what_may_be_made) {
  put("there", "x");
  with(policy_of({deny(bit_of(Permission::kCreate), {})}));
  EXPECT_TRUE(ruled->create(call(), kCreate, NameOf("there"), {}).ok());
  EXPECT_ERRNO(ruled->create(call(), kCreate, NameOf("new"), {}), EACCES);
  const abi::CreateIn exclusive{O_CREAT | O_EXCL | O_RDWR, S_IFREG | 0644, 0, 0};
  EXPECT_ERRNO(ruled->create(call(), exclusive, NameOf("there"), {}), EEXIST);
  EXPECT_FALSE(exists("new"));
}

TEST_F(PolicyFsTest, a_masked_file_has_the_content_of_the_policy) {
  put("config", "real content, and secret");
  with(mask({"/config"}, "masked"));
  const auto found = look("config");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value().attr.size, 6U);
  const std::uint64_t file = found.value().nodeid;
  EXPECT_ERRNO(ruled->open(call(file), {O_RDWR, 0}), EACCES);
  const auto opened = ruled->open(call(file), {O_RDONLY, 0});
  ASSERT_TRUE(opened.ok());
  const GuestBuffer buffer(100);
  GuestWriter writer = buffer.writer();
  const auto length = ruled->read(call(file), {opened.value().fh, 2, 100, 0, 0, 0, 0}, writer);
  ASSERT_TRUE(length.ok());
  EXPECT_EQ(buffer.text(length.value()), "sked");
  EXPECT_TRUE(ruled->release(call(file), {opened.value().fh, 0, 0, 0}).ok());
  EXPECT_ERRNO(ruled->release(call(file), {opened.value().fh, 0, 0, 0}), EBADF);
}

TEST_F(PolicyFsTest, limits_end_with_the_errno_of_a_full_disk) {
  put("file", "");
  policy::PolicySource source;
  source.limits = {.open_handles = 1, .inodes = 1, .bytes_written = 8, .file_size = 6};
  with(source);
  const std::uint64_t file = id("file");
  const auto opened = ruled->open(call(file), {O_RDWR, 0});
  ASSERT_TRUE(opened.ok());
  EXPECT_ERRNO(ruled->open(call(file), {O_RDONLY, 0}), EMFILE);
  EXPECT_ERRNO(ruled->opendir(call(), {O_RDONLY, 0}), EMFILE);
  const auto write = [&](std::uint64_t offset, const std::string& text) {
    const GuestBuffer buffer(text);
    GuestReader reader = buffer.reader();
    const auto size = static_cast<std::uint32_t>(text.size());
    return ruled->write(call(file), {opened.value().fh, offset, size, 0, 0, 0, 0}, reader);
  };
  EXPECT_ERRNO(write(6, "x"), EFBIG);
  EXPECT_EQ(write(3, "abcdef").value().size, 3U);
  EXPECT_ERRNO(ruled->fallocate(call(file), {opened.value().fh, 0, 6, 0, 0}), EDQUOT);
  EXPECT_EQ(write(0, "123456").value().size, 5U);
  EXPECT_ERRNO(write(0, "x"), EDQUOT);
  EXPECT_EQ(get("file"), "12345c");
  abi::SetattrIn longer{};
  longer.valid = abi::fattr::kSize;
  longer.size = 7;
  EXPECT_ERRNO(ruled->setattr(call(file), longer), EFBIG);
  EXPECT_TRUE(ruled->release(call(file), {opened.value().fh, 0, 0, 0}).ok());
  EXPECT_TRUE(ruled->mkdir(call(), {0755, 0}, NameOf("one"), {}).ok());
  EXPECT_ERRNO(ruled->mkdir(call(), {0755, 0}, NameOf("two"), {}), ENOSPC);
  EXPECT_ERRNO(ruled->create(call(), kCreate, NameOf("two"), {}), ENOSPC);
  EXPECT_TRUE(ruled->rmdir(call(), NameOf("one")).ok());
  EXPECT_TRUE(ruled->create(call(), kCreate, NameOf("two"), {}).ok());
}

TEST_F(PolicyFsTest, a_rename_between_two_names_of_one_file_removes_none) {
  put("file", "");
  policy::PolicySource source;
  source.limits.inodes = 1;
  with(source);
  ASSERT_TRUE(ruled->link(call(), {id("file")}, NameOf("second")).ok());
  EXPECT_TRUE(rename("second", abi::kRootId, "file", abi::kRootId).ok());
  EXPECT_ERRNO(ruled->mkdir(call(), {0755, 0}, NameOf("new"), {}), ENOSPC);
  // With the file unknown, too: what a name stands for then gets another number each time.
  ASSERT_TRUE(exists("second"));
  ruled->forget(call(), id("file"), 3);
  EXPECT_TRUE(rename("second", abi::kRootId, "file", abi::kRootId).ok());
  EXPECT_ERRNO(ruled->mkdir(call(), {0755, 0}, NameOf("new"), {}), ENOSPC);
}

TEST_F(PolicyFsTest, the_parent_of_a_known_directory_is_found_as_long_as_it_is_visible) {
  make_directory("a");
  make_directory("a/b");
  with(policy_of({}));
  const std::uint64_t a = id("a");
  const std::uint64_t b = id("b", a);
  ruled->forget(call(), a, 1);
  const auto parent = ruled->lookup_parent(call(b));
  ASSERT_TRUE(parent.ok());
  EXPECT_TRUE(look("b", parent.value().nodeid).ok());
  ruled->replace(policy_of({hide({"/a"})}));
  EXPECT_ERRNO(ruled->lookup_parent(call(b)), ESTALE);
  EXPECT_ERRNO(ruled->lookup_self(call(b)), ESTALE);
}

TEST_F(PolicyFsTest, very_deep_directories_are_let_go_of_without_recursion) {
  with(policy_of({}));
  std::uint64_t at = abi::kRootId;
  for (int depth = 0; depth < 1500; ++depth) {
    const auto made = ruled->mkdir(call(at), {0755, 0}, NameOf("d"), {});
    ASSERT_TRUE(made.ok()) << depth;
    if (at != abi::kRootId) ruled->forget(call(), at, 1);
    at = made.value().nodeid;
  }
  ruled->replace(policy_of({deny(bit_of(Permission::kRead), {"/d"})}));
  EXPECT_ERRNO(ruled->opendir(call(at), {O_RDONLY, 0}), EACCES);
  ruled->forget(call(), at, 1);
  EXPECT_EQ(ruled->node_count(), 0U);
}

TEST_F(PolicyFsTest, requests_and_replacements_at_once_leave_no_node_behind) {
  make_directory("sub");
  put("sub/file", "x");
  put("a", "x");
  with(policy_of({}));
  std::atomic<bool> stop{false};
  const auto guest = [&] {
    while (!stop.load()) {
      const auto sub = look("sub");
      if (!sub.ok()) continue;
      const auto file = look("file", sub.value().nodeid);
      if (file.ok()) {
        static_cast<void>(ruled->getattr(call(file.value().nodeid), {}).ok());
        ruled->forget(call(), file.value().nodeid, 1);
      }
      static_cast<void>(rename("a", abi::kRootId, "b", abi::kRootId).ok());
      static_cast<void>(rename("b", abi::kRootId, "a", abi::kRootId).ok());
      ruled->forget(call(), sub.value().nodeid, 1);
    }
  };
  std::thread one(guest);
  std::thread two(guest);
  for (int i = 0; i < 300; ++i)
    ruled->replace(policy_of(i % 2 == 0 ? std::vector{hide({"sub"})} : std::vector{hide({"a"})}));
  stop = true;
  one.join();
  two.join();
  EXPECT_EQ(ruled->node_count(), 0U);
  EXPECT_EQ(fs->inode_count(), 0U);
}

}  // namespace
}  // namespace vfs::test
