#include "passthrough/identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

#include "passthrough/attr.h"
#include "passthrough/inode.h"
#include "support/temp_dir.h"

namespace vfs::passthrough {
namespace {

constexpr IdRange shift(std::uint32_t from, std::uint32_t to, std::uint32_t count) {
  return {IdRangeKind::kShift, from, to, count};
}

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() : proc_(ProcFd::open().value()), root_(open(dir_.path())) {}

  UniqueFd open(const std::string& path) const {
    return UniqueFd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  UniqueFd file(const std::string& name, mode_t mode) const {
    std::ofstream(dir_ / name) << "x";
    EXPECT_EQ(::chmod((dir_ / name).c_str(), mode), 0);
    return open(dir_ / name);
  }
  abi::Attr shown(const Identity& identity, const UniqueFd& fd) const {
    abi::Attr attr = to_attr(sys::statx(fd.get(), "", AT_EMPTY_PATH, kStatxMask).value());
    identity.translate(attr);
    if (identity.looks_at_objects()) identity.show(attr, proc_, root_.get(), fd.get());
    return attr;
  }
  static fuse::Call call(std::uint32_t uid, std::uint32_t gid) { return {1, uid, gid, 1, 1, true, {}}; }

  test::TempDir dir_;
  ProcFd proc_;
  UniqueFd root_;
};

TEST_F(IdentityTest, without_options_everything_is_as_it_is) {
  const Identity identity({});
  EXPECT_FALSE(identity.looks_at_objects());
  EXPECT_FALSE(identity.overrides());
  const UniqueFd fd = file("f", 0640);
  EXPECT_EQ(shown(identity, fd).mode, mode_t{S_IFREG | 0640});
  const auto creator = identity.creator(call(1000, 1001), proc_, root_.get(), root_.get());
  EXPECT_EQ(creator.value().uid, 1000U);
  EXPECT_EQ(creator.value().gid, 1001U);
  EXPECT_EQ(identity.host_mode(S_IFREG | 04755), mode_t{S_IFREG | 04755});
}

TEST_F(IdentityTest, ids_are_translated_in_both_directions) {
  const Identity identity({UidMap({shift(0, 70000, 100)}, {shift(70000, 0, 100)}),
                           GidMap({shift(0, 80000, 100), {IdRangeKind::kForbid, 500, 0, 1}}, {shift(80000, 0, 100)})});
  EXPECT_EQ(identity.creator(call(5, 7), proc_, root_.get(), root_.get()).value().uid, 70005U);
  EXPECT_EQ(identity.creator(call(5, 7), proc_, root_.get(), root_.get()).value().gid, 80007U);
  EXPECT_EQ(identity.creator(call(5, 500), proc_, root_.get(), root_.get()).error(), Errno(EPERM));
  EXPECT_EQ(identity.host_owner({9, std::nullopt}).value().uid, 70009U);
  EXPECT_FALSE(identity.host_owner({9, std::nullopt}).value().gid.has_value());
  EXPECT_EQ(identity.host_owner({std::nullopt, 500}).error(), Errno(EPERM));
  EXPECT_EQ(identity.host_owner({0xffffffff, std::nullopt}).error(), Errno(EINVAL));
  abi::Attr attr{};
  attr.uid = 70005;
  attr.gid = 1;
  identity.translate(attr);
  EXPECT_EQ(attr.uid, 5U);
  EXPECT_EQ(attr.gid, 1U);
}

TEST_F(IdentityTest, groups_of_a_creation_are_translated_too) {
  const Identity identity({{}, GidMap({shift(0, 80000, 100)}, {})});
  const std::uint32_t record[] = {20, abi::kExtGroups, 2, 5, 5000};
  auto creation = fuse::Creation::parse(std::as_bytes(std::span(record))).value();
  EXPECT_TRUE(identity.translate_groups(creation).ok());
  EXPECT_EQ(creation.groups()[0], 80005U);
  EXPECT_EQ(creation.groups()[1], 5000U);
}

TEST_F(IdentityTest, a_rule_by_path_says_what_is_shown_and_who_creates) {
  ASSERT_EQ(::mkdir((dir_ / "a").c_str(), 0700), 0);
  IdentityOptions options;
  options.rules = {{"/a", {GuestUid{10}, GuestGid{11}, HostUid{20}, HostGid{21}, 022}}};
  const Identity identity(std::move(options));
  const UniqueFd a = open(dir_ / "a");
  EXPECT_EQ(shown(identity, a).uid, 10U);
  EXPECT_EQ(shown(identity, a).mode, mode_t{S_IFDIR | 0755});
  EXPECT_EQ(shown(identity, root_).uid, ::geteuid());
  EXPECT_EQ(identity.creator(call(5, 5), proc_, root_.get(), a.get()).value().uid, 20U);
  EXPECT_EQ(identity.creator(call(5, 5), proc_, root_.get(), root_.get()).value().uid, 5U);
}

TEST_F(IdentityTest, owner_mode_and_type_can_be_kept_in_an_attribute) {
  IdentityOptions options;
  options.override_stat = true;
  const Identity identity(std::move(options));
  EXPECT_TRUE(identity.looks_at_objects());
  EXPECT_EQ(identity.creator(call(5, 7), proc_, root_.get(), root_.get()).value().uid, 0U);
  EXPECT_EQ(identity.host_mode(S_IFCHR | 0666), mode_t{S_IFREG | 0600});
  EXPECT_EQ(identity.host_mode(S_IFREG | 04111), mode_t{S_IFREG | 0711});
  EXPECT_EQ(identity.host_mode(S_IFDIR | 01055), mode_t{S_IFDIR | 0755});

  const UniqueFd fd = file("null", 0600);
  ASSERT_TRUE(identity.created(call(5, 7), S_IFCHR | 0666, 0x103, proc_, fd.get()).ok());
  const abi::Attr attr = shown(identity, fd);
  EXPECT_EQ(attr.uid, 5U);
  EXPECT_EQ(attr.gid, 7U);
  EXPECT_EQ(attr.mode, mode_t{S_IFCHR | 0666});
  EXPECT_EQ(attr.rdev, 0x103U);
}

TEST_F(IdentityTest, chown_and_chmod_change_the_attribute_as_the_calls_would_the_file) {
  IdentityOptions options;
  options.override_stat = true;
  const Identity identity(std::move(options));
  const UniqueFd fd = file("f", 0644);
  ASSERT_TRUE(identity.override_mode(06755, proc_, fd.get()).ok());
  EXPECT_EQ(shown(identity, fd).mode, mode_t{S_IFREG | 06755});
  struct stat host{};
  ASSERT_EQ(::stat((dir_ / "f").c_str(), &host), 0);
  EXPECT_EQ(host.st_mode & 07777, mode_t{0755});  // no setuid bit of ours
  ASSERT_TRUE(identity.override_owner({1234, std::nullopt}, proc_, fd.get()).ok());
  EXPECT_EQ(shown(identity, fd).uid, 1234U);
  EXPECT_EQ(shown(identity, fd).gid, host.st_gid);
  EXPECT_EQ(shown(identity, fd).mode, mode_t{S_IFREG | 0755});  // chown(2) takes setuid and setgid away
  EXPECT_EQ(identity.override_owner({0xffffffff, std::nullopt}, proc_, fd.get()).error(), Errno(EINVAL));
}

TEST_F(IdentityTest, a_value_that_is_wrong_counts_as_none) {
  IdentityOptions options;
  options.override_stat = true;
  const Identity identity(std::move(options));
  const UniqueFd fd = file("f", 0640);
  const std::string bad = "0:0:nonsense";
  ASSERT_EQ(::setxattr((dir_ / "f").c_str(), kOverrideStatName, bad.data(), bad.size(), 0), 0);
  EXPECT_EQ(shown(identity, fd).mode, mode_t{S_IFREG | 0640});
}

}  // namespace
}  // namespace vfs::passthrough
