// The kernel's overlayfs as the oracle: it does the same on a second copy, and it reads what we have written.
#include <linux/fs.h>
#include <sys/mount.h>

#include <random>

#include "base/sys.h"
#include "overlay/overlay_fixture.h"

namespace vfs::test {
namespace {

class KernelOverlay {
 public:
  KernelOverlay(const std::string& lower, const std::string& upper, const std::string& work, std::string at)
      : at_(std::move(at)) {
    const std::string options =
        "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work + ",redirect_dir=off,index=off,metacopy=off";
    mounted_ = ::mount("overlay", at_.c_str(), "overlay", 0, options.c_str()) == 0;
  }
  ~KernelOverlay() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  KernelOverlay(const KernelOverlay&) = delete;
  KernelOverlay& operator=(const KernelOverlay&) = delete;
  bool mounted() const { return mounted_; }

 private:
  const std::string at_;
  bool mounted_ = false;
};

int error_of(int result) { return result < 0 ? errno : 0; }
int error_of(const Status& status) { return status.ok() ? 0 : status.error().value(); }

class OverlayOracleTest : public OverlayTest {
 protected:
  void SetUp() override {
    OverlayTest::SetUp();
    for (const char* name : {"lower2", "upper2", "work2", "work3", "kernel", "view"}) {
      ASSERT_EQ(::mkdir((dir / name).c_str(), 0755), 0);
    }
    for (const char* root : {"lower", "lower2"}) {
      const std::string at = dir / root;
      for (const char* each : {"a", "b", "c/a", "c/b", "c/c/a"}) {
        std::filesystem::create_directories(at + "/" + each);
        put_file(at + "/" + each + "/f", std::string("text of ") + each);
      }
      put_file(at + "/f", "f");
      ASSERT_EQ(::symlink("nowhere/at", (at + "/s").c_str()), 0);
    }
    mount();
  }

  // One operation, here and there: the two errnos.
  std::pair<int, int> step(std::mt19937& random) {
    const auto pick = [&](std::initializer_list<const char*> of) {
      return std::string(*(of.begin() + random() % of.size()));
    };
    const auto path = [&] {
      std::string made = pick({"a", "b", "c", "f", "s", "n"});
      for (auto depth = random() % 3; depth > 0; --depth) made += "/" + pick({"a", "b", "c", "f", "n"});
      return made;
    };
    const std::string one = path();
    const std::string two = path();
    // The kernel above the file system refuses to move something into itself; a guest's does, too.
    if (two.starts_with(one + "/") || one.starts_with(two + "/")) return {0, 0};
    const std::string there = dir / ("kernel/" + one);
    const std::string target = dir / ("kernel/" + two);
    switch (random() % 9) {
      case 0: {
        const int fd = ::open(there.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
        const int error = error_of(fd);
        if (fd >= 0) ::close(fd);
        return {error_of(write(one, "", O_WRONLY | O_EXCL)), error};
      }
      case 1:
        return {error_of(mkdir(one)), error_of(::mkdir(there.c_str(), 0755))};
      case 2:
        return {error_of(unlink(one)), error_of(::unlink(there.c_str()))};
      case 3:
        return {error_of(rmdir(one)), error_of(::rmdir(there.c_str()))};
      case 4:
        return {error_of(symlink("nowhere/" + two, one)),
                error_of(::symlink(("nowhere/" + two).c_str(), there.c_str()))};
      case 5: {
        const unsigned flags = std::initializer_list<unsigned>{RENAME_NOREPLACE, RENAME_EXCHANGE}.begin()[random() % 2];
        return {error_of(rename(one, two, flags)),
                error_of(::renameat2(AT_FDCWD, there.c_str(), AT_FDCWD, target.c_str(), flags))};
      }
      case 6:
        return {error_of(link(one, two)), error_of(::link(there.c_str(), target.c_str()))};
      case 7: {
        // Appending to what is there, not through symlinks.
        const int fd = ::open(there.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW);
        const int error = error_of(fd);
        if (fd >= 0) {
          EXPECT_EQ(::write(fd, "+", 1), 1);
          ::close(fd);
        }
        return {error_of(append(one)), error};
      }
      default:
        return {error_of(rename(one, two)), error_of(::rename(there.c_str(), target.c_str()))};
    }
  }

  Status append(const std::string& path) {
    VFS_TRY(const auto entry, find(path));
    if (S_ISDIR(entry.attr.mode)) return Errno(EISDIR);
    if (S_ISLNK(entry.attr.mode)) return Errno(ELOOP);
    VFS_TRY(const auto opened, fs->open(call(entry.nodeid), {O_WRONLY | O_APPEND, 0}));
    VFS_TRY(const auto now, fs->getattr(call(entry.nodeid), {}));
    VFS_CHECK(write_to(entry.nodeid, opened.fh, "+", now.attr.size));
    return close(entry.nodeid, opened.fh);
  }

  std::vector<std::string> kernel_view() {
    const KernelOverlay view(dir / "lower", dir / "upper", dir / "work3", dir / "view");
    return view.mounted() ? tree_of(dir / "view") : std::vector<std::string>{"not mounted"};
  }

  std::vector<std::string> our_view(const std::string& path = "") {
    std::vector<std::string> all;
    for (const std::string& name : names(path)) {
      const std::string at = path.empty() ? name : path + "/" + name;
      all.push_back(at);
      const auto entry = find(at);
      if (!entry.ok()) return {"listed, but not found: " + at};
      if (!S_ISDIR(entry.value().attr.mode)) continue;
      const auto inside = our_view(at);
      all.insert(all.end(), inside.begin(), inside.end());
    }
    return all;
  }
};

TEST_F(OverlayOracleTest, RandomOperationsEndAsTheyDoInTheKernel) {
  const KernelOverlay kernel(dir / "lower2", dir / "upper2", dir / "work2", dir / "kernel");
  if (!kernel.mounted()) GTEST_SKIP() << "no overlayfs can be mounted here: " << std::strerror(errno);
  const auto lower_before = tree_of(dir / "lower");
  std::mt19937 random(20240229);
  for (int round = 0; round < 3000; ++round) {
    const auto [ours, theirs] = step(random);
    ASSERT_EQ(ours, theirs) << "round " << round;
    if (round % 100 != 99) continue;
    const auto expected = tree_of(dir / "kernel");
    ASSERT_EQ(kernel_view(), expected) << "round " << round;
    std::vector<std::string> paths;
    for (const std::string& line : expected) paths.push_back(line.substr(0, line.find(' ')));
    auto seen = our_view();
    std::ranges::sort(seen);
    std::ranges::sort(paths);
    ASSERT_EQ(seen, paths) << "round " << round;
  }
  EXPECT_EQ(tree_of(dir / "lower"), lower_before);
  EXPECT_TRUE(std::filesystem::is_empty(dir / "work"));
}

}  // namespace
}  // namespace vfs::test
