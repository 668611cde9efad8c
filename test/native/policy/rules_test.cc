#include "policy/rules.h"

#include <gtest/gtest.h>

#include "policy/policy_fixture.h"

namespace vfs::test {
namespace {

using policy::Permission;
using policy::Rules;
using policy::StateRef;
using policy::Verdict;

// The verdict on a path; a slash at its end makes it a directory.
Verdict verdict_on(const policy::PolicySource& source, std::string path) {
  const auto rules = Rules::compile(source, 1);
  const bool is_directory = path.ends_with('/');
  if (is_directory) path.pop_back();
  StateRef state = rules->root();
  for (std::size_t begin = 0;;) {
    const std::size_t slash = path.find('/', begin);
    const std::string name = path.substr(begin, slash - begin);
    if (slash == std::string::npos) return rules->judge(*state, name, is_directory);
    state = rules->enter(state, name);
    begin = slash + 1;
  }
}

bool hidden(std::initializer_list<const char*> patterns, const std::string& path) {
  return verdict_on(policy_of({hide(patterns)}), path).hidden;
}

StateRef state_of(const std::shared_ptr<const Rules>& rules, std::initializer_list<const char*> names) {
  StateRef state = rules->root();
  for (const char* name : names) state = rules->enter(state, name);
  return state;
}

TEST(Rules, patterns_match_as_in_a_gitignore_file) {
  struct Row {
    std::initializer_list<const char*> patterns;
    const char* path;
    bool hidden;
  };
  const Row rows[] = {
      {{".env"}, ".env", true},
      {{".env"}, "a/b/.env", true},
      {{".env"}, ".envrc", false},
      {{"/.env"}, "a/.env", false},
      {{"/.env"}, ".env", true},
      {{".git/config"}, ".git/config", true},
      {{".git/config"}, "sub/.git/config", false},
      {{"**/.git/config"}, "sub/.git/config", true},
      {{"**/.git/config"}, ".git/config", true},
      {{"a/**"}, "a/", false},
      {{"a/**"}, "a/b/c", true},
      {{"a/**/b"}, "a/b", true},
      {{"a/**/b"}, "a/x/y/b", true},
      {{"a/**/b"}, "b", false},
      {{"build/"}, "build/", true},
      {{"build/"}, "build", false},
      {{"build/"}, "x/build/deep/file", true},
      {{"*.pem", "!ca.pem"}, "ca.pem", false},
      {{"*.pem", "!ca.pem"}, "x/other.pem", true},
      {{"!ca.pem", "*.pem"}, "ca.pem", true},
      {{"secret", "!secret/public"}, "secret/public", true},
      {{"/*", "!/src", "/src/*", "!/src/lib"}, "src/lib/x", false},
      {{"/*", "!/src", "/src/*", "!/src/lib"}, "src/other", true},
      {{"/*", "!/src", "/src/*", "!/src/lib"}, "top", true},
      {{"a**b"}, "axb", true},
      {{"a**b"}, "a/b", false},
  };
  for (const Row& row : rows) EXPECT_EQ(hidden(row.patterns, row.path), row.hidden) << row.path;
}

TEST(Rules, of_rules_about_operations_the_last_one_holds) {
  const std::uint32_t write = bit_of(Permission::kWrite);
  const auto source = policy_of({deny(write, {}, true), allow(write, {"/out"}), deny(write, {"*.lock"})});
  EXPECT_EQ(verdict_on(source, "src/x").refusal(Permission::kWrite).value(), EROFS);
  EXPECT_FALSE(verdict_on(source, "src/x").allows(Permission::kWrite));
  EXPECT_TRUE(verdict_on(source, "out/deep/x").allows(Permission::kWrite));
  EXPECT_FALSE(verdict_on(source, "out/x.lock").allows(Permission::kWrite));
  EXPECT_EQ(verdict_on(source, "out/x.lock").refusal(Permission::kWrite).value(), EACCES);
  EXPECT_TRUE(verdict_on(source, "src/x").allows(Permission::kRead));
}

TEST(Rules, what_is_hidden_stays_hidden_whatever_comes_later) {
  const auto source = policy_of({hide({"*.pem"}), allow(~0U, {"/out"})});
  EXPECT_TRUE(verdict_on(source, "out/x.pem").hidden);
}

TEST(Rules, directories_that_no_rule_tells_apart_are_one_place) {
  const auto rules = Rules::compile(policy_of({hide({"/a/secret", "*.pem", "x/**/y"})}), 1);
  EXPECT_TRUE(state_of(rules, {"b"})->same_place(*state_of(rules, {"c", "d"})));
  EXPECT_FALSE(state_of(rules, {"a"})->same_place(*state_of(rules, {"b"})));
  EXPECT_TRUE(state_of(rules, {"a", "z"})->same_place(*state_of(rules, {"b"})));
  EXPECT_TRUE(state_of(rules, {"x", "1"})->same_place(*state_of(rules, {"x", "2", "3"})));
  EXPECT_FALSE(state_of(rules, {"x"})->same_place(*rules->root()));
}

TEST(Rules, equal_states_are_shared) {
  const auto rules = Rules::compile(policy_of({hide({"*.pem"})}), 1);
  const StateRef root = rules->root();
  EXPECT_EQ(rules->enter(root, "a"), root);
}

TEST(Rules, only_where_something_could_be_hidden_is_there_reason_to_look) {
  const auto rules = Rules::compile(policy_of({hide({"/a/b"}), deny(1, {"*.x"})}), 1);
  EXPECT_TRUE(rules->may_hide_below(*rules->root()));
  EXPECT_TRUE(rules->may_hide_below(*state_of(rules, {"a"})));
  EXPECT_FALSE(rules->may_hide_below(*state_of(rules, {"c"})));
  EXPECT_FALSE(rules->may_hide_below(*state_of(rules, {"a", "b"})));
}

}  // namespace
}  // namespace vfs::test
