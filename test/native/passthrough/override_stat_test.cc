#include "passthrough/override_stat.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace vfs::passthrough {
namespace {

using namespace std::string_view_literals;

// The fields in one text, or "none".
std::string fields(std::string_view value) {
  const auto parsed = parse_override_stat(value);
  if (!parsed.has_value()) return "none";
  char text[128];
  std::snprintf(text, sizeof text, "%u:%u %o %o %u-%u", parsed->uid.value, parsed->gid.value, parsed->permissions,
                parsed->type, parsed->device_major, parsed->device_minor);
  return text;
}

TEST(OverrideStat, short_form_has_no_type) {
  EXPECT_EQ(fields("0:0:0755"), "0:0 755 0 0-0");
  EXPECT_EQ(fields("1000:2000:755"), "1000:2000 755 0 0-0");
  EXPECT_EQ(fields("1:2:07777"), "1:2 7777 0 0-0");
  EXPECT_EQ(fields("1:2:0"), "1:2 0 0 0-0");
  EXPECT_EQ(fields("4294967294:4294967294:0"), "4294967294:4294967294 0 0 0-0");
}

TEST(OverrideStat, mode_may_include_the_type) {
  EXPECT_EQ(fields("1:2:0100644"), "1:2 644 100000 0-0");
  EXPECT_EQ(fields("1:2:040755"), "1:2 755 40000 0-0");
  EXPECT_EQ(fields("1:2:0120777"), "1:2 777 120000 0-0");
  EXPECT_EQ(fields("1:2:0100644:file"), "1:2 644 100000 0-0");
}

TEST(OverrideStat, every_type_by_its_word) {
  EXPECT_EQ(fields("1:2:0644:file"), "1:2 644 100000 0-0");
  EXPECT_EQ(fields("1:2:0755:dir"), "1:2 755 40000 0-0");
  EXPECT_EQ(fields("1:2:0777:symlink"), "1:2 777 120000 0-0");
  EXPECT_EQ(fields("1:2:0600:pipe"), "1:2 600 10000 0-0");
  EXPECT_EQ(fields("1:2:0600:socket"), "1:2 600 140000 0-0");
  EXPECT_EQ(fields("1:2:0660:block-8-1"), "1:2 660 60000 8-1");
  EXPECT_EQ(fields("1:2:0666:char-1-3"), "1:2 666 20000 1-3");
  EXPECT_EQ(fields("1:2:0666:char-4095-1048575"), "1:2 666 20000 4095-1048575");
}

TEST(OverrideStat, anything_wrong_makes_it_none) {
  for (const std::string_view value : {""sv,
                                       ":"sv,
                                       "::"sv,
                                       ":::"sv,
                                       "0"sv,
                                       "0:0"sv,
                                       "0:0:"sv,
                                       ":0:0755"sv,
                                       "0::0755"sv,
                                       "a:0:0755"sv,
                                       "0:b:0755"sv,
                                       "0:0:0788"sv,
                                       "0:0:rwx"sv,
                                       "-1:0:0755"sv,
                                       "+1:0:0755"sv,
                                       " 1:0:0755"sv,
                                       "1 :0:0755"sv,
                                       "0:0:0755 "sv,
                                       "0:0:0755\n"sv,
                                       "0:0:0755\0"sv,
                                       "0x1:0:0755"sv,
                                       "0:0:0o755"sv,
                                       "4294967295:0:0755"sv,
                                       "0:4294967295:0755"sv,
                                       "4294967296:0:0755"sv,
                                       "99999999999999999999:0:0755"sv,
                                       "0:0:200000"sv,
                                       "0:0:177777"sv,
                                       "0:0:0130644"sv,
                                       "0:0:37777777777"sv,
                                       "0:0:777777777777777777"sv}) {
    EXPECT_EQ(fields(value), "none") << value;
  }
}

TEST(OverrideStat, a_wrong_type_makes_it_none) {
  for (const std::string_view value : {"0:0:0755:"sv,
                                       "0:0:0755:files"sv,
                                       "0:0:0755:File"sv,
                                       "0:0:0755:file:"sv,
                                       "0:0:0755:file-"sv,
                                       "0:0:0755:dir-1-2"sv,
                                       "0:0:0755:char"sv,
                                       "0:0:0755:char-"sv,
                                       "0:0:0755:char-1"sv,
                                       "0:0:0755:char-1-"sv,
                                       "0:0:0755:char--3"sv,
                                       "0:0:0755:char-1-3-"sv,
                                       "0:0:0755:char-1-3-5"sv,
                                       "0:0:0755:block-x-1"sv,
                                       "0:0:0755:block-4096-1"sv,
                                       "0:0:0755:block-1-1048576"sv,
                                       "0:0:0755:block-1-4294967296"sv,
                                       "0:0:0100755:dir"sv,
                                       "0:0:0755:-"sv,
                                       "0:0:0755:file\0"sv}) {
    EXPECT_EQ(fields(value), "none") << value;
  }
}

TEST(OverrideStat, a_long_value_is_none_and_not_read) {
  EXPECT_EQ(fields("0:0:" + std::string(59, '0') + "1"), "0:0 1 0 0-0");
  EXPECT_EQ(fields("0:0:" + std::string(60, '0') + "1"), "none");
  EXPECT_EQ(fields(std::string(1 << 20, ':')), "none");
}

TEST(OverrideStat, is_written_as_others_read_it) {
  EXPECT_EQ(format_override_stat({GuestUid{0}, GuestGid{0}, 0755}).text(), "0:0:0755");
  EXPECT_EQ(format_override_stat({GuestUid{1000}, GuestGid{1001}, 04711}).text(), "1000:1001:04711");
  EXPECT_EQ(format_override_stat({GuestUid{1}, GuestGid{2}, 0}).text(), "1:2:00");
  EXPECT_EQ(format_override_stat({GuestUid{1}, GuestGid{2}, 0600, S_IFIFO}).text(), "1:2:0600:pipe");
  EXPECT_EQ(format_override_stat({GuestUid{1}, GuestGid{2}, 0666, S_IFCHR, 1, 3}).text(), "1:2:0666:char-1-3");
  // Type bits among the permissions are not written twice.
  EXPECT_EQ(format_override_stat({GuestUid{1}, GuestGid{2}, S_IFREG | 0644, S_IFREG}).text(), "1:2:0644:file");
}

TEST(OverrideStat, what_is_written_is_read_again) {
  for (const mode_t type : {mode_t{0}, mode_t{S_IFREG}, mode_t{S_IFDIR}, mode_t{S_IFLNK}, mode_t{S_IFIFO},
                            mode_t{S_IFSOCK}, mode_t{S_IFBLK}, mode_t{S_IFCHR}}) {
    const bool device = type == S_IFBLK || type == S_IFCHR;
    const OverrideStat before{GuestUid{4294967294}, GuestGid{4294967293},  07777, type,
                              device ? 4095U : 0U,  device ? 1048575U : 0U};
    const ShortText text = format_override_stat(before);
    EXPECT_LE(text.text().size(), kOverrideStatBytesMax);
    const auto after = parse_override_stat(text.text());
    ASSERT_TRUE(after.has_value()) << text.text();
    EXPECT_EQ(after->uid, before.uid);
    EXPECT_EQ(after->gid, before.gid);
    EXPECT_EQ(after->permissions, before.permissions);
    EXPECT_EQ(after->type, before.type);
    EXPECT_EQ(after->device_major, before.device_major);
    EXPECT_EQ(after->device_minor, before.device_minor);
  }
}

TEST(OverrideStat, a_regular_file_stands_for_what_cannot_be_made_unprivileged) {
  const auto shown = [](mode_t type, mode_t real) { return shown_mode({GuestUid{0}, GuestGid{0}, 04640, type}, real); };
  EXPECT_EQ(shown(0, S_IFREG | 0777), mode_t{S_IFREG | 04640});
  EXPECT_EQ(shown(S_IFREG, S_IFREG | 0777), mode_t{S_IFREG | 04640});
  EXPECT_EQ(shown(S_IFCHR, S_IFREG | 0777), mode_t{S_IFCHR | 04640});
  EXPECT_EQ(shown(S_IFBLK, S_IFREG | 0777), mode_t{S_IFBLK | 04640});
  EXPECT_EQ(shown(S_IFIFO, S_IFREG | 0777), mode_t{S_IFIFO | 04640});
  EXPECT_EQ(shown(S_IFSOCK, S_IFREG | 0777), mode_t{S_IFSOCK | 04640});
  // A directory that is none could not be listed, nor such a link be read.
  EXPECT_EQ(shown(S_IFDIR, S_IFREG | 0777), mode_t{S_IFREG | 04640});
  EXPECT_EQ(shown(S_IFLNK, S_IFREG | 0777), mode_t{S_IFREG | 04640});
  EXPECT_EQ(shown(S_IFREG, S_IFDIR | 0777), mode_t{S_IFDIR | 04640});
  EXPECT_EQ(shown(S_IFCHR, S_IFDIR | 0777), mode_t{S_IFDIR | 04640});
  EXPECT_EQ(shown(S_IFCHR, S_IFLNK | 0777), mode_t{S_IFLNK | 04640});
}

TEST(OverrideStat, the_guest_does_not_reach_the_attribute) {
  const XattrMap plain({}, {override_stat_block()});
  EXPECT_EQ(plain.to_host(XattrAccess::kSet, kOverrideStatName).error(), Errno(EPERM));
  EXPECT_EQ(plain.to_host(XattrAccess::kGet, kOverrideStatName).error(), Errno(ENODATA));
  EXPECT_EQ(plain.to_host(XattrAccess::kRemove, kOverrideStatName).error(), Errno(ENODATA));
  EXPECT_FALSE(plain.to_guest(kOverrideStatName).has_value());
  EXPECT_TRUE(plain.to_host(XattrAccess::kSet, "user.containers.override_stats").ok());
  EXPECT_TRUE(plain.to_host(XattrAccess::kSet, "user.containers.override_sta").ok());
  // Not by a map that turns an innocent name into it either.
  const XattrMap around({xattr_rule(XattrVerdict::kPrefix, XattrScope::kAll, "", "user.containers.")},
                        {override_stat_block()});
  EXPECT_EQ(around.to_host(XattrAccess::kSet, "override_stat").error(), Errno(EPERM));
  EXPECT_FALSE(around.to_guest(kOverrideStatName).has_value());
  EXPECT_EQ(around.to_host(XattrAccess::kSet, "user.x").value().text(), "user.containers.user.x");
}

}  // namespace
}  // namespace vfs::passthrough
