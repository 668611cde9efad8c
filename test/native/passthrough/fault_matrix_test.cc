// Every operation of the table, as a request to the server, with each of its system calls failing in turn in each of
// the ways that a host has: one reply, an errno that was the cause, nothing left over, and the next request is served.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/sys.h"
#include "fuse/op_table.h"
#include "passthrough/passthrough_fs.h"
#include "support/fault_loop.h"
#include "support/fuse_client.h"
#include "support/temp_dir.h"

namespace vfs::test {
namespace {

using abi::Opcode;

constexpr std::uint32_t kUser = 1234;
constexpr std::uint32_t kXattrFlags = 0;
constexpr std::uint64_t kInitFlags = abi::init_flag::kInitExt | abi::init_flag::kExportSupport |
                                     abi::init_flag::kPosixLocks | abi::init_flag::kFlockLocks;

// A share with a little of everything, a session on it, and what the guest knows of it.
class World {
 public:
  World() {
    std::ofstream(dir_ / "file") << "some text";
    std::ofstream(dir_ / "twin") << "other text";
    std::ofstream(dir_ / "old").flush();
    ::mkdir((dir_ / "sub").c_str(), 0755);
    ::mkdir((dir_ / "full").c_str(), 0755);
    std::ofstream(dir_ / "full/entry").flush();
    EXPECT_EQ(::symlink("file", (dir_ / "link").c_str()), 0);
    has_xattrs_ = ::setxattr((dir_ / "file").c_str(), "user.known", "value", 5, 0) == 0;
    passthrough::PassthroughOptions options;
    options.root = dir_.path();
    options.posix_locks = options.flock = true;
    options.open_atomic = options.chromeos_tmpfile = true;
    auto made = passthrough::PassthroughFs::create(options);
    VFS_ASSERT(made.ok());
    fs_ = std::move(made).value();
    server_ = std::make_unique<fuse::Server>(*fs_, fuse::ServerOptions{});
    client_ = std::make_unique<FuseClient>(*server_);
    client_->begin_session(static_cast<std::uint32_t>(kInitFlags));
    file = node("file");
    twin = node("twin");
    sub = node("sub");
    link = node("link");
    handle = open(file);
    twin_handle = open(twin);
    directory = client_->call(FuseRequest(Opcode::kOpendir).with(abi::OpenIn{0, 0})).as<abi::OpenOut>().fh;
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  FuseReply call(const FuseRequest& request) { return client_->call(request); }
  std::uint64_t node(std::string_view name) {
    return client_->call(FuseRequest(Opcode::kLookup).name(name)).as<abi::EntryOut>().nodeid;
  }
  std::uint64_t open(std::uint64_t node_id) {
    const auto request = FuseRequest(Opcode::kOpen, node_id).with(abi::OpenIn{O_RDWR, 0});
    return client_->call(request).as<abi::OpenOut>().fh;
  }
  passthrough::PassthroughFs& fs() { return *fs_; }
  bool has_xattrs() const { return has_xattrs_; }
  std::string path(const std::string& name) const { return dir_ / name; }

  std::uint64_t file = 0, twin = 0, sub = 0, link = 0;
  std::uint64_t handle = 0, twin_handle = 0, directory = 0;

 private:
  TempDir dir_;
  bool has_xattrs_ = false;
  std::unique_ptr<passthrough::PassthroughFs> fs_;
  std::unique_ptr<fuse::Server> server_;
  std::unique_ptr<FuseClient> client_;
};

// What an operation may do with a failing call besides passing the error on.
enum class Leniency : std::uint8_t {
  kNone,
  kNeedsNoDescriptor,  // EMFILE: something that is known may be found without one
  kMayManage,          // a call that has a fallback, or whose failure is the guest's to notice later
};

struct Case {
  const char* name;
  Opcode opcode;
  std::function<FuseRequest(const World&)> request;
  Leniency leniency = Leniency::kNone;
  std::vector<int> others = {};  // errnos that a failure is turned into
};

// GoogleTest would print its bytes, some of which nobody has written.
void PrintTo(const Case& each, std::ostream* out) { *out << each.name; }

FuseRequest as_user(FuseRequest request) {
  const bool root = ::geteuid() == 0;
  return request.caller(root ? kUser : ::geteuid(), root ? kUser : ::getegid(), 1);
}

FuseRequest on(Opcode opcode, std::uint64_t node) { return as_user(FuseRequest(opcode, node)); }

const abi::LkIn kLock{0, 7, {0, 10, F_WRLCK, 1}, 0, 0};
abi::LkIn lock(std::uint64_t handle) {
  abi::LkIn in = kLock;
  in.fh = handle;
  return in;
}

std::vector<Case> naming_cases() {
  return {
      {"lookup", Opcode::kLookup, [](const World&) { return on(Opcode::kLookup, 1).name("old"); },
       Leniency::kNeedsNoDescriptor},
      {"lookup_dot", Opcode::kLookup, [](const World& w) { return on(Opcode::kLookup, w.sub).name("."); }},
      {"lookup_parent", Opcode::kLookup, [](const World& w) { return on(Opcode::kLookup, w.sub).name(".."); }},
      {"forget", Opcode::kForget,
       [](const World& w) { return FuseRequest(Opcode::kForget, w.sub).with(abi::ForgetIn{1}); }, Leniency::kMayManage},
      {"batch_forget", Opcode::kBatchForget,
       [](const World& w) {
         return FuseRequest(Opcode::kBatchForget, 0).with(abi::BatchForgetIn{1, 0}).with(abi::ForgetOne{w.sub, 1});
       },
       Leniency::kMayManage},
      {"readlink", Opcode::kReadlink, [](const World& w) { return on(Opcode::kReadlink, w.link); }},
      {"symlink", Opcode::kSymlink, [](const World&) { return on(Opcode::kSymlink, 1).name("new").name("target"); }},
      {"mknod", Opcode::kMknod,
       [](const World&) { return on(Opcode::kMknod, 1).with(abi::MknodIn{S_IFREG | 0644, 0, 0, 0}).name("new"); }},
      {"mkdir", Opcode::kMkdir,
       [](const World&) { return on(Opcode::kMkdir, 1).with(abi::MkdirIn{0755, 022}).name("new"); }},
      {"unlink", Opcode::kUnlink, [](const World&) { return on(Opcode::kUnlink, 1).name("old"); }},
      {"rmdir", Opcode::kRmdir, [](const World&) { return on(Opcode::kRmdir, 1).name("sub"); }},
      {"rename", Opcode::kRename,
       [](const World&) { return on(Opcode::kRename, 1).with(abi::RenameIn{1}).name("old").name("new"); }},
      {"rename2", Opcode::kRename2,
       [](const World& w) { return on(Opcode::kRename2, 1).with(abi::Rename2In{w.sub, 1, 0}).name("old").name("x"); }},
      {"link", Opcode::kLink, [](const World& w) { return on(Opcode::kLink, 1).with(abi::LinkIn{w.file}).name("new"); },
       Leniency::kNeedsNoDescriptor},
      {"create", Opcode::kCreate,
       [](const World&) {
         return on(Opcode::kCreate, 1).with(abi::CreateIn{O_RDWR | O_CREAT, 0644, 0, 0}).name("new");
       }},
      {"create_on_existing",
       Opcode::kCreate,
       [](const World&) {
         return FuseRequest(Opcode::kCreate).with(abi::CreateIn{O_RDWR | O_CREAT, 0644, 0, 0}).name("old");
       },
       Leniency::kMayManage,
       {ESTALE}},
      {"tmpfile", Opcode::kTmpfile,
       [](const World&) {
         return on(Opcode::kTmpfile, 1).with(abi::CreateIn{O_RDWR | O_TMPFILE, S_IFREG | 0644, 0, 0}).name("/");
       }},
      {"open_atomic",
       Opcode::kOpenAtomic,
       [](const World&) {
         return on(Opcode::kOpenAtomic, 1).with(abi::CreateIn{O_RDWR | O_CREAT, 0644, 0, 0}).name("new");
       },
       Leniency::kMayManage,
       {ESTALE}},
      {"chromeos_tmpfile", Opcode::kChromeosTmpfile,
       [](const World&) { return on(Opcode::kChromeosTmpfile, 1).with(abi::ChromeosTmpfileIn{0644, 0}); }},
  };
}

std::vector<Case> attribute_cases() {
  using namespace abi::fattr;
  abi::SetattrIn everything{};
  everything.valid = kMode | kUid | kGid | kSize | kAtime | kMtime;
  everything.size = 3;
  everything.mode = 0600;
  everything.uid = ::geteuid();
  everything.gid = ::getegid();
  return {
      {"getattr", Opcode::kGetattr, [](const World& w) { return on(Opcode::kGetattr, w.file).with(abi::GetattrIn{}); }},
      {"getattr_of_handle", Opcode::kGetattr,
       [](const World& w) { return on(Opcode::kGetattr, w.file).with(abi::GetattrIn{abi::kGetattrFh, 0, w.handle}); }},
      {"setattr", Opcode::kSetattr,
       [=](const World& w) { return FuseRequest(Opcode::kSetattr, w.file).with(everything); }},
      {"setattr_of_a_link", Opcode::kSetattr,
       [=](const World& w) {
         abi::SetattrIn owner{};
         owner.valid = kUid | kMtime;
         owner.uid = ::geteuid();
         return FuseRequest(Opcode::kSetattr, w.link).with(owner);
       }},
      {"statx", Opcode::kStatx,
       [](const World& w) { return on(Opcode::kStatx, w.file).with(abi::StatxIn{0, 0, 0, 0, STATX_BASIC_STATS}); }},
      {"statfs", Opcode::kStatfs, [](const World&) { return on(Opcode::kStatfs, 1); }},
      {"access", Opcode::kAccess,
       [](const World& w) { return on(Opcode::kAccess, w.file).with(abi::AccessIn{R_OK, 0}); }},
      {"setxattr", Opcode::kSetxattr,
       [](const World& w) {
         return FuseRequest(Opcode::kSetxattr, w.file)
             .with(abi::SetxattrInCompat{4, kXattrFlags})
             .name("user.new")
             .text("text");
       }},
      {"getxattr", Opcode::kGetxattr,
       [](const World& w) { return on(Opcode::kGetxattr, w.file).with(abi::GetxattrIn{64, 0}).name("user.known"); }},
      {"listxattr", Opcode::kListxattr,
       [](const World& w) { return on(Opcode::kListxattr, w.file).with(abi::GetxattrIn{64, 0}); }},
      {"removexattr", Opcode::kRemovexattr,
       [](const World& w) { return FuseRequest(Opcode::kRemovexattr, w.file).name("user.known"); }},
  };
}

// Too few descriptors or too little memory is too few locks.
std::vector<Case> lock_cases() {
  return {
      {"getlk",
       Opcode::kGetlk,
       [](const World& w) { return on(Opcode::kGetlk, w.file).with(lock(w.handle)); },
       Leniency::kNone,
       {ENOLCK}},
      {"setlk",
       Opcode::kSetlk,
       [](const World& w) { return on(Opcode::kSetlk, w.file).with(lock(w.handle)); },
       Leniency::kNone,
       {ENOLCK}},
      {"setlkw",
       Opcode::kSetlkw,
       [](const World& w) { return on(Opcode::kSetlkw, w.file).with(lock(w.handle)); },
       Leniency::kNone,
       {ENOLCK}},
  };
}

std::vector<Case> file_cases() {
  return {
      {"open", Opcode::kOpen, [](const World& w) { return on(Opcode::kOpen, w.file).with(abi::OpenIn{O_RDWR, 0}); }},
      {"open_and_truncate", Opcode::kOpen,
       [](const World& w) {
         return on(Opcode::kOpen, w.file).with(abi::OpenIn{O_RDWR | O_TRUNC, abi::kOpenKillSuidgid});
       }},
      {"read", Opcode::kRead,
       [](const World& w) { return on(Opcode::kRead, w.file).with(abi::ReadIn{w.handle, 0, 100, 0, 0, 0, 0}); },
       Leniency::kMayManage},
      {"write", Opcode::kWrite,
       [](const World& w) {
         return on(Opcode::kWrite, w.file).with(abi::WriteIn{w.handle, 0, 4, 0, 0, 0, 0}).text("text");
       },
       Leniency::kMayManage},
      {"release", Opcode::kRelease,
       [](const World& w) { return on(Opcode::kRelease, w.file).with(abi::ReleaseIn{w.handle, 0, 0, 0}); },
       Leniency::kMayManage},
      {"flush", Opcode::kFlush,
       [](const World& w) { return on(Opcode::kFlush, w.file).with(abi::FlushIn{w.handle, 0, 0, 7}); },
       Leniency::kMayManage},
      {"fsync", Opcode::kFsync,
       [](const World& w) { return on(Opcode::kFsync, w.file).with(abi::FsyncIn{w.handle, 0, 0}); }},
      {"syncfs", Opcode::kSyncfs, [](const World&) { return on(Opcode::kSyncfs, 1).with(abi::SyncfsIn{}); }},
      {"fallocate", Opcode::kFallocate,
       [](const World& w) { return on(Opcode::kFallocate, w.file).with(abi::FallocateIn{w.handle, 0, 100, 0, 0}); }},
      {"lseek", Opcode::kLseek,
       [](const World& w) { return on(Opcode::kLseek, w.file).with(abi::LseekIn{w.handle, 0, SEEK_HOLE, 0}); }},
      {"copy_file_range", Opcode::kCopyFileRange,
       [](const World& w) {
         return on(Opcode::kCopyFileRange, w.file)
             .with(abi::CopyFileRangeIn{w.handle, 0, w.twin, w.twin_handle, 0, 4, 0});
       }},
      {"copy_file_range_64", Opcode::kCopyFileRange64,
       [](const World& w) {
         return on(Opcode::kCopyFileRange64, w.file)
             .with(abi::CopyFileRangeIn{w.handle, 0, w.twin, w.twin_handle, 0, 4, 0});
       }},
      {"ioctl", Opcode::kIoctl,
       [](const World& w) { return on(Opcode::kIoctl, w.file).with(abi::IoctlIn{w.handle, 0, 0x80086601, 0, 0, 4}); }},
      {"opendir", Opcode::kOpendir, [](const World&) { return on(Opcode::kOpendir, 1).with(abi::OpenIn{}); }},
      // A listing that fails in the middle is cut.
      {"readdir", Opcode::kReaddir,
       [](const World& w) { return on(Opcode::kReaddir, 1).with(abi::ReadIn{w.directory, 0, 4000, 0, 0, 0, 0}); },
       Leniency::kMayManage},
      {"readdirplus", Opcode::kReaddirplus,
       [](const World& w) { return on(Opcode::kReaddirplus, 1).with(abi::ReadIn{w.directory, 0, 4000, 0, 0, 0, 0}); },
       Leniency::kMayManage},
      {"releasedir", Opcode::kReleasedir,
       [](const World& w) { return on(Opcode::kReleasedir, 1).with(abi::ReleaseIn{w.directory, 0, 0, 0}); },
       Leniency::kMayManage},
      {"fsyncdir", Opcode::kFsyncdir,
       [](const World& w) { return on(Opcode::kFsyncdir, 1).with(abi::FsyncIn{w.directory, 0, 0}); }},
      {"init", Opcode::kInit, [](const World&) { return init_request(); }, Leniency::kMayManage},
      {"destroy", Opcode::kDestroy, [](const World&) { return on(Opcode::kDestroy, 0); }, Leniency::kMayManage},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> cases = naming_cases();
  for (auto& each : attribute_cases()) cases.push_back(each);
  for (auto& each : file_cases()) cases.push_back(each);
  for (auto& each : lock_cases()) cases.push_back(each);
  return cases;
}

class FaultMatrix : public ::testing::TestWithParam<Case> {
 protected:
  // What a reply has given the guest goes back, and then nothing may be left.
  static void give_back(World& world, const FuseReply& reply) {
    const Opcode opcode = GetParam().opcode;
    if (reply.error() != 0) return;
    if (opcode == Opcode::kOpen) release(world, world.file, reply.as<abi::OpenOut>().fh);
    if (opcode == Opcode::kOpendir) {
      const auto fh = reply.as<abi::OpenOut>().fh;
      world.call(FuseRequest(Opcode::kReleasedir).with(abi::ReleaseIn{fh, 0, 0, 0}));
    }
    if (reply.payload.size() == sizeof(abi::CreateOut)) {
      const auto out = reply.as<abi::CreateOut>();
      release(world, out.entry.nodeid, out.open.fh);
    }
    const bool entry = reply.payload.size() == sizeof(abi::EntryOut) || reply.payload.size() == sizeof(abi::CreateOut);
    if (entry) forget(world, value_from<abi::EntryOut>(reply.payload).nodeid);
    if (opcode == Opcode::kReaddirplus) forget_listed(world, reply);
  }
  static void release(World& world, std::uint64_t node, std::uint64_t fh) {
    world.call(FuseRequest(Opcode::kRelease, node).with(abi::ReleaseIn{fh, 0, 0, 0}));
  }
  static void forget(World& world, std::uint64_t node) {
    if (node != 0) world.call(FuseRequest(Opcode::kForget, node).with(abi::ForgetIn{1}));
  }
  static void forget_listed(World& world, const FuseReply& reply) {
    for (std::size_t at = 0; at < reply.payload.size();) {
      const auto entry = value_from<abi::Direntplus>(ByteSpan(reply.payload).subspan(at));
      forget(world, entry.entry_out.nodeid);
      at += (sizeof(entry) + entry.dirent.namelen + 7) / 8 * 8;
    }
  }

  static void expect_allowed(int error, int injected) {
    if (error == 0) {
      const Leniency leniency = GetParam().leniency;
      const bool managed = injected == EMFILE && leniency == Leniency::kNeedsNoDescriptor;
      EXPECT_TRUE(injected == EINTR || managed || leniency == Leniency::kMayManage) << "a failure was lost";
      return;
    }
    const auto& others = GetParam().others;
    EXPECT_TRUE(error == injected || std::ranges::find(others, error) != others.end()) << "errno " << error;
  }

  static void expect_usable(World& world) {
    if (GetParam().opcode == Opcode::kDestroy || GetParam().opcode == Opcode::kInit) {
      ASSERT_EQ(world.call(init_request()).error(), 0);
    }
    const auto made =
        world.call(FuseRequest(Opcode::kCreate).with(abi::CreateIn{O_RDWR | O_CREAT, 0644, 0, 0}).name("after"));
    ASSERT_EQ(made.error(), 0);
    const auto out = made.as<abi::CreateOut>();
    const auto written = world.call(
        FuseRequest(Opcode::kWrite, out.entry.nodeid).with(abi::WriteIn{out.open.fh, 0, 5, 0, 0, 0, 0}).text("after"));
    EXPECT_EQ(written.error(), 0);
    release(world, out.entry.nodeid, out.open.fh);
    forget(world, out.entry.nodeid);
    std::ifstream file(world.path("after"));
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "after");
  }

  // One run with the n-th call failing. False: there is no n-th call.
  static bool run(unsigned nth, int error) {
    const auto before = sys::thread_credentials();
    const int descriptors = open_descriptors();
    bool triggered = false;
    {
      World world;
      const FuseRequest request = GetParam().request(world);
      const std::size_t inodes = world.fs().inode_count();
      const std::size_t handles = world.fs().handle_count();
      sys::fault_injection::fail_call(nth, error);
      const FuseReply reply = world.call(request);
      triggered = sys::fault_injection::triggered();
      sys::fault_injection::fail_call(0, 0);
      EXPECT_TRUE(reply.answered);
      if (triggered) {
        expect_allowed(reply.error(), error);
      } else {
        const bool unsupported = reply.error() == EOPNOTSUPP || reply.error() == ENOTTY;
        EXPECT_TRUE(reply.error() == 0 || unsupported) << "undisturbed: " << reply.error();
      }
      give_back(world, reply);
      EXPECT_LE(world.fs().inode_count(), inodes);
      EXPECT_LE(world.fs().handle_count(), handles);
      expect_usable(world);
      EXPECT_EQ(world.call(FuseRequest(Opcode::kDestroy, 0)).error(), 0);
      EXPECT_EQ(world.fs().inode_count() + world.fs().handle_count(), 0U);
    }
    EXPECT_EQ(open_descriptors(), descriptors);
    const auto after = sys::thread_credentials();
    EXPECT_EQ(after.value().uid.effective, before.value().uid.effective);
    EXPECT_EQ(after.value().gid.effective, before.value().gid.effective);
    EXPECT_EQ(after.value().effective, before.value().effective);
    return triggered;
  }
};

TEST_P(FaultMatrix, every_call_fails_in_turn_in_every_way) {
  const bool about_xattrs = GetParam().opcode == Opcode::kSetxattr || GetParam().opcode == Opcode::kGetxattr ||
                            GetParam().opcode == Opcode::kListxattr || GetParam().opcode == Opcode::kRemovexattr;
  if (about_xattrs && !World().has_xattrs()) GTEST_SKIP() << "no extended attributes here";
  {
    const World first;  // opens what a thread keeps
  }
  constexpr unsigned kCallsMax = 100;
  for (const int error : {EINTR, EIO, ENOSPC, EMFILE, ENOMEM}) {
    for (unsigned nth = 1; nth <= kCallsMax; ++nth) {
      SCOPED_TRACE("call " + std::to_string(nth) + " fails with " + std::to_string(error));
      if (!run(nth, error)) break;
      ASSERT_LT(nth, kCallsMax);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, FaultMatrix, ::testing::ValuesIn(all_cases()),
                         [](const auto& each) { return each.param.name; });

TEST(FaultMatrixTable, has_every_operation_that_makes_a_system_call) {
  std::set<std::uint32_t> tested;
  for (const Case& each : all_cases()) tested.insert(static_cast<std::uint32_t>(each.opcode));
  for (const auto& row : fuse::op_rows()) {
    if (row.opcode == Opcode::kInterrupt) continue;  // makes none
    EXPECT_TRUE(tested.contains(static_cast<std::uint32_t>(row.opcode))) << row.name;
  }
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(ShortTransfers, a_read_goes_on_until_it_has_everything) {
  for (unsigned nth = 1; nth <= 3; ++nth) {
    World world;
    sys::fault_injection::shorten_transfer(nth);
    const auto reply =
        world.call(FuseRequest(Opcode::kRead, world.file).with(abi::ReadIn{world.handle, 0, 100, 0, 0, 0, 0}));
    sys::fault_injection::shorten_transfer(0);
    EXPECT_EQ(reply.text(), "some text") << nth;
  }
}

TEST(ShortTransfers, a_write_says_how_much_is_in_the_file) {
  World world;
  sys::fault_injection::shorten_transfer(1);
  const auto reply = world.call(
      FuseRequest(Opcode::kWrite, world.file).with(abi::WriteIn{world.handle, 0, 8, 0, 0, 0, 0}).text("abcdefgh"));
  sys::fault_injection::shorten_transfer(0);
  ASSERT_EQ(reply.error(), 0);
  const std::size_t written = reply.as<abi::WriteOut>().size;
  EXPECT_GE(written, 1U);
  EXPECT_EQ(content(world.path("file")),
            std::string("abcdefgh").substr(0, written) + std::string("some text").substr(written));
}

FuseRequest write_from_page_cache(const World& world) {
  return FuseRequest(Opcode::kWrite, world.file)
      .with(abi::WriteIn{world.handle, 0, 8, abi::kWriteCache, 0, 0, 0})
      .text("abcdefgh");
}

TEST(ShortTransfers, a_write_from_the_page_cache_goes_on_until_everything_is_written) {
  World world;
  sys::fault_injection::shorten_transfer(1);
  const auto reply = world.call(write_from_page_cache(world));
  sys::fault_injection::shorten_transfer(0);
  ASSERT_EQ(reply.error(), 0);
  EXPECT_EQ(reply.as<abi::WriteOut>().size, 8U);
  EXPECT_EQ(content(world.path("file")), "abcdefght");
}

// Linux takes any success for a whole one there.
TEST(ShortTransfers, a_write_from_the_page_cache_that_is_not_written_as_a_whole_is_an_error) {
  World world;
  // A file may not become longer: what is before that is written, and then comes the error.
  const rlimit few{4, RLIM_INFINITY};
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &few), 0);
  const auto reply = world.call(write_from_page_cache(world));
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, ignored);
  EXPECT_EQ(reply.error(), EFBIG);
  EXPECT_EQ(content(world.path("file")), "abcd text");
}

}  // namespace
}  // namespace vfs::test
