#include "fuse/creation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vfs::fuse {
namespace {

// Extensions as fs/fuse/dir.c of Linux builds them (get_security_context, get_create_supp_group).
class Extensions {
 public:
  Extensions& word(std::uint32_t value) { return raw(bytes_of(value)); }
  Extensions& text(std::string_view value) { return raw(std::as_bytes(std::span(value))); }
  Extensions& zeroes(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  Extensions& raw(ByteSpan bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  // One security context, 8-byte aligned: 8 + name + NUL + value.
  Extensions& context(const std::string& name, const std::string& value) {
    word(static_cast<std::uint32_t>(value.size())).word(0).text(name).zeroes(1).text(value);
    return zeroes((8 - bytes_.size() % 8) % 8);
  }
  Result<Creation> parse() const { return Creation::parse(bytes_); }
  ByteSpan bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

TEST(Creation, nothing_is_nothing) {
  const auto creation = Creation::parse({});
  ASSERT_TRUE(creation.ok());
  EXPECT_TRUE(creation.value().security_contexts().empty());
  EXPECT_TRUE(creation.value().groups().empty());
}

TEST(Creation, a_context_and_a_group_in_either_order) {
  for (const bool group_first : {false, true}) {
    Extensions all;
    if (group_first) all.word(16).word(32).word(1).word(1234);
    // 8 header, 8 + 17 + 5 = 30 padded to 32.
    all.word(40).word(1).context("security.selinux", "a:b:c");
    if (!group_first) all.word(16).word(32).word(1).word(1234);
    const auto creation = all.parse();
    ASSERT_TRUE(creation.ok());
    ASSERT_EQ(creation.value().security_contexts().size(), 1U);
    EXPECT_EQ(creation.value().security_contexts()[0].name, "security.selinux");
    EXPECT_EQ(text_of(creation.value().security_contexts()[0].value), "a:b:c");
    ASSERT_EQ(creation.value().groups().size(), 1U);
    EXPECT_EQ(creation.value().groups()[0], 1234U);
  }
}

TEST(Creation, no_context_at_all_is_what_a_guest_without_a_security_module_sends) {
  const auto creation = Extensions().word(8).word(0).parse();
  ASSERT_TRUE(creation.ok());
  EXPECT_TRUE(creation.value().security_contexts().empty());
}

TEST(Creation, several_contexts_and_several_groups) {
  Extensions all;
  Extensions contexts;
  contexts.context("security.selinux", "x").context("security.SMACK64", "").context("user.long", std::string(100, 'v'));
  all.word(static_cast<std::uint32_t>(8 + contexts.bytes().size())).word(3).raw(contexts.bytes());
  all.word(8 + 4 + 3 * 4).word(32).word(3).word(7).word(8).word(9);
  const auto creation = all.parse();
  ASSERT_TRUE(creation.ok());
  ASSERT_EQ(creation.value().security_contexts().size(), 3U);
  EXPECT_EQ(creation.value().security_contexts()[1].name, "security.SMACK64");
  EXPECT_TRUE(creation.value().security_contexts()[1].value.empty());
  EXPECT_EQ(creation.value().groups().size(), 3U);
}

TEST(Creation, sizes_that_lie_are_einval) {
  const Extensions bad[] = {
      Extensions().word(8),                           // half a header
      Extensions().word(7).word(0),                   // smaller than its header
      Extensions().word(16).word(0),                  // larger than what is there
      Extensions().word(8).word(1),                   // a context that is not there
      Extensions().word(16).word(1).word(1).word(0),  // no name
      Extensions().word(24).word(1).word(1).word(0).text("nonulxxx"),
      Extensions().word(24).word(1).word(0).word(0).zeroes(8),            // an empty name
      Extensions().word(24).word(1).word(7).word(0).text("a").zeroes(7),  // 6 bytes of value are left
      Extensions().word(24).word(1).word(0xffffffff).word(0).text("a").zeroes(7),
      Extensions().word(8).word(32),           // no count
      Extensions().word(12).word(32).word(1),  // a group that is not there
      Extensions().word(12).word(32).word(0xffffffff),
      Extensions().word(8).word(33),                 // unknown
      Extensions().word(8).word(0).word(8).word(0),  // twice
      Extensions().word(16).word(32).word(1).word(5).word(16).word(32).word(1).word(6),
  };
  for (const Extensions& each : bad) EXPECT_FALSE(each.parse().ok()) << (&each - bad);
}

TEST(Creation, names_and_values_as_long_as_linux_has_them_and_no_longer) {
  const auto one = [](std::size_t name_bytes, std::size_t value_bytes) {
    Extensions context;
    context.context(std::string(name_bytes, 'n'), std::string(value_bytes, 'v'));
    Extensions all;
    all.word(static_cast<std::uint32_t>(8 + context.bytes().size())).word(1).raw(context.bytes());
    return all;
  };
  EXPECT_TRUE(one(255, 65536).parse().ok());
  EXPECT_FALSE(one(256, 1).parse().ok());
  EXPECT_FALSE(one(1, 65537).parse().ok());
}

TEST(Creation, thirty_two_groups_and_no_more) {
  for (const std::uint32_t count : {32U, 33U}) {
    Extensions groups;
    groups.word(12 + count * 4).word(32).word(count).zeroes(std::size_t{count} * 4);
    EXPECT_EQ(groups.parse().ok(), count == 32) << count;
  }
}

TEST(Creation, every_prefix_and_every_flipped_byte_is_survived) {
  Extensions whole;
  whole.word(40).word(1).context("security.selinux", "a:b:c").word(16).word(32).word(1).word(1234);
  for (std::size_t length = 0; length <= whole.bytes().size(); ++length) {
    const auto cut = Creation::parse(whole.bytes().first(length));
    if (cut.ok()) {
      EXPECT_TRUE(length == 0 || length == 40 || length == whole.bytes().size()) << length;
    }
  }
  std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[at] ^= std::byte{1} << bit;
      const auto flipped = Creation::parse(bytes);
      if (flipped.ok()) {
        for (const auto& context : flipped.value().security_contexts()) {
          EXPECT_LE(context.name.size() + context.value.size(), bytes.size());
        }
      }
      bytes[at] ^= std::byte{1} << bit;
    }
  }
}

}  // namespace
}  // namespace vfs::fuse
