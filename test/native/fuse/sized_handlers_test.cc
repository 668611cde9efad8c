#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "fuse/server.h"
#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

using abi::Opcode;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseReply;
using test::FuseRequest;

class SizedHandlers : public ::testing::Test {
 protected:
  SizedHandlers() : server_(fs_, ServerOptions{}), client_(server_) { client_.begin_session(); }

  static FuseRequest get(std::uint32_t size) {
    return FuseRequest(Opcode::kGetxattr).with(abi::GetxattrIn{size, 0}).name("user.n");
  }
  static FuseRequest set(std::uint32_t size, const std::string& value) {
    return FuseRequest(Opcode::kSetxattr).with(abi::SetxattrInCompat{size, 0}).name("user.n").text(value);
  }
  static FuseRequest ioctl(std::uint32_t in_size, std::uint32_t out_size, const std::string& data) {
    return FuseRequest(Opcode::kIoctl).with(abi::IoctlIn{1, 0, 0x1234, 0, in_size, out_size}).text(data);
  }

  FakeFileSystem fs_;
  Server server_;
  FuseClient client_;
};

TEST_F(SizedHandlers, xattr_with_size_zero_is_asked_for_its_length) {
  fs_.xattr = std::string(300, 'v');
  const FuseReply reply = client_.call(get(0));
  EXPECT_EQ(reply.as<abi::GetxattrOut>().size, 300U);
  const FuseReply list = client_.call(FuseRequest(Opcode::kListxattr).with(abi::GetxattrIn{0, 0}));
  EXPECT_EQ(list.as<abi::GetxattrOut>().size, 300U);
}

TEST_F(SizedHandlers, xattr_that_fits_and_one_that_does_not) {
  fs_.xattr = std::string(300, 'v');
  EXPECT_EQ(client_.call(get(300)).text(), fs_.xattr);
  EXPECT_EQ(client_.call(get(299)).error(), ERANGE);
  fs_.xattr = "";
  EXPECT_EQ(client_.call(get(10)).text(), "");
}

TEST_F(SizedHandlers, xattr_sizes_of_the_guest_are_bounded_by_its_room_and_by_the_largest_value) {
  fs_.xattr = std::string(65536, 'v');
  EXPECT_EQ(client_.call(get(65537), 16 + 65536).error(), EINVAL);
  EXPECT_EQ(client_.call(get(0xffffffff), 16 + 65536).error(), EINVAL);
  EXPECT_EQ(client_.call(get(100000), 16 + 100000).text(), fs_.xattr);
}

TEST_F(SizedHandlers, xattr_names_are_bytes_of_1_to_255) {
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kRemovexattr).name("user./..")).error(), 0);
  EXPECT_EQ(fs_.last().names.front(), "user./..");
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kRemovexattr).name(std::string(255, 'n'))).error(), 0);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kRemovexattr).name(std::string(256, 'n'))).error(), ERANGE);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kRemovexattr).name("")).error(), ERANGE);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kRemovexattr).text("user.n")).error(), EINVAL);
}

TEST_F(SizedHandlers, setxattr_takes_exactly_its_value) {
  const std::string longest(65536, 'v');
  EXPECT_EQ(client_.call(set(65536, longest)).error(), 0);
  EXPECT_EQ(fs_.last().names, (std::vector<std::string>{"user.n", longest}));
  EXPECT_EQ(client_.call(set(0, "")).error(), 0);
  EXPECT_EQ(fs_.last().names, (std::vector<std::string>{"user.n", ""}));
  fs_.forget_calls();
  EXPECT_EQ(client_.call(set(6, "value")).error(), EINVAL);
  EXPECT_EQ(client_.call(set(65537, longest + "v")).error(), E2BIG);
  EXPECT_EQ(client_.call(set(0xffffffff, "value")).error(), E2BIG);
  EXPECT_TRUE(fs_.calls().empty());
}

TEST_F(SizedHandlers, setxattr_has_the_longer_structure_where_that_was_agreed) {
  client_.begin_session(static_cast<std::uint32_t>(abi::init_flag::kSetxattrExt));
  FuseRequest request(Opcode::kSetxattr);
  request.with(abi::SetxattrIn{5, 1, abi::kSetxattrAclKillSgid, 0}).name("user.n").text("value");
  EXPECT_EQ(client_.call(request).error(), 0);
  EXPECT_EQ(fs_.last().as<abi::SetxattrIn>().setxattr_flags, abi::kSetxattrAclKillSgid);
  EXPECT_EQ(fs_.last().names, (std::vector<std::string>{"user.n", "value"}));
}

TEST_F(SizedHandlers, setxattr_and_ioctl_that_are_cut_short_are_einval) {
  const auto cut = [this](Opcode opcode, std::size_t structure_bytes) {
    return client_.call(FuseRequest(opcode).text(std::string(structure_bytes - 1, '\0'))).error();
  };
  fs_.forget_calls();
  EXPECT_EQ(cut(Opcode::kSetxattr, sizeof(abi::SetxattrInCompat)), EINVAL);
  EXPECT_EQ(cut(Opcode::kIoctl, sizeof(abi::IoctlIn)), EINVAL);
  FuseRequest open_end(Opcode::kSetxattr);
  EXPECT_EQ(client_.call(open_end.with(abi::SetxattrInCompat{0, 0}).text("user.n")).error(), EINVAL);
  EXPECT_TRUE(fs_.calls().empty());
  client_.begin_session(static_cast<std::uint32_t>(abi::init_flag::kSetxattrExt));
  fs_.forget_calls();
  EXPECT_EQ(cut(Opcode::kSetxattr, sizeof(abi::SetxattrIn)), EINVAL);
  EXPECT_TRUE(fs_.calls().empty());
}

TEST_F(SizedHandlers, a_long_request_leaves_no_memory_behind_and_the_next_one_works) {
  EXPECT_EQ(client_.call(set(65536, std::string(65536, 'v'))).error(), 0);
  EXPECT_EQ(client_.call(set(1, "v")).error(), 0);
  EXPECT_EQ(fs_.last().names.back(), "v");
}

TEST_F(SizedHandlers, ioctl_answers_with_its_result_and_its_bytes) {
  fs_.ioctl_answer = {-25, 0};
  const FuseReply failed = client_.call(ioctl(0, 64, ""));
  EXPECT_EQ(failed.as<abi::IoctlOut>().result, -25);
  fs_.ioctl_answer = {0, 5};
  const FuseReply reply = client_.call(ioctl(5, 5, "bytes"));
  ASSERT_EQ(reply.payload.size(), sizeof(abi::IoctlOut) + 5);
  EXPECT_EQ(reply.text().substr(sizeof(abi::IoctlOut)), "bytes");
}

TEST_F(SizedHandlers, ioctl_sizes_must_be_true) {
  fs_.forget_calls();
  EXPECT_EQ(client_.call(ioctl(6, 0, "bytes")).error(), EINVAL);
  EXPECT_EQ(client_.call(ioctl(0xffffffff, 0, "bytes")).error(), EINVAL);
  EXPECT_EQ(client_.call(ioctl(0, 4096, ""), 4096).error(), EINVAL);
  EXPECT_EQ(client_.call(ioctl(0, 0xffffffff, ""), 4096).error(), EINVAL);
  EXPECT_EQ(client_.call(ioctl(0, 0, ""), 16 + 15).error(), EINVAL);
  EXPECT_TRUE(fs_.calls().empty());
}

TEST_F(SizedHandlers, copy_file_range_of_32_bits_never_answers_more) {
  FuseRequest request(Opcode::kCopyFileRange);
  request.with(abi::CopyFileRangeIn{1, 0, 2, 2, 0, ~std::uint64_t{0}, 0});
  EXPECT_EQ(client_.call(request).error(), 0);
  EXPECT_EQ(fs_.last().as<abi::CopyFileRangeIn>().len, 0xFFFFF000U);
  FuseRequest wide(Opcode::kCopyFileRange64);
  wide.with(abi::CopyFileRangeIn{1, 0, 2, 2, 0, ~std::uint64_t{0}, 0});
  EXPECT_EQ(client_.call(wide).error(), 0);
  EXPECT_EQ(fs_.last().as<abi::CopyFileRangeIn>().len, ~std::uint64_t{0});
}

TEST_F(SizedHandlers, creation_has_its_extensions_with_and_without_a_length_in_the_header) {
  const std::string record("\x28\0\0\0\1\0\0\0\5\0\0\0\0\0\0\0security.selinux\0a:b:c\0\0", 40);
  for (const std::uint16_t units : {std::uint16_t{0}, std::uint16_t{5}}) {
    FuseRequest request(Opcode::kMkdir);
    request.with(abi::MkdirIn{0755, 0}).name("d").text(record).claim_extensions(units);
    EXPECT_EQ(client_.call(request).error(), 0);
    EXPECT_EQ(fs_.last().names, (std::vector<std::string>{"d", "security.selinux", "a:b:c"})) << units;
  }
  FuseRequest wrong(Opcode::kMkdir);
  wrong.with(abi::MkdirIn{0755, 0}).name("d").text(record.substr(0, 39)).claim_extensions(0);
  EXPECT_EQ(client_.call(wrong).error(), EINVAL);
}

}  // namespace
}  // namespace vfs::fuse
