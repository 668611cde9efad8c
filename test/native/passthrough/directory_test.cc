#include <dirent.h>

#include <map>
#include <set>
#include <thread>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

class DirectoryTest : public PassthroughTest {
 protected:
  std::uint64_t opendir(std::uint64_t id = abi::kRootId) {
    const auto opened = fs->opendir(call(id), {0, 0});
    EXPECT_TRUE(opened.ok());
    return opened.ok() ? opened.value().fh : 0;
  }
  std::vector<Listed> list(std::uint64_t handle, std::uint64_t offset, std::size_t room,
                           std::uint64_t id = abi::kRootId) {
    ListSink sink(room);
    EXPECT_TRUE(fs->readdir(call(id), {handle, offset, 4096, 0, 0, 0, 0}, sink).ok());
    return sink.entries;
  }
  std::vector<Listed> list_all(std::uint64_t handle, std::size_t room, std::uint64_t id = abi::kRootId) {
    std::vector<Listed> all;
    std::uint64_t offset = 0;
    for (auto part = list(handle, 0, room, id); !part.empty(); part = list(handle, offset, room, id)) {
      all.insert(all.end(), part.begin(), part.end());
      offset = part.back().cookie;
    }
    return all;
  }
  std::map<std::string, struct dirent> oracle() const {
    std::map<std::string, struct dirent> entries;
    DIR* const directory = ::opendir(dir.path().c_str());
    while (const dirent* entry = ::readdir(directory)) entries[entry->d_name] = *entry;
    ::closedir(directory);
    return entries;
  }
};

TEST_F(DirectoryTest, lists_each_entry_once_whatever_the_room) {
  for (int i = 0; i < 300; ++i) put("file with a name of some length " + std::to_string(i), "");
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  const auto expected = oracle();
  for (const std::size_t room : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    const auto entries = list_all(opendir(), room);
    EXPECT_EQ(entries.size(), expected.size());
    std::set<std::string> seen;
    for (const auto& entry : entries) {
      EXPECT_TRUE(seen.insert(entry.name).second) << entry.name;
      ASSERT_TRUE(expected.contains(entry.name));
      EXPECT_EQ(entry.type, expected.at(entry.name).d_type);
      if (entry.name != "..") {
        EXPECT_EQ(entry.ino, expected.at(entry.name).d_ino);
      }
    }
  }
}

TEST_F(DirectoryTest, goes_back_and_on_from_any_cookie) {
  for (int i = 0; i < 20; ++i) put("f" + std::to_string(i), "");
  const auto handle = opendir();
  const auto all = list_all(handle, 100);
  ASSERT_EQ(all.size(), 22U);
  const auto rest = list(handle, all[9].cookie, 100);
  ASSERT_EQ(rest.size(), 12U);
  EXPECT_EQ(rest.front().name, all[10].name);
  // rewinddir(3) sees what is new.
  put("new", "");
  EXPECT_EQ(list(handle, 0, 100).size(), 23U);
  ListSink sink(10);
  EXPECT_ERRNO(fs->readdir(call(), {handle, ~std::uint64_t{0}, 4096, 0, 0, 0, 0}, sink), EINVAL);
}

TEST_F(DirectoryTest, no_room_at_all_is_not_the_end) {
  const auto handle = opendir();
  ListSink none(0);
  EXPECT_ERRNO(fs->readdir(call(), {handle, 0, 0, 0, 0, 0, 0}, none), EINVAL);
  EXPECT_EQ(list(handle, 0, 100).size(), 2U);
}

TEST_F(DirectoryTest, the_parent_of_the_root_is_the_root) {
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  const auto root_ino = host("").st_ino;
  for (const auto& entry : list_all(opendir(), 100)) {
    if (entry.name == "." || entry.name == "..") {
      EXPECT_EQ(entry.ino, root_ino) << entry.name;
    }
  }
  const auto sub = node("sub");
  for (const auto& entry : list_all(opendir(sub), 100, sub)) {
    if (entry.name == "..") {
      EXPECT_EQ(entry.ino, root_ino);
    }
  }
}

TEST_F(DirectoryTest, readdirplus_looks_up_what_it_lists) {
  put("a", "");
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  PlusListSink sink(100);
  ASSERT_TRUE(fs->readdirplus(call(), {opendir(), 0, 4096, 0, 0, 0, 0}, sink).ok());
  ASSERT_EQ(sink.entries.size(), 4U);
  EXPECT_EQ(fs->inode_count(), 2U);
  for (const auto& entry : sink.entries) {
    if (entry.name == "." || entry.name == "..") {
      EXPECT_EQ(entry.node, 0U);
      continue;
    }
    EXPECT_EQ(node(entry.name), entry.node);
    fs->forget(call(), entry.node, 2);  // the one of the listing and the one just now
  }
  EXPECT_EQ(fs->inode_count(), 0U);
}

TEST_F(DirectoryTest, readdirplus_counts_no_lookup_for_what_does_not_fit) {
  for (int i = 0; i < 10; ++i) put("f" + std::to_string(i), "");
  const auto handle = opendir();
  std::uint64_t offset = 0;
  std::size_t listed = 0;
  for (;;) {
    PlusListSink sink(3);
    ASSERT_TRUE(fs->readdirplus(call(), {handle, offset, 4096, 0, 0, 0, 0}, sink).ok());
    if (sink.entries.empty()) break;
    listed += sink.entries.size();
    offset = sink.entries.back().cookie;
    for (const auto& entry : sink.entries) {
      if (entry.node != 0) fs->forget(call(), entry.node, 1);
    }
    EXPECT_EQ(fs->inode_count(), 0U);
  }
  EXPECT_EQ(listed, 12U);
}

TEST_F(DirectoryTest, readdirplus_lists_what_it_cannot_look_up) {
  mount({.descriptors_max = 2});
  for (int i = 0; i < 5; ++i) put("f" + std::to_string(i), "");
  PlusListSink sink(100);
  ASSERT_TRUE(fs->readdirplus(call(), {opendir(), 0, 4096, 0, 0, 0, 0}, sink).ok());
  EXPECT_EQ(sink.entries.size(), 7U);
  EXPECT_EQ(fs->inode_count(), 1U);
}

TEST_F(DirectoryTest, a_removed_directory_is_empty) {
  ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0700), 0);
  const auto sub = node("sub");
  const auto handle = opendir(sub);
  ASSERT_TRUE(fs->rmdir(call(), NameOf("sub")).ok());
  // getdents(2) says ENOENT, which a guest takes for the end.
  ListSink sink(100);
  EXPECT_ERRNO(fs->readdir(call(sub), {handle, 0, 4096, 0, 0, 0, 0}, sink), ENOENT);
  EXPECT_TRUE(fs->releasedir(call(sub), {handle, 0, 0, 0}).ok());
}

TEST_F(DirectoryTest, fsyncdir_and_release) {
  const auto handle = opendir();
  EXPECT_TRUE(fs->fsyncdir(call(), {handle, 0, 0}).ok());
  EXPECT_TRUE(fs->fsyncdir(call(), {handle, abi::kFsyncFdatasync, 0}).ok());
  EXPECT_TRUE(fs->releasedir(call(), {handle, 0, 0, 0}).ok());
  EXPECT_ERRNO(fs->fsyncdir(call(), {handle, 0, 0}), EBADF);
}

TEST_F(DirectoryTest, one_handle_serves_several_threads) {
  for (int i = 0; i < 100; ++i) put("f" + std::to_string(i), "");
  const auto handle = opendir();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) EXPECT_EQ(list(handle, 0, 1000).size(), 102U);
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace vfs::test
