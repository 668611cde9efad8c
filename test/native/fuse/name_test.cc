#include "fuse/name.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace vfs::fuse {
namespace {

using namespace std::string_view_literals;

ByteSpan body(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string name_or_error(std::string_view text) {
  const auto name = Decoder(body(text)).take_name();
  return name.ok() ? std::string(name.value().text()) : "error " + std::to_string(name.error().value());
}

std::string target_or_error(std::string_view text) {
  const auto target = Decoder(body(text)).take_link_target();
  return target.ok() ? std::string(target.value().text()) : "error " + std::to_string(target.error().value());
}

std::string error(int value) { return "error " + std::to_string(value); }
std::string terminated(std::string text) { return text + std::string(1, '\0'); }

TEST(Name, ordinary_name_is_taken) { EXPECT_EQ(name_or_error("file.txt\0"sv), "file.txt"); }

TEST(Name, c_string_is_the_text) {
  const auto name = Decoder(body("abc\0def\0"sv)).take_name();
  ASSERT_TRUE(name.ok());
  EXPECT_STREQ(name.value().c_str(), "abc");
}

TEST(Name, dots_are_refused_but_not_what_begins_with_them) {
  EXPECT_EQ(name_or_error(".\0"sv), error(EINVAL));
  EXPECT_EQ(name_or_error("..\0"sv), error(EINVAL));
  EXPECT_EQ(name_or_error("...\0"sv), "...");
  EXPECT_EQ(name_or_error(".git\0"sv), ".git");
  EXPECT_EQ(name_or_error("..a\0"sv), "..a");
}

TEST(Name, empty_one_is_refused) { EXPECT_EQ(name_or_error("\0"sv), error(EINVAL)); }

TEST(Name, slash_anywhere_is_refused) {
  for (const std::string_view text : {"/\0"sv, "/a\0"sv, "a/\0"sv, "a/b\0"sv, "../a\0"sv}) {
    EXPECT_EQ(name_or_error(text), error(EINVAL)) << text;
  }
}

TEST(Name, not_terminated_is_refused) {
  EXPECT_EQ(name_or_error("abc"), error(EINVAL));
  EXPECT_EQ(name_or_error(""), error(EINVAL));
}

TEST(Name, may_have_255_bytes_and_no_more) {
  const std::string longest(255, 'x');
  EXPECT_EQ(name_or_error(terminated(longest)), longest);
  EXPECT_EQ(name_or_error(terminated(longest + "x")), error(ENAMETOOLONG));
}

TEST(Name, is_bytes_not_utf8) {
  EXPECT_EQ(name_or_error("\xff\xfe\x80\0"sv), "\xff\xfe\x80");
  EXPECT_EQ(name_or_error("a\nb\x01\0"sv), "a\nb\x01");
}

TEST(LinkTarget, may_be_any_path) {
  EXPECT_EQ(target_or_error("/etc/../x/\0"sv), "/etc/../x/");
  EXPECT_EQ(target_or_error("..\0"sv), "..");
}

TEST(LinkTarget, empty_one_is_enoent_as_in_symlink) { EXPECT_EQ(target_or_error("\0"sv), error(ENOENT)); }

TEST(LinkTarget, not_terminated_is_refused) { EXPECT_EQ(target_or_error("abc"), error(EINVAL)); }

TEST(LinkTarget, may_have_4095_bytes_and_no_more) {
  const std::string longest(4095, 'y');
  EXPECT_EQ(target_or_error(terminated(longest)), longest);
  EXPECT_EQ(target_or_error(terminated(longest + "y")), error(ENAMETOOLONG));
}

TEST(Decoder, takes_structures_and_names_in_order) {
  Decoder decoder(
      body("\x01\x00\x00\x00"
           "one\0two\0rest"sv));
  EXPECT_EQ(decoder.take<std::uint32_t>().value(), 1U);
  EXPECT_EQ(decoder.take_name().value().text(), "one");
  EXPECT_EQ(decoder.take_name().value().text(), "two");
  EXPECT_EQ(decoder.rest().size(), 4U);
}

TEST(Decoder, structure_that_is_not_all_there_is_refused) {
  Decoder decoder(body("\x01\x00\x00"sv));
  EXPECT_EQ(decoder.take<std::uint32_t>().error(), Errno(EINVAL));
  EXPECT_EQ(decoder.rest().size(), 3U);
}

}  // namespace
}  // namespace vfs::fuse
