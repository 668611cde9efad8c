// Sequences of operations on a real directory: nothing outside it is read or changed, the thread stays who it is, and
// when the session ends nothing is left over.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/sys.h"
#include "fuzz/requests.h"
#include "fuzz/target.h"
#include "passthrough/passthrough_fs.h"
#include "support/fault_loop.h"
#include "support/temp_dir.h"

namespace vfs::fuzz {

namespace {

namespace stdfs = std::filesystem;

constexpr int kRequestsMax = 48;
constexpr std::string_view kSecret = "nobody outside may read this";

// A file system in memory: thousands of trees a second, and nobody waits for a disk.
std::string parent() { return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : stdfs::temp_directory_path().string(); }

// No file becomes longer, so that FALLOCATE and WRITE fill neither memory nor disk: EFBIG, and no SIGXFSZ.
class FileSizeLimit {
 public:
  FileSizeLimit() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{std::min<rlim_t>(before_.rlim_max, 4U << 20), before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    action_ = ::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, action_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  sighandler_t action_ = SIG_DFL;
};

// The share, and beside it what no request may reach.
class Tree {
 public:
  Tree() {
    ::mkdir(share().c_str(), 0755);
    ::mkdir((dir_ / "outside").c_str(), 0755);
    std::ofstream(dir_ / "outside/secret") << kSecret;
    std::ofstream(share() + "/file") << "text";
    ::mkdir((share() + "/dir").c_str(), 0755);
    std::ofstream(share() + "/dir/file") << "more";
    EXPECT_EQ(::symlink("../outside/secret", (share() + "/link").c_str()), 0);
    EXPECT_EQ(::symlink("../outside", (share() + "/linked-dir").c_str()), 0);
    EXPECT_EQ(::mkfifo((share() + "/fifo").c_str(), 0600), 0);
  }
  ~Tree() { make_mutable(); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  std::string share() const { return dir_ / "share"; }

  void expect_outside_untouched() const {
    std::vector<std::string> names;
    for (const auto& entry : stdfs::directory_iterator(dir_ / "outside")) names.push_back(entry.path().filename());
    EXPECT_EQ(names, std::vector<std::string>{"secret"});
    std::ifstream file(dir_ / "outside/secret");
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    EXPECT_EQ(text, kSecret);
    struct stat seen{};
    EXPECT_EQ(::lstat((dir_ / "outside/secret").c_str(), &seen), 0);
    EXPECT_EQ(seen.st_mode & 07777U, 0666U & ~umask_);
    EXPECT_EQ(seen.st_uid, ::geteuid());
    EXPECT_EQ(seen.st_nlink, 1U);
  }

 private:
  // FS_IOC_SETFLAGS and modes are the guest's to use, but the tree is to be removed.
  void make_mutable() const {
    ::chmod(share().c_str(), 0700);
    std::error_code ignored;
    stdfs::recursive_directory_iterator entries(share(), ignored);
    make_mutable(share());
    for (; entries != stdfs::recursive_directory_iterator(); entries.increment(ignored)) {
      const auto type = entries->symlink_status(ignored).type();
      if (type == stdfs::file_type::directory) ::chmod(entries->path().c_str(), 0700);
      if (type == stdfs::file_type::regular || type == stdfs::file_type::directory) make_mutable(entries->path());
    }
  }
  static void make_mutable(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    const int none = 0;
    if (fd.get() >= 0) ::ioctl(fd.get(), FS_IOC_SETFLAGS, &none);
  }

  const mode_t umask_ = [] {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    return mask;
  }();
  test::TempDir dir_{parent()};
};

passthrough::PassthroughOptions options_from(Input& input, const std::string& root) {
  passthrough::PassthroughOptions options;
  options.root = root;
  const auto flags = input.value<std::uint16_t>();
  options.posix_locks = options.flock = (flags & 1) != 0;
  options.ascii_casefold = (flags & 2) != 0;
  options.writeback = (flags & 4) != 0;
  options.identity.override_stat = (flags & 8) != 0;
  options.read_only = (flags & 16) != 0;
  options.open_atomic = options.chromeos_tmpfile = (flags & 32) != 0;
  options.registered_xattrs_max = options.identity.registered_rules_max = (flags & 64) != 0 ? 4 : 0;
  options.allow_direct_io = options.preserve_noatime = (flags & 128) != 0;
  options.zero_message_open = (flags & 0x1e0) == 0x100;
  if ((flags & 0x200) != 0) options.xattr_map = passthrough::XattrMap(passthrough::security_rewriting_rules());
  options.cache = static_cast<passthrough::CachePolicy>((flags >> 10) & 3);
  if ((flags & 0x1101) == 0x1000) options.file_handles = passthrough::FileHandles::kPrefer;
  options.descriptors_max = (flags & 0x2000) != 0 ? 12 : 0;
  return options;
}

void expect_nothing_secret(const test::FuseReply& reply) {
  EXPECT_EQ(text_of(reply.payload).find(kSecret), std::string_view::npos);
}

void converse(Input& input, passthrough::PassthroughFs& fs) {
  fuse::Server server(fs, fuse::ServerOptions{});
  test::FuseClient client(server);
  const FileSizeLimit limit;  // the client's memory is a longer file
  test::FuseRequest init = test::init_request(abi::kKernelMinorVersion, ~input.value<std::uint32_t>());
  client.call(init.with(abi::InitInExt{~input.value<std::uint32_t>(), {}}));
  Knowledge knowledge;
  for (int i = 0; i < kRequestsMax && !input.empty(); ++i) {
    const Planned next = next_request(input, knowledge);
    const test::FuseReply reply = client.call(next.request, next.room);
    expect_nothing_secret(reply);
    knowledge.learn(next.request.header().opcode, reply);
  }
  EXPECT_EQ(client.call(test::FuseRequest(abi::Opcode::kDestroy, 0)).error(), 0);
}

}  // namespace

void fuzz_operations(ByteSpan bytes) {
  Input input(bytes);
  const Tree tree;
  const auto before = sys::thread_credentials();
  const int descriptors = test::open_descriptors();
  {
    const auto made = passthrough::PassthroughFs::create(options_from(input, tree.share()));
    ASSERT_TRUE(made.ok()) << made.error().value();
    converse(input, *made.value());
    EXPECT_EQ(made.value()->inode_count(), 0U);
    EXPECT_EQ(made.value()->handle_count(), 0U);
  }
  EXPECT_EQ(test::open_descriptors(), descriptors);
  const auto after = sys::thread_credentials();
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(after.value().uid.effective, before.value().uid.effective);
  EXPECT_EQ(after.value().gid.effective, before.value().gid.effective);
  EXPECT_EQ(after.value().effective, before.value().effective);
  tree.expect_outside_untouched();
}

}  // namespace vfs::fuzz
