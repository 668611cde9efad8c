// An OverlayFs on temporary directories, driven by paths.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "overlay/overlay_fs.h"
#include "passthrough/fs_fixture.h"
#include "support/temp_dir.h"

namespace vfs::test {

inline void put_file(const std::string& path, const std::string& text, mode_t mode = 0644) {
  std::ofstream(path) << text;
  ASSERT_EQ(::chmod(path.c_str(), mode), 0) << path;
}
inline std::string file_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
inline bool is_whiteout_at(const std::string& path) {
  struct stat seen{};
  return ::lstat(path.c_str(), &seen) == 0 && S_ISCHR(seen.st_mode) && seen.st_rdev == 0;
}
// Everything below a directory, one line each: path, type and mode, owner, and content.
inline std::vector<std::string> tree_of(const std::string& root) {
  std::vector<std::string> lines;
  for (const auto& each : std::filesystem::recursive_directory_iterator(root)) {
    struct stat seen{};
    EXPECT_EQ(::lstat(each.path().c_str(), &seen), 0) << each.path();
    std::string line = std::filesystem::relative(each.path(), root).string() + " " + std::to_string(seen.st_mode) +
                       " " + std::to_string(seen.st_uid);
    if (S_ISREG(seen.st_mode)) line += " " + file_text(each.path());
    if (S_ISLNK(seen.st_mode)) line += " -> " + std::filesystem::read_symlink(each.path()).string();
    lines.push_back(line);
  }
  std::ranges::sort(lines);
  return lines;
}

class OverlayTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kSession = 7;

  void SetUp() override {
    for (const char* name : {"lower", "upper", "work"}) ASSERT_EQ(::mkdir((dir / name).c_str(), 0755), 0);
  }

  void mount(const passthrough::PassthroughOptions& share = {}) {
    passthrough::PassthroughOptions options = share;
    options.root = dir / "lower";
    auto made = overlay::OverlayFs::create(options, options_of());
    ASSERT_TRUE(made.ok()) << made.error().value();
    fs = std::move(made).value();
    const auto flags = fs->init(kSession, ~std::uint64_t{0});
    ASSERT_TRUE(flags.ok());
    negotiated = {46, flags.value()};
  }
  overlay::OverlayOptions options_of() const {
    return {.upper = dir / "upper", .work = dir / "work", .names = std::nullopt};
  }
  std::string lower(const std::string& name) const { return dir / ("lower/" + name); }
  std::string upper(const std::string& name) const { return dir / ("upper/" + name); }

  fuse::Call call(std::uint64_t node = abi::kRootId) const {
    return {node, ::geteuid(), ::getegid(), 1, kSession, true, negotiated};
  }
  Result<abi::EntryOut> find(const std::string& path) {
    abi::EntryOut at{};
    at.nodeid = abi::kRootId;
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      // As if every symlink led nowhere.
      if (begin > 0 && S_ISLNK(at.attr.mode)) return Errno(ENOENT);
      VFS_TRY(at, fs->lookup(call(at.nodeid), NameOf(path.substr(begin, end - begin))));
      begin = end + 1;
    }
    return at;
  }
  // The node of the directory that a path is in, and the last name.
  Result<std::pair<std::uint64_t, std::string>> place(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return std::pair{std::uint64_t{abi::kRootId}, path};
    VFS_TRY(const auto entry, find(path.substr(0, slash)));
    if (S_ISLNK(entry.attr.mode)) return Errno(ENOENT);
    if (!S_ISDIR(entry.attr.mode)) return Errno(ENOTDIR);
    return std::pair{entry.nodeid, path.substr(slash + 1)};
  }

  Result<abi::OpenOut> open(const std::string& path, int flags) {
    VFS_TRY(const auto entry, find(path));
    return fs->open(call(entry.nodeid), {static_cast<std::uint32_t>(flags), 0});
  }
  Status close(std::uint64_t node, std::uint64_t handle) {
    return fs->release(call(node), abi::ReleaseIn{handle, 0, 0, 0});
  }
  Result<std::string> read(std::uint64_t node, std::uint64_t handle) {
    const GuestBuffer buffer(4096);
    GuestWriter writer = buffer.writer();
    VFS_TRY(const auto length, fs->read(call(node), {handle, 0, 4096, 0, 0, 0, 0}, writer));
    return buffer.text(length);
  }
  Result<std::string> text(const std::string& path) {
    VFS_TRY(const auto entry, find(path));
    VFS_TRY(const auto opened, fs->open(call(entry.nodeid), {O_RDONLY, 0}));
    auto content = read(entry.nodeid, opened.fh);
    VFS_CHECK(close(entry.nodeid, opened.fh));
    return content;
  }
  Status write_to(std::uint64_t node, std::uint64_t handle, const std::string& content, std::uint64_t offset = 0) {
    const GuestBuffer buffer(content);
    GuestReader reader = buffer.reader();
    VFS_CHECK(fs->write(call(node), {handle, offset, static_cast<std::uint32_t>(content.size()), 0, 0, 0, 0}, reader));
    return Unit{};
  }
  // As open(2) with O_CREAT and these flags, and write(2).
  Status write(const std::string& path, const std::string& content, int flags = O_WRONLY | O_TRUNC) {
    VFS_TRY(const auto at, place(path));
    VFS_TRY(const auto made, fs->create(call(at.first), {static_cast<std::uint32_t>(flags | O_CREAT), 0644, 0, 0},
                                        NameOf(at.second), {}));
    VFS_CHECK(write_to(made.entry.nodeid, made.open.fh, content));
    return close(made.entry.nodeid, made.open.fh);
  }
  Status mkdir(const std::string& path) {
    VFS_TRY(const auto at, place(path));
    VFS_CHECK(fs->mkdir(call(at.first), {0755, 0}, NameOf(at.second), {}));
    return Unit{};
  }
  Status symlink(const std::string& target, const std::string& path) {
    VFS_TRY(const auto at, place(path));
    VFS_CHECK(fs->symlink(call(at.first), NameOf(at.second), TargetOf(target), {}));
    return Unit{};
  }
  Status link(const std::string& from, const std::string& to) {
    VFS_TRY(const auto entry, find(from));
    VFS_TRY(const auto at, place(to));
    VFS_CHECK(fs->link(call(at.first), {entry.nodeid}, NameOf(at.second)));
    return Unit{};
  }
  Status unlink(const std::string& path) {
    VFS_TRY(const auto at, place(path));
    return fs->unlink(call(at.first), NameOf(at.second));
  }
  Status rmdir(const std::string& path) {
    VFS_TRY(const auto at, place(path));
    return fs->rmdir(call(at.first), NameOf(at.second));
  }
  Status rename(const std::string& from, const std::string& to, std::uint32_t flags = 0) {
    VFS_TRY(const auto at, place(from));
    VFS_TRY(const auto then, place(to));
    return fs->rename(call(at.first), {then.first, flags, 0}, NameOf(at.second), NameOf(then.second));
  }
  Status chmod(const std::string& path, std::uint32_t mode) {
    VFS_TRY(const auto entry, find(path));
    abi::SetattrIn in{};
    in.valid = abi::fattr::kMode;
    in.mode = mode;
    VFS_CHECK(fs->setattr(call(entry.nodeid), in));
    return Unit{};
  }
  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> found;
    const auto entry = find(path);
    EXPECT_TRUE(entry.ok());
    const auto opened = fs->opendir(call(entry.value().nodeid), {});
    EXPECT_TRUE(opened.ok());
    ListSink sink(1000);
    EXPECT_TRUE(fs->readdir(call(entry.value().nodeid), {opened.value().fh, 0, 4096, 0, 0, 0, 0}, sink).ok());
    for (const Listed& each : sink.entries) {
      if (each.name != "." && each.name != "..") found.push_back(each.name);
    }
    EXPECT_TRUE(fs->releasedir(call(entry.value().nodeid), {opened.value().fh, 0, 0, 0}).ok());
    std::ranges::sort(found);
    return found;
  }

  TempDir dir;
  std::unique_ptr<overlay::OverlayFs> fs;
  fuse::Negotiated negotiated;
};

}  // namespace vfs::test
