// What the targets that work on a real directory have: the share, what lies beside it, and a limit on what it may grow
// to.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "support/fuse_client.h"
#include "support/temp_dir.h"

namespace vfs::fuzz {

namespace stdfs = std::filesystem;

inline constexpr std::string_view kSecret = "nobody outside may read this";

// A file system in memory: thousands of trees a second, and nobody waits for a disk.
inline std::string parent() {
  return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : stdfs::temp_directory_path().string();
}

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
  // A place that is neither in the share nor looked at.
  std::string beside(const std::string& name) const { return dir_ / name; }

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

inline void expect_nothing_secret(const test::FuseReply& reply) {
  EXPECT_EQ(text_of(reply.payload).find(kSecret), std::string_view::npos);
}

}  // namespace vfs::fuzz
