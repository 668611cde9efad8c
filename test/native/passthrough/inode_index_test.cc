#include "passthrough/inode_index.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

namespace vfs::passthrough {
namespace {

class InodeIndexTest : public ::testing::Test {
 protected:
  Inode& make(std::uint64_t ino) { return inodes_.emplace_back(inodes_.size() + 2, key(ino), S_IFREG, Anchor{}); }
  static InodeKey key(std::uint64_t ino) { return {1, ino, 1}; }

  InodeIndex index;

 private:
  std::deque<Inode> inodes_;
};

TEST_F(InodeIndexTest, empty_has_nothing) {
  EXPECT_EQ(index.find(key(1)), nullptr);
  index.remove(make(1));
  index.clear();
  EXPECT_EQ(index.find(key(1)), nullptr);
}

TEST_F(InodeIndexTest, all_parts_of_a_key_count) {
  Inode& inode = make(5);
  index.put(inode);
  EXPECT_EQ(index.find({1, 5, 1}), &inode);
  EXPECT_EQ(index.find({2, 5, 1}), nullptr);
  EXPECT_EQ(index.find({1, 6, 1}), nullptr);
  EXPECT_EQ(index.find({1, 5, 2}), nullptr);
}

TEST_F(InodeIndexTest, a_newer_object_with_the_same_key_takes_its_place_and_keeps_it) {
  Inode& older = make(5);
  Inode& newer = make(5);
  index.put(older);
  index.put(newer);
  EXPECT_EQ(index.find(key(5)), &newer);
  index.remove(older);
  EXPECT_EQ(index.find(key(5)), &newer);
  index.remove(newer);
  EXPECT_EQ(index.find(key(5)), nullptr);
}

TEST_F(InodeIndexTest, does_what_a_map_does) {
  std::map<std::uint64_t, Inode*> model;
  std::mt19937_64 random(7);
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t ino = random() % 3000;
    const auto known = model.find(ino);
    EXPECT_EQ(index.find(key(ino)), known == model.end() ? nullptr : known->second);
    if (random() % 3 != 0) {
      Inode& inode = make(ino);
      index.put(inode);
      model.insert_or_assign(ino, &inode);
    } else if (known != model.end()) {
      index.remove(*known->second);
      model.erase(known);
    }
  }
  for (std::uint64_t ino = 0; ino < 3000; ++ino) {
    const auto known = model.find(ino);
    EXPECT_EQ(index.find(key(ino)), known == model.end() ? nullptr : known->second);
  }
  index.clear();
  EXPECT_EQ(index.find(model.begin()->second->key()), nullptr);
}

}  // namespace
}  // namespace vfs::passthrough
