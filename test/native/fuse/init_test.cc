// Sessions: INIT of every version, what goes before it and what comes after it.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "fuse/server.h"
#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

namespace flag = abi::init_flag;
using abi::Opcode;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseReply;
using test::FuseRequest;
using test::getattr_request;
using test::init_request;
using test::Recorded;

class Session : public ::testing::Test {
 protected:
  abi::InitOut init(const FuseRequest& request) {
    const FuseReply reply = client_.call(request);
    EXPECT_EQ(reply.error(), 0);
    return reply.error() == 0 ? reply.as<abi::InitOut>() : abi::InitOut{};
  }

  FakeFileSystem fs_;
  Server server_{fs_, ServerOptions{}};
  FuseClient client_{server_};
};

TEST_F(Session, every_minor_since_27_is_agreed_to) {
  for (std::uint32_t minor = 27; minor <= 46; ++minor) {
    const abi::InitOut out = init(init_request(minor));
    EXPECT_EQ(out.major, 7U);
    EXPECT_EQ(out.minor, minor);
    EXPECT_EQ(client_.call(getattr_request()).error(), 0);
    EXPECT_EQ(fs_.last().call.negotiated.minor, minor);
  }
}

TEST_F(Session, newer_minor_gets_ours) {
  EXPECT_EQ(init(init_request(99)).minor, 46U);
  EXPECT_EQ(init(init_request(0xffffffff)).minor, 46U);
}

TEST_F(Session, older_version_is_eproto_and_no_session) {
  EXPECT_EQ(client_.call(init_request(26)).error(), EPROTO);
  EXPECT_EQ(client_.call(init_request(0)).error(), EPROTO);
  EXPECT_EQ(client_.call(init_request(46, 0, 6)).error(), EPROTO);
  EXPECT_EQ(client_.call(init_request(0, 0, 0)).error(), EPROTO);
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
  EXPECT_EQ(fs_.count("init"), 0U);
}

TEST_F(Session, newer_major_is_told_ours_and_begins_nothing) {
  const abi::InitOut out = init(init_request(3, 0, 8));
  EXPECT_EQ(out.major, 7U);
  EXPECT_EQ(out.minor, 46U);
  EXPECT_EQ(fs_.count("init"), 0U);
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
  EXPECT_EQ(init(init_request(46)).major, 7U);
  EXPECT_EQ(client_.call(getattr_request()).error(), 0);
}

TEST_F(Session, refused_version_leaves_the_session_as_it_is) {
  client_.begin_session();
  EXPECT_EQ(client_.call(init_request(26)).error(), EPROTO);
  EXPECT_EQ(client_.call(getattr_request()).error(), 0);
}

TEST_F(Session, flags_are_what_both_sides_have) {
  std::uint64_t offered = 0;
  fs_.on_init = [&](std::uint32_t, std::uint64_t flags) -> Result<std::uint64_t> {
    offered = flags;
    return flag::kParallelDirops | flag::kBigWrites;
  };
  const auto out = init(init_request(46, static_cast<std::uint32_t>(flag::kBigWrites | flag::kMaxPages | 1)));
  EXPECT_EQ(offered, flag::kBigWrites | flag::kMaxPages | 1);
  EXPECT_EQ(out.flags, flag::kBigWrites | flag::kMaxPages) << "neither what was not offered nor what was not wanted";
  client_.call(getattr_request());
  EXPECT_EQ(fs_.last().call.negotiated.flags, flag::kBigWrites | flag::kMaxPages);
}

TEST_F(Session, upper_flags_travel_in_flags2_with_init_ext) {
  abi::InitInExt extension{};
  extension.flags2 = 0x80000003;
  FuseRequest request = init_request(46, static_cast<std::uint32_t>(flag::kInitExt));
  request.with(extension);
  const abi::InitOut out = init(request);
  EXPECT_EQ(out.flags, flag::kInitExt);
  EXPECT_EQ(out.flags2, 0x80000003U);
}

TEST_F(Session, flags2_without_init_ext_is_ignored) {
  abi::InitInExt extension{};
  extension.flags2 = 0xffffffff;
  FuseRequest request = init_request(46, static_cast<std::uint32_t>(flag::kBigWrites));
  request.with(extension);
  const abi::InitOut out = init(request);
  EXPECT_EQ(out.flags, flag::kBigWrites);
  EXPECT_EQ(out.flags2, 0U);
}

TEST_F(Session, init_ext_without_the_extension_has_no_upper_flags) {
  const abi::InitOut out = init(init_request(46, static_cast<std::uint32_t>(flag::kInitExt)));
  EXPECT_EQ(out.flags2, 0U);
}

TEST_F(Session, limits_are_told) {
  const abi::InitOut out = init(init_request(46, static_cast<std::uint32_t>(flag::kMaxPages)));
  EXPECT_EQ(out.max_write, 1U << 20);
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_EQ(out.max_readahead, 1U << 17);
  EXPECT_EQ(out.time_gran, 1U);
  EXPECT_GT(out.max_background, 0U);
  EXPECT_GT(out.congestion_threshold, 0U);
  EXPECT_LE(out.congestion_threshold, out.max_background);
}

TEST_F(Session, more_than_a_mebibyte_is_agreed_to_in_pages) {
  Server large{fs_, ServerOptions{.write_bytes_max = 4U << 20}};
  FuseClient client{large};
  const auto agreed = [&](std::uint64_t flags) {
    return client.call(init_request(46, static_cast<std::uint32_t>(flags))).as<abi::InitOut>();
  };
  EXPECT_EQ(agreed(flag::kMaxPages).max_write, 4U << 20);
  EXPECT_EQ(agreed(flag::kMaxPages).max_pages, 1024U);
  EXPECT_EQ(large.write_bytes_max(), 4U << 20);
  // A guest without MAX_PAGES has 32 pages in a request.
  EXPECT_EQ(agreed(0).max_write, 32U * 4096);
  EXPECT_EQ(large.write_bytes_max(), 32U * 4096);
}

TEST_F(Session, as_many_pages_as_their_number_can_say) {
  Server huge{fs_, ServerOptions{.write_bytes_max = 1U << 30}};
  FuseClient client{huge};
  const auto out = client.call(init_request(46, static_cast<std::uint32_t>(flag::kMaxPages))).as<abi::InitOut>();
  EXPECT_EQ(out.max_pages, 65535U);
  EXPECT_EQ(out.max_write, 65535U * 4096);
}

TEST_F(Session, requests_before_init_are_eio_and_reach_nobody) {
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name("a")).error(), EIO);
  EXPECT_TRUE(client_.call(FuseRequest(Opcode::kForget).with(abi::ForgetIn{1}), 0).answered);
  EXPECT_TRUE(fs_.calls().empty());
}

TEST_F(Session, unknown_opcode_before_init_is_enosys) { EXPECT_EQ(client_.call(FuseRequest(4000)).error(), ENOSYS); }

TEST_F(Session, operation_of_a_newer_minor_than_was_agreed_is_enosys) {
  const auto syncfs = FuseRequest(Opcode::kSyncfs).with(abi::SyncfsIn{});
  init(init_request(33));
  EXPECT_EQ(client_.call(syncfs).error(), ENOSYS);
  EXPECT_EQ(fs_.count("syncfs"), 0U);
  init(init_request(34));
  EXPECT_EQ(client_.call(syncfs).error(), 0);
}

TEST_F(Session, requests_after_destroy_are_eio) {
  client_.begin_session();
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kDestroy)).error(), 0);
  EXPECT_EQ(fs_.last().method, "destroy");
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
  client_.begin_session();
  EXPECT_EQ(client_.call(getattr_request()).error(), 0);
}

TEST_F(Session, end_session_is_a_destroy_without_a_request) {
  client_.begin_session();
  server_.end_session();
  EXPECT_EQ(fs_.last().method, "destroy");
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
}

TEST_F(Session, second_init_starts_a_new_number) {
  client_.begin_session();
  client_.call(getattr_request());
  EXPECT_EQ(fs_.last().call.session, 1U);
  client_.begin_session();
  client_.call(getattr_request());
  EXPECT_EQ(fs_.last().call.session, 2U);
}

TEST_F(Session, init_that_the_file_system_refuses_begins_nothing) {
  client_.begin_session();
  fs_.before = [](const Recorded& recorded) -> Status {
    return recorded.method == "init" ? Status(Errno(EIO)) : ok_status();
  };
  EXPECT_EQ(client_.call(init_request()).error(), EIO);
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
}

TEST_F(Session, resumed_on_the_terms_that_init_settled) {
  fs_.kept = SessionTerms{31, 32 * 4096, flag::kBigWrites | flag::kParallelDirops, flag::kBigWrites, flag::kBigWrites};
  server_.resume_session();
  EXPECT_EQ(client_.call(getattr_request()).error(), 0);
  EXPECT_EQ(fs_.last().call.session, 1U);
  EXPECT_EQ(fs_.last().call.negotiated.minor, 31U);
  EXPECT_EQ(fs_.last().call.negotiated.flags, flag::kBigWrites);
  EXPECT_EQ(server_.write_bytes_max(), 32U * 4096);
}

TEST_F(Session, terms_that_this_server_would_not_settle_are_not_resumed) {
  const SessionTerms good{31, 32 * 4096, flag::kBigWrites, flag::kBigWrites, flag::kBigWrites};
  std::vector<SessionTerms> bad(5, good);
  bad[0].minor = 26;
  bad[1].minor = abi::kKernelMinorVersion + 1;
  bad[2].flags = 0;
  bad[3].flags |= flag::kParallelDirops;
  bad[4].write_bytes_max += 4096;
  for (const SessionTerms& terms : bad) {
    fs_.kept = terms;
    server_.resume_session();
    EXPECT_EQ(client_.call(getattr_request()).error(), EIO) << &terms - bad.data();
  }
  fs_.kept = std::nullopt;
  server_.resume_session();
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO) << "there is nothing to go on with";
}

TEST_F(Session, init_cut_short_is_einval) {
  FuseRequest request(Opcode::kInit, 0);
  request.with(std::uint32_t{7}).with(std::uint32_t{46}).with(std::uint32_t{0});
  EXPECT_EQ(client_.call(request).error(), EINVAL);
}

}  // namespace
}  // namespace vfs::fuse
