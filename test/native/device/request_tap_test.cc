// What is told of requests to somebody who watches: which, in what order, and how much of it is kept.
#include "device/request_tap.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::device {
namespace {

using abi::Opcode;
using fuse::Tapped;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseRequest;
using test::getattr_request;

constexpr std::uint64_t kEverything = ~std::uint64_t{0};
constexpr std::uint64_t kDirectory = 7;

std::uint64_t bit_of(Opcode opcode) {
  return std::uint64_t{1} << fuse::slot_of_opcode(static_cast<std::uint32_t>(opcode));
}

class RequestTapTest : public ::testing::Test {
 protected:
  // One session, in which the guest knows /dir.
  void watch(const TapOptions& options, bool read_only = false) {
    fs_.entry.nodeid = kDirectory;
    fs_.entry.attr.mode = S_IFDIR | 0755;
    server_ = std::make_unique<fuse::Server>(policy_, fuse::ServerOptions{.read_only = read_only});
    client_ = std::make_unique<FuseClient>(*server_);
    client_->begin_session();
    client_->call(FuseRequest(Opcode::kLookup).name("dir"));
    tap_ = std::make_unique<RequestTap>(options, &policy_, [this] { ++told_; });
    server_->set_tap(tap_.get());
  }
  // The only record there is.
  Tapped only() {
    const auto records = tap_->take().records;
    EXPECT_EQ(records.size(), 1U);
    return records.empty() ? Tapped{} : records.front();
  }
  void write(std::uint64_t handle, const std::string& data) {
    const auto size = static_cast<std::uint32_t>(data.size());
    client_->call(FuseRequest(Opcode::kWrite, kDirectory).with(abi::WriteIn{handle, 0, size, 0, 0, 0, 0}).text(data));
  }
  // What the record of a RELEASE says was written.
  std::uint64_t released(std::uint64_t handle) {
    tap_->take();
    client_->call(FuseRequest(Opcode::kRelease, kDirectory).with(abi::ReleaseIn{handle, 0, 0, 0}));
    return only().written_bytes;
  }

  FakeFileSystem fs_;
  policy::PolicyFs policy_{fs_, policy::PolicyOptions{.policy = {}}};
  std::unique_ptr<fuse::Server> server_;
  std::unique_ptr<FuseClient> client_;
  std::unique_ptr<RequestTap> tap_;
  int told_ = 0;
};

TEST_F(RequestTapTest, beginning_and_end_are_told_in_order) {
  watch({.operations = kEverything, .begins = true});
  fs_.before = [](const auto&) -> Status { return Errno(ENOENT); };
  client_->call(FuseRequest(Opcode::kLookup, kDirectory).caller(1, 2, 3).unique(44).name("missing"));
  const auto batch = tap_->take();
  EXPECT_EQ(batch.lost, 0U);
  ASSERT_EQ(batch.records.size(), 2U);
  for (const Tapped& each : batch.records) {
    EXPECT_EQ(each.unique, 44U);
    EXPECT_EQ(each.node, kDirectory);
    EXPECT_EQ(each.uid, 1U);
    EXPECT_EQ(each.gid, 2U);
    EXPECT_EQ(each.pid, 3U);
    EXPECT_EQ(each.path, "/dir");
    EXPECT_EQ(text_of(each.parameters), std::string("missing\0", 8));
    EXPECT_EQ(each.names_at, 0U);
  }
  EXPECT_FALSE(batch.records[0].answered);
  EXPECT_TRUE(batch.records[1].answered);
  EXPECT_EQ(batch.records[1].error, ENOENT);
}

TEST_F(RequestTapTest, only_what_was_asked_for_is_told) {
  watch({.operations = bit_of(Opcode::kGetattr)});
  client_->call(FuseRequest(Opcode::kLookup).name("dir"));
  client_->call(getattr_request());
  EXPECT_EQ(only().opcode, static_cast<std::uint32_t>(Opcode::kGetattr));
}

TEST_F(RequestTapTest, what_is_refused_is_told_with_its_parameters) {
  watch({.operations = kEverything}, true);
  client_->call(FuseRequest(Opcode::kUnlink).name("file"));
  const Tapped refused = only();
  EXPECT_EQ(refused.error, EROFS);
  EXPECT_EQ(refused.path, "/");
  EXPECT_EQ(text_of(refused.parameters), std::string("file\0", 5));
  client_->call(FuseRequest(4000));
  const Tapped unknown = only();
  EXPECT_EQ(unknown.error, ENOSYS);
  EXPECT_EQ(unknown.opcode, 4000U);
  EXPECT_TRUE(unknown.path.empty());
}

TEST_F(RequestTapTest, second_node_has_its_path_if_the_request_names_one) {
  watch({.operations = kEverything});
  // Nothing that the policy would have to follow happens.
  fs_.before = [](const auto&) -> Status { return Errno(EACCES); };
  client_->call(FuseRequest(Opcode::kRename).with(abi::RenameIn{kDirectory}).name("a").name("b"));
  EXPECT_EQ(only().second_path, "/dir");
  client_->call(FuseRequest(Opcode::kRename2).with(abi::Rename2In{kDirectory, 0, 0}).name("a").name("b"));
  EXPECT_EQ(only().second_path, "/dir");
  for (const Opcode opcode : {Opcode::kCopyFileRange, Opcode::kCopyFileRange64}) {
    client_->call(FuseRequest(opcode).with(abi::CopyFileRangeIn{1, 0, kDirectory, 2, 0, 1, 0}));
    EXPECT_EQ(only().second_path, "/dir");
  }
  client_->call(FuseRequest(Opcode::kLink).with(abi::LinkIn{kDirectory}).name("c"));
  EXPECT_EQ(only().second_path, "/dir");
  client_->call(FuseRequest(Opcode::kLink).with(abi::LinkIn{12345}).name("c"));
  EXPECT_EQ(only().second_path, "") << "nobody knows the node";
  client_->call(getattr_request());
  EXPECT_EQ(only().second_path, "") << "the operation has none";
}

TEST_F(RequestTapTest, parameters_that_are_cut_short_have_no_second_node) {
  watch({.operations = kEverything});
  for (const Opcode opcode : {Opcode::kRename, Opcode::kRename2, Opcode::kLink, Opcode::kCopyFileRange}) {
    EXPECT_EQ(client_->call(FuseRequest(opcode).text("short")).error(), EINVAL);
    const Tapped record = only();
    EXPECT_EQ(record.second_path, "");
    EXPECT_EQ(record.error, EINVAL);
  }
}

TEST_F(RequestTapTest, without_a_policy_nobody_knows_paths) {
  watch({.operations = 0});
  RequestTap tap({.operations = kEverything}, nullptr, [] {});
  server_->set_tap(&tap);
  client_->call(getattr_request(kDirectory));
  const auto records = tap.take().records;
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].path, "");
}

TEST_F(RequestTapTest, names_of_setxattr_are_behind_the_structure_that_was_agreed) {
  watch({.operations = bit_of(Opcode::kSetxattr)});
  client_->call(FuseRequest(Opcode::kSetxattr).with(abi::SetxattrInCompat{1, 0}).name("user.n").text("v"));
  EXPECT_EQ(only().names_at, sizeof(abi::SetxattrInCompat));
  client_->begin_session(static_cast<std::uint32_t>(abi::init_flag::kSetxattrExt));
  client_->call(FuseRequest(Opcode::kSetxattr).with(abi::SetxattrIn{1, 0, 0, 0}).name("user.n").text("v"));
  EXPECT_EQ(only().names_at, sizeof(abi::SetxattrIn));
}

TEST_F(RequestTapTest, release_says_what_was_written_by_the_handle_and_forgets_it) {
  watch({.operations = bit_of(Opcode::kRelease)});
  write(3, "four");
  write(3, "more");
  write(4, "x");
  EXPECT_EQ(released(3), 8U);
  EXPECT_EQ(released(3), 0U);
  EXPECT_EQ(released(4), 1U);
}

TEST_F(RequestTapTest, handles_end_with_their_session_and_failed_writes_do_not_count) {
  watch({.operations = bit_of(Opcode::kRelease)});
  write(3, "four");
  client_->begin_session();
  EXPECT_EQ(released(3), 0U);
  fs_.on_write = [](const auto&, const auto&, GuestReader&) -> Result<std::uint32_t> { return Errno(ENOSPC); };
  write(3, "four");
  EXPECT_EQ(released(3), 0U);
}

TEST_F(RequestTapTest, release_that_is_cut_short_has_written_nothing) {
  watch({.operations = bit_of(Opcode::kRelease)});
  write(0, "four");
  client_->call(FuseRequest(Opcode::kRelease).text("short"));
  EXPECT_EQ(only().written_bytes, 0U);
}

TEST_F(RequestTapTest, who_fetches_is_told_once_until_it_does) {
  watch({.operations = kEverything});
  EXPECT_EQ(told_, 0);
  client_->call(getattr_request());
  client_->call(getattr_request());
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(tap_->take().records.size(), 2U);
  client_->call(getattr_request());
  EXPECT_EQ(told_, 2);
}

TEST_F(RequestTapTest, records_beyond_the_bound_are_lost_and_counted_until_the_batch_is_taken) {
  watch({.operations = kEverything});
  for (std::size_t i = 0; i < RequestTap::kRecordsMax + 3; ++i) client_->call(getattr_request());
  const auto full = tap_->take();
  EXPECT_EQ(full.records.size(), RequestTap::kRecordsMax);
  EXPECT_EQ(full.lost, 3U);
  client_->call(getattr_request());
  const auto next = tap_->take();
  EXPECT_EQ(next.records.size(), 1U);
  EXPECT_EQ(next.lost, 0U);
  EXPECT_EQ(tap_->lost(), 3U);
}

TEST_F(RequestTapTest, long_texts_are_bounded_and_the_gap_is_behind_the_last_record) {
  watch({.operations = kEverything});
  FuseRequest longest(Opcode::kSymlink);
  longest.name(std::string(255, 'n')).name(std::string(4095, 't'));
  const std::size_t kept = RequestTap::kTextBytesMax / (256 + 4096 + 1);  // the path is "/"
  for (std::size_t i = 0; i < kept + 1; ++i) client_->call(longest);
  client_->call(getattr_request());  // would fit, but is behind the gap
  const auto batch = tap_->take();
  EXPECT_EQ(batch.records.size(), kept);
  EXPECT_EQ(batch.lost, 2U);
}

TEST_F(RequestTapTest, parameters_longer_than_two_names_are_cut) {
  watch({.operations = bit_of(Opcode::kSetxattr)});
  const std::string value(60000, 'v');
  client_->call(FuseRequest(Opcode::kSetxattr).with(abi::SetxattrInCompat{60000, 0}).name("user.n").text(value));
  const Tapped record = only();
  EXPECT_EQ(record.error, 0);
  EXPECT_EQ(record.parameters.size(), 4608U);
}

}  // namespace
}  // namespace vfs::device
