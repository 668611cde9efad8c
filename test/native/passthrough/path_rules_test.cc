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
  const PathRules rules({}, 0);
  EXPECT_TRUE(rules.empty());
  EXPECT_FALSE(rules.find("/").has_value());
  EXPECT_FALSE(rules.find("/a/b").has_value());
}

TEST(PathRules, the_longest_path_holds_and_components_are_whole) {
  const PathRules rules({{"/a", owner(10)}, {"/a/b/c", owner(20)}}, 0);
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
  const PathRules rules({{"/", owner(1)}}, 0);
  EXPECT_EQ(uid_at(rules, "/"), 1U);
  EXPECT_EQ(uid_at(rules, "/x/y"), 1U);
  EXPECT_EQ(uid_at(rules, "no path"), 0U);
  EXPECT_EQ(uid_at(rules, ""), 0U);
}

TEST(PathRules, permissions_are_those_that_the_umask_leaves) {
  EXPECT_EQ(owner(1, 022).shown_mode(S_IFREG | 04600), mode_t{S_IFREG | 0755});
  EXPECT_EQ(owner(1, 0777).shown_mode(S_IFDIR | 0755), mode_t{S_IFDIR});
}

TEST(PathRules, a_guest_adds_as_many_as_it_may_and_the_next_begins_anew) {
  PathRules rules({{"/a", owner(10)}}, 2);
  EXPECT_TRUE(rules.add({"/a/b", owner(30)}).ok());
  EXPECT_TRUE(rules.add({"/a", owner(40)}).ok());  // the later one holds
  EXPECT_EQ(rules.add({"/c", owner(50)}).error(), Errno(EPERM));
  EXPECT_EQ(rules.add({"c", owner(50)}).error(), Errno(EINVAL));
  EXPECT_EQ(rules.add({"/c", owner(50, 01000)}).error(), Errno(EINVAL));
  EXPECT_EQ(uid_at(rules, "/a/b"), 30U);
  EXPECT_EQ(uid_at(rules, "/a/x"), 40U);
  rules.reset();
  EXPECT_EQ(uid_at(rules, "/a/b"), 10U);
  EXPECT_TRUE(rules.add({"/c", owner(50)}).ok());
  PathRules none({}, 0);
  EXPECT_EQ(none.add({"/c", owner(50)}).error(), Errno(EPERM));
  EXPECT_TRUE(none.empty());
}

TEST(PathXattrs, a_value_holds_for_its_path_and_below) {
  PathXattrs xattrs(3);
  EXPECT_TRUE(xattrs.empty());
  EXPECT_TRUE(xattrs.add("/a", "security.selinux", "one").ok());
  EXPECT_TRUE(xattrs.add("/a/b", "security.selinux", "two").ok());
  EXPECT_TRUE(xattrs.add("/", "user.x", "three").ok());
  EXPECT_FALSE(xattrs.empty());
  EXPECT_EQ(xattrs.find("/a/c", "security.selinux"), "one");
  EXPECT_EQ(xattrs.find("/a/b/c", "security.selinux"), "two");
  EXPECT_EQ(xattrs.find("/b", "security.selinux"), std::nullopt);
  EXPECT_EQ(xattrs.find("/b", "user.x"), "three");
  EXPECT_EQ(xattrs.names("/a/b"), (std::vector<std::string>{"security.selinux", "user.x"}));
  EXPECT_EQ(xattrs.names("/b"), std::vector<std::string>{"user.x"});
  EXPECT_EQ(xattrs.add("/c", "user.y", "four").error(), Errno(EPERM));
  EXPECT_EQ(xattrs.add("c", "user.y", "four").error(), Errno(EINVAL));
  EXPECT_EQ(xattrs.add("/c", "", "four").error(), Errno(EINVAL));
  xattrs.reset();
  EXPECT_TRUE(xattrs.empty());
  EXPECT_EQ(xattrs.find("/b", "user.x"), std::nullopt);
}

}  // namespace
}  // namespace vfs::passthrough
