#include "passthrough/path_rules.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vfs::passthrough {
namespace {

PathOwner owner(std::uint32_t id, mode_t umask = 022) {
  return {GuestUid{id}, GuestGid{id + 1}, HostUid{id + 2}, HostGid{id + 3}, umask};
}

std::uint32_t uid_at(const PathRules& rules, std::string_view path) {
  const auto found = rules.find(path);
  return found.has_value() ? found->guest_uid.value : 0;
}

TEST(SharePath, is_absolute_and_in_one_form) {
  for (const char* good : {"/", "/a", "/a/b", "/.a/..b/...", "/a b"}) EXPECT_TRUE(is_share_path(good)) << good;
  for (const char* bad : {"", "a", "a/b", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a/.", "./a"}) {
    EXPECT_FALSE(is_share_path(bad)) << bad;
  }
}

TEST(PathRules, without_rules_there_is_nothing_to_find) {
  const PathRules rules({});
  EXPECT_TRUE(rules.empty());
  EXPECT_FALSE(rules.find("/").has_value());
  EXPECT_FALSE(rules.find("/a/b").has_value());
}

TEST(PathRules, the_longest_path_holds_and_components_are_whole) {
  const PathRules rules({{"/a", owner(10)}, {"/a/b/c", owner(20)}});
  EXPECT_FALSE(rules.empty());
  EXPECT_EQ(uid_at(rules, "/a"), 10U);
  EXPECT_EQ(uid_at(rules, "/a/b"), 10U);
  EXPECT_EQ(uid_at(rules, "/a/b/c"), 20U);
  EXPECT_EQ(uid_at(rules, "/a/b/c/d/e"), 20U);
  EXPECT_EQ(uid_at(rules, "/a/b/cc"), 10U);
  EXPECT_EQ(uid_at(rules, "/ab"), 0U);
  EXPECT_EQ(uid_at(rules, "/"), 0U);
}

TEST(PathRules, the_root_is_above_everything) {
  const PathRules rules({{"/", owner(1)}});
  EXPECT_EQ(uid_at(rules, "/"), 1U);
  EXPECT_EQ(uid_at(rules, "/x/y"), 1U);
  EXPECT_EQ(uid_at(rules, "no path"), 0U);
  EXPECT_EQ(uid_at(rules, ""), 0U);
}

TEST(PathRules, permissions_are_those_that_the_umask_leaves) {
  EXPECT_EQ(owner(1, 022).shown_mode(S_IFREG | 04600), mode_t{S_IFREG | 0755});
  EXPECT_EQ(owner(1, 0777).shown_mode(S_IFDIR | 0755), mode_t{S_IFDIR});
}

}  // namespace
}  // namespace vfs::passthrough
