#include "passthrough/short_text.h"

#include <gtest/gtest.h>

#include <string>

namespace vfs::passthrough {
namespace {

TEST(ShortText, is_empty_at_first) {
  const ShortText text;
  EXPECT_EQ(text.text(), "");
  EXPECT_STREQ(text.c_str(), "");
}

TEST(ShortText, joins_two_texts_and_ends_with_a_nul) {
  const auto text = ShortText::of("user.", "name");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(text->text(), "user.name");
  EXPECT_STREQ(text->c_str(), "user.name");
  EXPECT_EQ(ShortText::of("", "")->text(), "");
}

TEST(ShortText, has_255_bytes_and_no_more) {
  const std::string longest(255, 'x');
  ASSERT_TRUE(ShortText::of(longest).has_value());
  EXPECT_EQ(ShortText::of(longest)->text(), longest);
  EXPECT_STREQ(ShortText::of(longest)->c_str(), longest.c_str());
  EXPECT_EQ(ShortText::of(std::string(100, 'x'), std::string(155, 'x'))->text(), longest);
  EXPECT_FALSE(ShortText::of(longest, "x").has_value());
  EXPECT_FALSE(ShortText::of("x", longest).has_value());
  EXPECT_FALSE(ShortText::of(std::string(256, 'x')).has_value());
  EXPECT_FALSE(ShortText::of({}, std::string(1000, 'x')).has_value());
}

TEST(ShortText, copies_are_independent) {
  auto text = ShortText::of("one");
  const ShortText copy = *text;
  text = ShortText::of("another");
  EXPECT_EQ(copy.text(), "one");
  EXPECT_EQ(text->text(), "another");
}

}  // namespace
}  // namespace vfs::passthrough
