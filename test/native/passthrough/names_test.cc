// Names and attributes, with plain system calls as the oracle.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/sysmacros.h>

#include <map>

#include "fuse/init_flags.h"
#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

using passthrough::CachePolicy;

class NamesTest : public PassthroughTest {};

void expect_same(const abi::Attr& attr, const struct stat& host) {
  EXPECT_EQ(attr.ino, host.st_ino);
  EXPECT_EQ(attr.size, static_cast<std::uint64_t>(host.st_size));
  EXPECT_EQ(attr.blocks, static_cast<std::uint64_t>(host.st_blocks));
  EXPECT_EQ(attr.mode, host.st_mode);
  EXPECT_EQ(attr.nlink, host.st_nlink);
  EXPECT_EQ(attr.uid, host.st_uid);
  EXPECT_EQ(attr.gid, host.st_gid);
  EXPECT_EQ(attr.blksize, static_cast<std::uint32_t>(host.st_blksize));
  EXPECT_EQ(attr.rdev, passthrough::to_wire_device(major(host.st_rdev), minor(host.st_rdev)));
  EXPECT_EQ(attr.mtime, static_cast<std::uint64_t>(host.st_mtim.tv_sec));
  EXPECT_EQ(attr.mtimensec, static_cast<std::uint32_t>(host.st_mtim.tv_nsec));
  EXPECT_EQ(attr.ctime, static_cast<std::uint64_t>(host.st_ctim.tv_sec));
  EXPECT_EQ(attr.ctimensec, static_cast<std::uint32_t>(host.st_ctim.tv_nsec));
}

TEST_F(NamesTest, create_refuses_a_root_that_is_no_directory) {
  put("file", "");
  EXPECT_ERRNO(passthrough::PassthroughFs::create({.root = dir / "file"}), ENOTDIR);
  EXPECT_ERRNO(passthrough::PassthroughFs::create({.root = dir / "missing"}), ENOENT);
}

TEST_F(NamesTest, lookup_tells_what_stat_tells) {
  put("file", "twelve bytes", 0640);
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("file", (dir / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "sub", "link", "fifo"}) {
    const auto found = fs->lookup(call(), NameOf(name));
    ASSERT_TRUE(found.ok()) << name;
    expect_same(found.value().attr, host(name));
    const auto attr = fs->getattr(call(found.value().nodeid), {});
    ASSERT_TRUE(attr.ok());
    expect_same(attr.value().attr, host(name));
  }
  EXPECT_EQ(fs->inode_count(), 4U);
}

TEST_F(NamesTest, hard_links_are_one_node_and_forget_counts_lookups) {
  put("a", "");
  ASSERT_EQ(::link((dir / "a").c_str(), (dir / "b").c_str()), 0);
  const auto id = node("a");
  EXPECT_EQ(node("b"), id);
  EXPECT_EQ(fs->inode_count(), 1U);
  fs->forget(call(), id, 1);
  EXPECT_TRUE(fs->getattr(call(id), {}).ok());
  fs->forget(call(), id, 1);
  EXPECT_ERRNO(fs->getattr(call(id), {}), EBADF);
  EXPECT_EQ(fs->inode_count(), 0U);
}

TEST_F(NamesTest, a_known_lookup_is_one_system_call) {
  put("a", "");
  node("a");
  sys::fault_injection::fail_call(2, EIO);
  const auto again = fs->lookup(call(), NameOf("a"));
  EXPECT_FALSE(sys::fault_injection::triggered());
  sys::fault_injection::fail_call(0, 0);
  EXPECT_TRUE(again.ok());
}

TEST_F(NamesTest, a_node_survives_its_names) {
  put("a", "text");
  const auto id = node("a");
  ASSERT_EQ(::rename((dir / "a").c_str(), (dir / "b").c_str()), 0);
  EXPECT_EQ(node("b"), id);
  ASSERT_EQ(::unlink((dir / "b").c_str()), 0);
  const auto attr = fs->getattr(call(id), {});
  ASSERT_TRUE(attr.ok());
  EXPECT_EQ(attr.value().attr.nlink, 0U);
}

TEST_F(NamesTest, unknown_nodes_are_ebadf) {
  const NameOf name("x");
  for (const std::uint64_t id : {std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    EXPECT_ERRNO(fs->lookup(call(id), name), EBADF);
    EXPECT_ERRNO(fs->getattr(call(id), {}), EBADF);
    EXPECT_ERRNO(fs->setattr(call(id), {}), EBADF);
    EXPECT_ERRNO(fs->mkdir(call(id), {0700, 0}, name, {}), EBADF);
    EXPECT_ERRNO(fs->create(call(id), {O_RDWR, 0600, 0, 0}, name, {}), EBADF);
    EXPECT_ERRNO(fs->rename(call(), {id, 0, 0}, name, name), EBADF);
    EXPECT_ERRNO(fs->link(call(), {id}, name), EBADF);
    EXPECT_ERRNO(fs->open(call(id), {O_RDONLY, 0}), EBADF);
    EXPECT_ERRNO(fs->opendir(call(id), {0, 0}), EBADF);
    EXPECT_ERRNO(fs->statfs(call(id)), EBADF);
    fs->forget(call(id), id, 1);
  }
}

TEST_F(NamesTest, lookup_below_something_that_is_no_directory) {
  put("file", "");
  ASSERT_EQ(::symlink("/", (dir / "link").c_str()), 0);
  EXPECT_ERRNO(fs->lookup(call(node("file")), NameOf("x")), ENOTDIR);
  // A symlink is an object and never followed.
  EXPECT_ERRNO(fs->lookup(call(node("link")), NameOf("etc")), ENOTDIR);
  EXPECT_ERRNO(fs->opendir(call(node("link")), {0, 0}), ENOTDIR);
}

TEST_F(NamesTest, negative_answers_are_cached_only_if_asked_for) {
  EXPECT_ERRNO(fs->lookup(call(), NameOf("x")), ENOENT);
  mount({.negative_timeout_ns = 2'500'000'000});
  const auto none = fs->lookup(call(), NameOf("x"));
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none.value().nodeid, 0U);
  EXPECT_EQ(none.value().entry_valid, 2U);
  EXPECT_EQ(none.value().entry_valid_nsec, 500'000'000U);
}

TEST_F(NamesTest, timeouts_reach_the_guest) {
  mount({.entry_timeout_ns = 1'000'000'001, .attr_timeout_ns = 86'400'000'000'000});
  put("a", "");
  const auto found = fs->lookup(call(), NameOf("a"));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value().entry_valid, 1U);
  EXPECT_EQ(found.value().entry_valid_nsec, 1U);
  EXPECT_EQ(found.value().attr_valid, 86400U);
  EXPECT_EQ(fs->getattr(call(found.value().nodeid), {}).value().attr_valid, 86400U);
}

TEST_F(NamesTest, directories_and_files_come_and_go) {
  const auto made = fs->mkdir(call(), {0750, 0}, NameOf("sub"), {});
  ASSERT_TRUE(made.ok());
  expect_same(made.value().attr, host("sub"));
  EXPECT_EQ(host("sub").st_mode, S_IFDIR | 0750U);
  EXPECT_ERRNO(fs->mkdir(call(), {0750, 0}, NameOf("sub"), {}), EEXIST);
  const auto file = fs->mknod(call(made.value().nodeid), {S_IFREG | 0604, 0, 0, 0}, NameOf("file"), {});
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(host("sub/file").st_mode, S_IFREG | 0604U);
  EXPECT_ERRNO(fs->rmdir(call(), NameOf("sub")), ENOTEMPTY);
  EXPECT_ERRNO(fs->unlink(call(), NameOf("sub")), EISDIR);
  EXPECT_TRUE(fs->unlink(call(made.value().nodeid), NameOf("file")).ok());
  EXPECT_FALSE(exists("sub/file"));
  EXPECT_TRUE(fs->rmdir(call(), NameOf("sub")).ok());
  EXPECT_FALSE(exists("sub"));
}

TEST_F(NamesTest, special_files_are_made_and_never_opened) {
  ASSERT_TRUE(fs->mknod(call(), {S_IFIFO | 0600, 0, 0, 0}, NameOf("fifo"), {}).ok());
  EXPECT_TRUE(S_ISFIFO(host("fifo").st_mode));
  ASSERT_TRUE(fs->mknod(call(), {S_IFSOCK | 0600, 0, 0, 0}, NameOf("socket"), {}).ok());
  for (const char* name : {"fifo", "socket"}) {
    for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK, O_WRONLY | O_TRUNC}) {
      EXPECT_ERRNO(fs->open(call(node(name)), {static_cast<std::uint32_t>(flags), 0}), EACCES);
    }
    EXPECT_ERRNO(fs->opendir(call(node(name)), {0, 0}), ENOTDIR);
    EXPECT_ERRNO(fs->create(call(), {O_RDWR | O_CREAT, 0600, 0, 0}, NameOf(name), {}), ESTALE);
    EXPECT_ERRNO(fs->create(call(), {O_RDWR | O_CREAT | O_EXCL, 0600, 0, 0}, NameOf(name), {}), EEXIST);
  }
  EXPECT_EQ(fs->handle_count(), 0U);
}

TEST_F(NamesTest, device_nodes_keep_their_numbers) {
  const std::uint32_t wire = passthrough::to_wire_device(0xabc, 0xdef12);
  const auto made = fs->mknod(call(), {S_IFCHR | 0600, wire, 0, 0}, NameOf("device"), {});
  if (!made.ok()) {
    EXPECT_EQ(made.error(), Errno(EPERM));
    return;
  }
  EXPECT_EQ(made.value().attr.rdev, wire);
  EXPECT_EQ(major(host("device").st_rdev), 0xabcU);
  EXPECT_EQ(minor(host("device").st_rdev), 0xdef12U);
  EXPECT_ERRNO(fs->open(call(made.value().nodeid), {O_RDWR, 0}), EACCES);
}

TEST_F(NamesTest, symlinks_keep_any_text) {
  const std::string target = "../../etc/passwd";
  const auto made = fs->symlink(call(), NameOf("link"), TargetOf(target), {});
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(S_ISLNK(made.value().attr.mode));
  std::array<std::byte, 4096> buffer;
  const auto length = fs->readlink(call(made.value().nodeid), buffer);
  ASSERT_TRUE(length.ok());
  EXPECT_EQ(length.value(), target.size());
  EXPECT_EQ(std::memcmp(buffer.data(), target.data(), target.size()), 0);
  put("file", "");
  EXPECT_ERRNO(fs->readlink(call(node("file")), buffer), EINVAL);
  EXPECT_ERRNO(fs->open(call(made.value().nodeid), {O_RDONLY, 0}), ELOOP);
}

TEST_F(NamesTest, links_files_and_symlinks_but_no_directories) {
  put("a", "");
  const auto id = node("a");
  const auto linked = fs->link(call(), {id}, NameOf("b"));
  ASSERT_TRUE(linked.ok());
  EXPECT_EQ(linked.value().nodeid, id);
  EXPECT_EQ(linked.value().attr.nlink, 2U);
  EXPECT_EQ(host("b").st_ino, host("a").st_ino);
  EXPECT_ERRNO(fs->link(call(), {id}, NameOf("b")), EEXIST);
  ASSERT_EQ(::symlink("nowhere", (dir / "link").c_str()), 0);
  ASSERT_TRUE(fs->link(call(), {node("link")}, NameOf("link2")).ok());
  EXPECT_TRUE(S_ISLNK(host("link2").st_mode));
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  EXPECT_ERRNO(fs->link(call(), {node("sub")}, NameOf("sub2")), EPERM);
}

TEST_F(NamesTest, renames_with_and_without_flags) {
  put("a", "A");
  put("b", "B");
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  const auto sub = node("sub");
  EXPECT_ERRNO(fs->rename(call(), {abi::kRootId, RENAME_NOREPLACE, 0}, NameOf("a"), NameOf("b")), EEXIST);
  EXPECT_TRUE(fs->rename(call(), {abi::kRootId, RENAME_EXCHANGE, 0}, NameOf("a"), NameOf("b")).ok());
  EXPECT_EQ(get("a"), "B");
  EXPECT_TRUE(fs->rename(call(), {sub, 0, 0}, NameOf("a"), NameOf("c")).ok());
  EXPECT_EQ(get("sub/c"), "B");
  EXPECT_ERRNO(fs->rename(call(), {sub, 0, 0}, NameOf("a"), NameOf("c")), ENOENT);
  EXPECT_ERRNO(fs->rename(call(), {sub, 8, 0}, NameOf("b"), NameOf("c")), EINVAL);
  EXPECT_ERRNO(fs->rename(call(), {sub, RENAME_NOREPLACE | RENAME_EXCHANGE, 0}, NameOf("b"), NameOf("c")), EINVAL);
}

TEST_F(NamesTest, statfs_and_access) {
  struct statfs seen{};
  ASSERT_EQ(::statfs(dir.path().c_str(), &seen), 0);
  const auto out = fs->statfs(call());
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.value().st.blocks, seen.f_blocks);
  EXPECT_EQ(out.value().st.bsize, static_cast<std::uint32_t>(seen.f_bsize));
  EXPECT_EQ(out.value().st.namelen, static_cast<std::uint32_t>(seen.f_namelen));
  put("plain", "", 0644);
  EXPECT_TRUE(fs->access(call(node("plain")), {R_OK, 0}).ok());
  EXPECT_ERRNO(fs->access(call(node("plain")), {X_OK, 0}), EACCES);
  EXPECT_ERRNO(fs->access(call(node("plain")), {0x1000, 0}), EINVAL);
}

TEST_F(NamesTest, init_takes_of_what_is_offered) {
  using namespace abi::init_flag;
  // They depend on the host, and have tests of their own.
  constexpr std::uint64_t others =
      kPosixAcl | kDontMask | kSetxattrExt | kSecurityCtx | kCreateSuppGroup | kHandleKillprivV2;
  const std::uint64_t base = kAsyncRead | kAtomicOTrunc | kBigWrites | kAutoInvalData | kAsyncDio | kParallelDirops |
                             kCacheSymlinks | kExportSupport | kHasIoctlDir | kSubmounts;
  EXPECT_EQ(negotiated.flags & ~others, base | kDoReaddirplus | kReaddirplusAuto);
  EXPECT_EQ(fs->init(8, kBigWrites | kWritebackCache).value(), kBigWrites);
  mount({.cache = CachePolicy::kNever, .writeback = true});
  EXPECT_EQ(negotiated.flags & ~others, base | kWritebackCache);
}

TEST_F(NamesTest, init_agrees_with_the_table_of_flags) {
  passthrough::PassthroughOptions everything;
  everything.writeback = everything.allow_mmap = everything.posix_locks = everything.flock = true;
  for (const bool all : {false, true}) {
    if (all) mount(everything);
    for (const fuse::InitFlagRow& row : fuse::init_flag_rows()) {
      const bool agreed = (negotiated.flags & row.flag) != 0;
      // MAX_PAGES and INIT_EXT are the server's own.
      const bool servers = row.flag == abi::init_flag::kMaxPages || row.flag == abi::init_flag::kInitExt;
      if (row.always() && !servers) {
        EXPECT_TRUE(agreed) << row.name;
      }
      if (row.never()) {
        EXPECT_FALSE(agreed) << row.name;
      }
    }
  }
}

TEST_F(NamesTest, descriptors_of_one_share_are_bounded_by_themselves) {
  for (const char* name : {"a", "b", "c"}) put(name, "");
  mount({.descriptors_max = 2});
  const auto neighbour = passthrough::PassthroughFs::create({.root = dir.path()});
  ASSERT_TRUE(neighbour.ok());
  node("a");
  const std::uint64_t b = node("b");
  EXPECT_ERRNO(fs->lookup(call(), NameOf("c")), ENFILE);
  ASSERT_TRUE(neighbour.value()->init(kSession, 0).ok());
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(neighbour.value()->lookup(call(), NameOf(name)).ok());
  fs->forget(call(), b, 1);
  node("c");
}

TEST_F(NamesTest, a_session_ends_with_all_that_it_had) {
  put("a", "");
  const auto id = node("a");
  open(id, O_RDONLY);
  ASSERT_TRUE(fs->opendir(call(), {0, 0}).ok());
  fs->destroy();
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
  EXPECT_EQ(passthrough::FdBudget::used(), 0U);
  EXPECT_ERRNO(fs->lookup(call(), NameOf("a")), EIO);
  ASSERT_TRUE(fs->init(kSession + 1, 0).ok());
  EXPECT_ERRNO(fs->getattr(call(id), {}), EBADF);
  // A late request of the first session.
  EXPECT_ERRNO(fs->lookup(call(), NameOf("a")), EIO);
  EXPECT_ERRNO(fs->opendir(call(), {0, 0}), EIO);
  fuse::Call late = call();
  late.session = kSession + 1;
  EXPECT_TRUE(fs->lookup(late, NameOf("a")).ok());
}

TEST_F(NamesTest, a_guest_that_takes_all_descriptors_gets_enfile) {
  mount({.descriptors_max = 3});
  for (const char* name : {"a", "b", "c", "d"}) put(name, "");
  const auto a = node("a");
  node("b");
  const auto handle = open(a, O_RDONLY);
  EXPECT_ERRNO(fs->lookup(call(), NameOf("c")), ENFILE);
  EXPECT_ERRNO(fs->open(call(a), {O_RDONLY, 0}), ENFILE);
  EXPECT_ERRNO(fs->opendir(call(), {0, 0}), ENFILE);
  // Nothing is made that could not be held.
  EXPECT_ERRNO(fs->mkdir(call(), {0700, 0}, NameOf("new"), {}), ENFILE);
  EXPECT_ERRNO(fs->create(call(), {O_RDWR, 0600, 0, 0}, NameOf("new"), {}), ENFILE);
  EXPECT_FALSE(exists("new"));
  // What is known is still served.
  EXPECT_EQ(node("a"), a);
  EXPECT_TRUE(fs->release(call(a), {handle, 0, 0, 0}).ok());
  EXPECT_TRUE(fs->lookup(call(), NameOf("c")).ok());
}

TEST_F(NamesTest, the_descriptors_to_keep_are_open) {
  for (const int fd : fs->keep_fds()) EXPECT_GE(::fcntl(fd, F_GETFD), 0);
  EXPECT_EQ(fs->keep_fds().size(), 2U);
}

TEST(PassthroughAttr, device_numbers_survive_the_wire) {
  for (const auto& [major_number, minor_number] : std::map<unsigned, unsigned>{{0, 0}, {8, 1}, {0xfff, 0xfffff}}) {
    const dev_t device = passthrough::from_wire_device(passthrough::to_wire_device(major_number, minor_number));
    EXPECT_EQ(major(device), major_number);
    EXPECT_EQ(minor(device), minor_number);
  }
}

}  // namespace
}  // namespace vfs::test
