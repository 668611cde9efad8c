// Every operation with the 1st, 2nd, 3rd … system call failing: the error is passed on, and nothing is left behind: no
// descriptor, no lookup count, no handle, and not another's identity.
#include "support/fault_loop.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <atomic>

#include "passthrough/credentials.h"
#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

constexpr uid_t kUser = 1234;
constexpr int kError = EDQUOT;  // what no call here returns by itself

class FaultTest : public PassthroughTest {
 protected:
  void SetUp() override {
    PassthroughTest::SetUp();
    put("file", "text");
    file = node("file");
    handle = open(file, O_RDWR);
    directory = fs->opendir(call(), {0, 0}).value().fh;
    before = sys::thread_credentials().value();
  }

  // As root another user, so that switching is part of it.
  fuse::Call caller() const { return ::geteuid() == 0 ? call(abi::kRootId, kUser, kUser) : call(); }

  // `operation` returns a Result or a Status; `undo` gets one that succeeded.
  template <typename Operation, typename Undo>
  void run(Operation operation, Undo undo) {
    const std::size_t inodes = fs->inode_count();
    const std::size_t handles = fs->handle_count();
    fault_loop(
        kError, [&] { clean(); },
        [&] {
          const auto result = operation();
          const bool faulty = sys::fault_injection::triggered();
          EXPECT_EQ(result.ok(), !faulty);
          if (!result.ok()) {
            EXPECT_EQ(result.error(), Errno(kError));
          } else {
            undo(result);
          }
          EXPECT_EQ(fs->inode_count(), inodes);
          EXPECT_EQ(fs->handle_count(), handles);
          const auto now = sys::thread_credentials();
          if (!now.ok()) return;  // the fault came only now
          EXPECT_EQ(now.value().uid.effective, before.uid.effective);
          EXPECT_EQ(now.value().gid.effective, before.gid.effective);
          EXPECT_EQ(now.value().effective, before.effective);
        });
  }
  template <typename Operation>
  void run(Operation operation) {
    run(operation, [](const auto&) {});
  }

  void clean() const {
    ::unlink((dir / "new").c_str());
    ::rmdir((dir / "new").c_str());
    ::unlink((dir / "old").c_str());
    std::ofstream(dir / "old").flush();
    ::mkdir((dir / "sub").c_str(), 0755);
  }
  auto forgetting() {
    return [this](const auto& result) { fs->forget(call(), result.value().nodeid, 1); };
  }

  std::uint64_t file = 0;
  std::uint64_t handle = 0;
  std::uint64_t directory = 0;
  sys::ThreadCredentials before{};
};

TEST_F(FaultTest, create_the_file_system) {
  fault_loop(
      kError, [] {},
      [&] {
        const auto made = passthrough::PassthroughFs::create({.root = dir.path()});
        EXPECT_EQ(made.ok(), !sys::fault_injection::triggered());
      });
}

TEST_F(FaultTest, lookup) {
  run([&] { return fs->lookup(call(), NameOf("old")); }, forgetting());
}

TEST_F(FaultTest, attributes) {
  run([&] { return fs->getattr(call(file), {}); });
  run([&] { return fs->statfs(call(file)); });
  run([&] { return fs->access(::geteuid() == 0 ? call(file, kUser, kUser) : call(file), {R_OK, 0}); });
  abi::SetattrIn in{};
  in.valid = abi::fattr::kMode | abi::fattr::kUid | abi::fattr::kGid | abi::fattr::kSize | abi::fattr::kMtime;
  in.mode = 0600;
  in.uid = ::geteuid();
  in.gid = ::getegid();
  run([&] { return fs->setattr(call(file), in); });
}

TEST_F(FaultTest, making) {
  run([&] { return fs->mkdir(caller(), {0777, 0}, NameOf("new"), {}); }, forgetting());
  run([&] { return fs->mknod(caller(), {S_IFREG | 0666, 0, 0, 0}, NameOf("new"), {}); }, forgetting());
  run([&] { return fs->symlink(caller(), NameOf("new"), TargetOf("text"), {}); }, forgetting());
  run([&] { return fs->link(call(), {file}, NameOf("new")); }, forgetting());
}

TEST_F(FaultTest, making_with_umask_and_groups) {
  const std::array<std::uint32_t, 4> words{16, abi::kExtGroups, 1, 77};
  const auto creation = fuse::Creation::parse(std::as_bytes(std::span(words))).value();
  run([&] { return fs->mkdir(caller(), {0777, 0027}, NameOf("new"), creation); }, forgetting());
  run([&] { return fs->mkdir(call(), {0777, 0027}, NameOf("new"), creation); }, forgetting());
  run([&] { return fs->mknod(caller(), {S_IFREG | 0666, 0, 0027, 0}, NameOf("new"), creation); }, forgetting());
}

TEST_F(FaultTest, killing_privileges) {
  const GuestBuffer buffer("some more text");
  run([&] {
    GuestReader reader = buffer.reader();
    return fs->write(call(file), {handle, 0, 14, abi::kWriteKillSuidgid, 0, 0, 0}, reader);
  });
  run([&] { return fs->open(call(file), {O_RDWR | O_TRUNC, abi::kOpenKillSuidgid}); },
      [&](const auto& opened) { EXPECT_TRUE(fs->release(call(file), {opened.value().fh, 0, 0, 0}).ok()); });
  abi::SetattrIn in{};
  in.valid = abi::fattr::kSize | abi::fattr::kKillSuidgid;
  run([&] { return fs->setattr(call(file), in); });
}

TEST_F(FaultTest, attributes_of_the_extended_kind) {
  const std::string text = "user.test";
  std::vector<std::byte> body(text.size() + 1);
  copy_bytes(body, std::as_bytes(std::span(text)));
  const auto name = fuse::Decoder(body).take_xattr_name().value();
  std::array<std::byte, 64> into;
  run([&] { return fs->setxattr(call(file), {4, 0, 0, 0}, name, std::as_bytes(std::span("text", 4))); });
  run([&] {
    const abi::SetxattrIn in{4, 0, abi::kSetxattrAclKillSgid, 0};
    return fs->setxattr(call(file, kUser, kUser), in, name, std::as_bytes(std::span("text", 4)));
  });
  run([&] { return fs->getxattr(call(file), name, into); });
  run([&] { return fs->listxattr(call(file), into); });
  run([&] {
    EXPECT_EQ(::setxattr((dir / "file").c_str(), text.c_str(), "text", 4, 0), 0);
    return fs->removexattr(call(file), name);
  });
}

TEST_F(FaultTest, create) {
  run([&] { return fs->create(caller(), {O_RDWR | O_CREAT, 0666, 0, 0}, NameOf("new"), {}); },
      [&](const auto& made) {
        const auto id = made.value().entry.nodeid;
        EXPECT_TRUE(fs->release(call(id), {made.value().open.fh, 0, 0, 0}).ok());
        fs->forget(call(), id, 1);
      });
}

TEST_F(FaultTest, create_on_what_exists_leaves_nothing) {
  // Here some failures have a fallback: refused access is ESTALE, and attributes may be those of before.
  const std::size_t inodes = fs->inode_count();
  const std::size_t handles = fs->handle_count();
  fault_loop(
      kError, [&] { clean(); },
      [&] {
        const auto opened = fs->create(call(), {O_RDWR | O_CREAT, 0666, 0, 0}, NameOf("old"), {});
        if (opened.ok()) {
          const auto id = opened.value().entry.nodeid;
          EXPECT_TRUE(fs->release(call(id), {opened.value().open.fh, 0, 0, 0}).ok());
          fs->forget(call(), id, 1);
        }
        EXPECT_EQ(fs->inode_count(), inodes);
        EXPECT_EQ(fs->handle_count(), handles);
      });
}

TEST_F(FaultTest, names) {
  run([&] { return fs->unlink(call(), NameOf("old")); });
  run([&] { return fs->rmdir(call(), NameOf("sub")); });
  run([&] { return fs->rename(call(), {abi::kRootId, 0, 0}, NameOf("old"), NameOf("new")); });
  ASSERT_EQ(::symlink("x", (dir / "link").c_str()), 0);
  const auto link = node("link");
  std::array<std::byte, 64> target;
  run([&] { return fs->readlink(call(link), target); });
}

TEST_F(FaultTest, files) {
  const auto releasing = [&](const auto& opened) {
    EXPECT_TRUE(fs->release(call(file), {opened.value().fh, 0, 0, 0}).ok());
  };
  run([&] { return fs->open(call(file), {O_RDWR, 0}); }, releasing);
  const GuestBuffer buffer("some more text");
  run([&] {
    GuestReader reader = buffer.reader();
    return fs->write(call(file), {handle, 0, 14, 0, 0, 0, 0}, reader);
  });
  run([&] { return fs->flush(call(file), {handle, 0, 0, 0}); });
  run([&] { return fs->fsync(call(file), {handle, 0, 0}); });
  run([&] { return fs->fallocate(call(file), {handle, 0, 10, 0, 0}); });
  run([&] { return fs->lseek(call(file), {handle, 0, SEEK_HOLE, 0}); });
}

TEST_F(FaultTest, newer_operations_on_files) {
  put("twin", "");
  const auto twin = node("twin");
  const auto target = open(twin, O_WRONLY);
  run([&] { return fs->copy_file_range(call(file), {handle, 0, twin, target, 0, 2, 0}); });
  // Longer than one call copies, within one file: its size is asked for as well. It begins behind the end, so that no
  // run changes what the next one meets.
  const std::uint64_t far = std::uint64_t{1} << 40;
  run([&] { return fs->copy_file_range(call(file), {handle, far, file, handle, 0, far, 0}); });
  run([&] { return fs->statx(call(file), {0, 0, 0, 0, STATX_BASIC_STATS}); });
  run([&] { return fs->syncfs(call(), {}); });
}

TEST_F(FaultTest, ioctl) {
  std::array<std::byte, 28> out{};
  const std::uint32_t get_flags = 0x80086601;
  if (!fs->ioctl(call(file), {handle, 0, get_flags, 0, 0, 4}, {}, out).ok()) GTEST_SKIP() << "no flags here";
  run([&] { return fs->ioctl(call(file), {handle, 0, get_flags, 0, 0, 4}, {}, out); });
  const std::array<std::byte, 4> same{out[0], out[1], out[2], out[3]};
  run([&] { return fs->ioctl(call(file), {handle, 0, 0x40086602, 0, 4, 0}, same, {}); });
  run([&] { return fs->ioctl(call(), {directory, abi::kIoctlDir, get_flags, 0, 0, 4}, {}, out); });
}

TEST_F(FaultTest, dots) {
  clean();
  const auto sub = node("sub");
  const auto forgets = [&](const auto& result) { fs->forget(call(), result.value().nodeid, 1); };
  run([&] { return fs->lookup_self(call(sub)); }, forgets);
  run([&] { return fs->lookup_parent(call(sub)); }, forgets);
}

TEST_F(FaultTest, tmpfile) {
  run([&] { return fs->tmpfile(caller(), {O_RDWR | O_TMPFILE, S_IFREG | 0666, 0, 0}, {}, {}); },
      [&](const auto& made) {
        const auto id = made.value().entry.nodeid;
        EXPECT_TRUE(fs->release(call(id), {made.value().open.fh, 0, 0, 0}).ok());
        fs->forget(call(), id, 1);
      });
}

TEST_F(FaultTest, read_gives_what_it_got_or_the_error) {
  const GuestBuffer buffer(100);
  fault_loop(
      kError, [] {},
      [&] {
        GuestWriter writer = buffer.writer();
        const auto bytes = fs->read(call(file), {handle, 0, 100, 0, 0, 0, 0}, writer);
        if (!bytes.ok()) {
          EXPECT_EQ(bytes.error(), Errno(kError));
        } else {
          EXPECT_EQ(bytes.value(), 4U);
        }
      });
}

TEST_F(FaultTest, directories) {
  const auto releasing = [&](const auto& opened) {
    EXPECT_TRUE(fs->releasedir(call(), {opened.value().fh, 0, 0, 0}).ok());
  };
  run([&] { return fs->opendir(call(), {0, 0}); }, releasing);
  run([&] { return fs->fsyncdir(call(), {directory, 0, 0}); });
  // A listing that fails in the middle is cut, one that fails at the start is an error.
  const std::size_t inodes = fs->inode_count();
  fault_loop(
      kError, [] {},
      [&] {
        const auto opened = fs->opendir(call(), {0, 0});
        if (!opened.ok()) return;
        PlusListSink sink(100);
        const auto listed = fs->readdirplus(call(), {opened.value().fh, 0, 4096, 0, 0, 0, 0}, sink);
        if (!listed.ok()) {
          EXPECT_TRUE(sink.entries.empty());
        }
        for (const auto& entry : sink.entries) {
          if (entry.node != 0) fs->forget(call(), entry.node, 1);
        }
        EXPECT_TRUE(fs->releasedir(call(), {opened.value().fh, 0, 0, 0}).ok());
        EXPECT_EQ(fs->inode_count(), inodes);
      });
}

}  // namespace
}  // namespace vfs::test
