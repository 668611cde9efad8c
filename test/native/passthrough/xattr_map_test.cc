#include "passthrough/xattr_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace vfs::passthrough {
namespace {

using enum XattrVerdict;
using enum XattrScope;

std::string host(const XattrMap& map, std::string_view name, XattrAccess access = XattrAccess::kSet) {
  const auto result = map.to_host(access, name);
  return result.ok() ? std::string(result.value().c_str()) : "error " + std::to_string(result.error().value());
}
std::string guest(const XattrMap& map, std::string_view name) {
  return std::string(map.to_guest(name).value_or("hidden"));
}
std::string error(int value) { return "error " + std::to_string(value); }

// What get, set and remove of a name give.
std::vector<std::string> accesses(const XattrMap& map, std::string_view name) {
  return {host(map, name, XattrAccess::kGet), host(map, name, XattrAccess::kSet),
          host(map, name, XattrAccess::kRemove)};
}
using Strings = std::vector<std::string>;

// `:map:trusted.:user.virtiofs.:` in its long form.
XattrMap trusted_map() {
  return XattrMap({xattr_rule(kPrefix, kAll, "trusted.", "user.virtiofs."),
                   xattr_rule(kBad, kAll, "user.virtiofs.", "trusted."), xattr_rule(kOk, kAll, "", "")});
}

TEST(XattrMap, without_rules_every_name_passes) {
  const XattrMap map;
  EXPECT_EQ(host(map, "user.a"), "user.a");
  EXPECT_EQ(host(map, "security.selinux"), "security.selinux");
  EXPECT_EQ(guest(map, "trusted.b"), "trusted.b");
  EXPECT_FALSE(map.moved("security.capability").has_value());
}

TEST(XattrMap, names_too_long_or_empty_are_erange) {
  const std::string longest = "user." + std::string(250, 'x');
  for (const XattrMap& map : {XattrMap(), trusted_map()}) {
    EXPECT_EQ(host(map, longest), longest);
    EXPECT_EQ(host(map, longest + "x"), error(ERANGE));
    EXPECT_EQ(host(map, std::string(100000, 'x')), error(ERANGE));
    EXPECT_EQ(host(map, ""), error(ERANGE));
  }
  const std::string fits = "trusted." + std::string(255 - 8 - 14, 'x');
  EXPECT_EQ(host(trusted_map(), fits), "user.virtiofs." + fits);
  EXPECT_EQ(host(trusted_map(), fits + "x"), error(ERANGE));
}

TEST(XattrMap, prefix_keeps_the_whole_name_and_comes_off_in_lists) {
  const XattrMap map = trusted_map();
  EXPECT_EQ(accesses(map, "trusted.a"),
            (Strings{"user.virtiofs.trusted.a", "user.virtiofs.trusted.a", "user.virtiofs.trusted.a"}));
  EXPECT_EQ(guest(map, "user.virtiofs.trusted.a"), "trusted.a");
}

TEST(XattrMap, map_lets_others_pass_and_protects_itself) {
  const XattrMap map = trusted_map();
  EXPECT_EQ(host(map, "user.a"), "user.a");
  EXPECT_EQ(guest(map, "user.a"), "user.a");
  EXPECT_EQ(accesses(map, "user.virtiofs.trusted.a"), (Strings{error(ENODATA), error(EPERM), error(EPERM)}));
  EXPECT_EQ(guest(map, "trusted.of_the_host"), "hidden");
}

TEST(XattrMap, map_of_everything) {
  const XattrMap map({xattr_rule(kPrefix, kAll, "", "user.virtiofs."), xattr_rule(kBad, kAll, "", "")});
  EXPECT_EQ(host(map, "security.capability"), "user.virtiofs.security.capability");
  EXPECT_EQ(guest(map, "user.virtiofs.user.a"), "user.a");
  EXPECT_EQ(guest(map, "user.a"), "hidden");
}

TEST(XattrMap, first_rule_decides) {
  const XattrMap map({xattr_rule(kOk, kAll, "user.a", "user.a"), xattr_rule(kUnsupported, kAll, "user.", "user."),
                      xattr_rule(kOk, kAll, "", "")});
  EXPECT_EQ(host(map, "user.abc"), "user.abc");
  EXPECT_EQ(accesses(map, "user.b"), (Strings{error(EOPNOTSUPP), error(EOPNOTSUPP), error(EOPNOTSUPP)}));
  EXPECT_EQ(host(map, "trusted.b"), "trusted.b");
  EXPECT_EQ(guest(map, "user.abc"), "user.abc");
  EXPECT_EQ(guest(map, "user.b"), "hidden");
  EXPECT_EQ(guest(map, "trusted.b"), "trusted.b");
}

TEST(XattrMap, scopes_are_separate) {
  const XattrMap map({xattr_rule(kPrefix, kClient, "a.", "x."), xattr_rule(kPrefix, kServer, "b.", "y."),
                      xattr_rule(kBad, kClient, "c.", "c."), xattr_rule(kBad, kServer, "d.", "d."),
                      xattr_rule(kOk, kAll, "", "")});
  EXPECT_EQ(host(map, "a.1"), "x.a.1");
  EXPECT_EQ(host(map, "b.1"), "b.1");
  EXPECT_EQ(host(map, "c.1"), error(EPERM));
  EXPECT_EQ(host(map, "d.1"), "d.1");
  EXPECT_EQ(guest(map, "x.a.1"), "x.a.1");
  EXPECT_EQ(guest(map, "y.b.1"), "b.1");
  EXPECT_EQ(guest(map, "c.1"), "c.1");
  EXPECT_EQ(guest(map, "d.1"), "hidden");
}

TEST(XattrMap, what_no_rule_is_about_is_refused) {
  const XattrMap map({xattr_rule(kOk, kClient, "user.", ""), xattr_rule(kOk, kServer, "", "trusted.")});
  EXPECT_EQ(host(map, "user.a"), "user.a");
  EXPECT_EQ(accesses(map, "trusted.a"), (Strings{error(ENODATA), error(EPERM), error(EPERM)}));
  EXPECT_EQ(guest(map, "trusted.a"), "trusted.a");
  EXPECT_EQ(guest(map, "user.a"), "hidden");
}

TEST(XattrMap, a_name_that_is_nothing_but_the_prefix_is_not_listed) {
  // An empty name would end the guest's list.
  EXPECT_EQ(guest(trusted_map(), "user.virtiofs."), "hidden");
  EXPECT_EQ(guest(XattrMap(), "x"), "x");
}

TEST(XattrMap, what_is_listed_is_a_part_of_the_name) {
  const std::string name = "user.virtiofs.trusted.a";
  const auto listed = trusted_map().to_guest(name);
  ASSERT_TRUE(listed.has_value());
  EXPECT_EQ(listed->data() + listed->size(), name.data() + name.size());
}

TEST(XattrMap, moved_says_where_an_attribute_is_kept) {
  const XattrMap all({xattr_rule(kPrefix, kAll, "", "user.virtiofs."), xattr_rule(kBad, kAll, "", "")});
  EXPECT_EQ(all.moved("security.capability")->text(), "user.virtiofs.security.capability");
  EXPECT_FALSE(trusted_map().moved("security.capability").has_value());
  const XattrMap refused({xattr_rule(kBad, kAll, "security.", ""), xattr_rule(kOk, kAll, "", "")});
  EXPECT_FALSE(refused.moved("security.capability").has_value());
}

TEST(XattrMap, blocks_hold_whatever_the_rules_say) {
  const std::vector<XattrBlock> blocks = {{"user.secret", kHidden}, {"system.acl", kUnsupported}, {"user.bad", kBad}};
  const XattrMap plain({}, blocks);
  EXPECT_EQ(accesses(plain, "user.secret"), (Strings{error(ENODATA), error(EPERM), error(ENODATA)}));
  EXPECT_EQ(accesses(plain, "system.acl"), (Strings{error(EOPNOTSUPP), error(EOPNOTSUPP), error(EOPNOTSUPP)}));
  EXPECT_EQ(accesses(plain, "user.bad"), (Strings{error(ENODATA), error(EPERM), error(EPERM)}));
  for (const char* name : {"user.secret", "system.acl", "user.bad"}) EXPECT_EQ(guest(plain, name), "hidden");
  EXPECT_EQ(host(plain, "user.secrets"), "user.secrets");

  const XattrMap mapped({xattr_rule(kPrefix, kAll, "s", "user."), xattr_rule(kOk, kAll, "", "")}, blocks);
  EXPECT_EQ(host(mapped, "secret"), error(EPERM));
  EXPECT_EQ(host(mapped, "secrets"), "user.secrets");
  EXPECT_EQ(guest(mapped, "user.secret"), "hidden");
}

TEST(XattrMap, security_rewriting_names) {
  const XattrMap map(security_rewriting_rules());
  for (const char* same : {"security.selinux", "user.a", "trusted.a", "system.posix_acl_access", "user.virtiofs"}) {
    EXPECT_EQ(accesses(map, same), (Strings{same, same, same}));
    EXPECT_EQ(guest(map, same), same);
  }
  for (const std::string name : {"security.capability", "security.sehash", "security.selinux2", "security.selinu"}) {
    EXPECT_EQ(host(map, name), "user.virtiofs." + name);
    EXPECT_EQ(guest(map, "user.virtiofs." + name), name);
    EXPECT_EQ(guest(map, name), "hidden");
  }
  EXPECT_EQ(map.moved("security.capability")->text(), "user.virtiofs.security.capability");
  EXPECT_FALSE(map.moved("security.selinux").has_value());
}

TEST(XattrMap, security_rewriting_keeps_its_names_to_itself) {
  const XattrMap map(security_rewriting_rules());
  for (const char* name : {"user.virtiofs.security.capability", "user.virtiofs.a", "user.virtiofs."}) {
    EXPECT_EQ(accesses(map, name), (Strings{error(ENODATA), error(EPERM), error(ENODATA)}));
  }
}

TEST(XattrMap, security_rewriting_lists_only_what_can_be_got) {
  const XattrMap map(security_rewriting_rules());
  for (const char* name : {"user.virtiofs.a", "user.virtiofs.", "user.virtiofs.security.selinux",
                           "user.virtiofs.user.a", "security.capability", "security.ima"}) {
    EXPECT_EQ(guest(map, name), "hidden");
  }
  for (const std::string_view name : {"security.selinux", "user.a", "trusted.a", "user.virtiofs.security.ima"}) {
    const auto listed = map.to_guest(name);
    ASSERT_TRUE(listed.has_value()) << name;
    EXPECT_EQ(host(map, *listed, XattrAccess::kGet), name);
  }
}

TEST(XattrMapDeathTest, rules_that_cannot_be_are_our_bug) {
  XattrRule rule = xattr_rule(kPrefix, kServer, "", "user.");
  rule.server_match = "x";
  EXPECT_DEATH(XattrMap({rule}), "starts_with");
  EXPECT_DEATH(XattrMap({}, {{"user.a", kOk}}), "passes");
}

}  // namespace
}  // namespace vfs::passthrough
