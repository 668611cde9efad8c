#include "policy/glob.h"

#include <gtest/gtest.h>

#include <chrono>

namespace vfs::test {
namespace {

struct Row {
  const char* pattern;
  const char* name;
  bool matches;
};

TEST(Glob, a_look_at_length_and_ends_is_enough_for_most_names) {
  const Row rows[] = {
      {".env", ".env", true},      {".env", "main", false}, {".env", ".envs", false}, {"*.pem", "key.pem", true},
      {"*.pem", "key.pen", false}, {"*.pem", "m", false},   {"f*", "file", true},     {"f*", "main", false},
      {"?[ab]", "xy", true},  // what is between the ends is for matches()
      {"?[ab]", "xyz", false},     {"*", "", true},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(policy::Glob(row.pattern, false).screen().admits(row.name), row.matches)
        << row.pattern << " " << row.name;
  }
}

TEST(Glob, matches_as_gitignore_says) {
  const Row rows[] = {
      {"a", "a", true},
      {"a", "A", false},
      {"a", "ab", false},
      {"*", "", true},
      {"*", "anything", true},
      {"*.pem", "x.pem", true},
      {"*.pem", ".pem", true},
      {"*.pem", "x.pemx", false},
      {"*.pem", "pem", false},
      {"a*", "a", true},
      {"a*c", "abc", true},
      {"a*c", "abcd", false},
      {"a*b*c", "axbxbc", true},
      {"*a*b", "xaxb", true},
      {"*a*b", "xbxa", false},
      {"?", "x", true},
      {"?", "", false},
      {"a?c", "abc", true},
      {"[abc]", "b", true},
      {"[abc]", "d", false},
      {"[!abc]", "d", true},
      {"[^abc]", "a", false},
      {"[a-c]x", "bx", true},
      {"[a-c]x", "dx", false},
      {"[]a]", "]", true},
      {"[!]a]", "]", false},
      {"[a-]", "-", true},
      {"[[:digit:]]", "5", true},
      {"[[:digit:]]", "x", false},
      {"[[:alpha:]_]", "_", true},
      {"\\*", "*", true},
      {"\\*", "x", false},
      {"[\\]]", "]", true},
      {"a\\?", "a?", true},
      {"**", "x", true},
      {"a**b", "axxb", true},
      {"[[:upper:]]", "a", false},
      {"*[0-9]", "file7", true},
      {"*[0-9]", "file", false},
  };
  for (const Row& row : rows) {
    const policy::Glob glob(row.pattern, false);
    EXPECT_EQ(glob.matches(row.name), row.matches) << row.pattern << " and " << row.name;
    EXPECT_TRUE(glob.screen().admits(row.name) || !row.matches) << row.pattern << " and " << row.name;
    // In either case it takes as long.
    EXPECT_TRUE(policy::Glob(row.pattern, true).screen().admits(row.name) || !row.matches) << row.pattern;
  }
}

TEST(Glob, ignoring_case_is_about_ascii_letters) {
  const Row rows[] = {
      {".env", ".ENV", true},     {"*.Pem", "KEY.pEM", true}, {"[a-c]", "B", true},
      {"[[:upper:]]", "a", true}, {"[!a]", "A", false},       {"\xc3\xa4", "\xc3\x84", false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(policy::Glob(row.pattern, true).matches(row.name), row.matches) << row.pattern << " and " << row.name;
  }
}

TEST(Glob, a_class_that_does_not_end_stands_for_itself) {
  EXPECT_TRUE(policy::Glob("[ab", false).matches("[ab"));
  EXPECT_FALSE(policy::Glob("[ab", false).matches("a"));
}

TEST(Glob, many_stars_take_no_exponential_time) {
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "a*";
  pattern += "b";
  const policy::Glob glob(pattern, false);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(glob.matches(std::string(255, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(1));
}

}  // namespace
}  // namespace vfs::test
