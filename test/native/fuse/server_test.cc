// Requests that lie, requests at the wrong time, and errors on their way to the guest.
#include "fuse/server.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/sys.h"
#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

using abi::Opcode;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseReply;
using test::FuseRequest;
using test::getattr_request;
using test::Recorded;

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() { client_.begin_session(static_cast<std::uint32_t>(abi::init_flag::kMaxPages)); }

  FakeFileSystem fs_;
  Server server_{fs_, ServerOptions{}};
  FuseClient client_{server_};
};

using FuseServer = ServerTest;

TEST_F(FuseServer, unknown_opcode_is_enosys) {
  for (const std::uint32_t opcode : {0U, 7U, 19U, 40U, 54U, 62U, 63U, 64U, 4096U, 0x7fffffffU, 0xfffffffdU}) {
    EXPECT_EQ(client_.call(FuseRequest(opcode)).error(), ENOSYS) << opcode;
  }
  EXPECT_EQ(client_.counters().operations[0], 11U);
  EXPECT_EQ(client_.counters().errors[0], 11U);
  EXPECT_EQ(client_.counters().errors_by_number[0], (std::map<int, std::uint64_t>{{ENOSYS, 11}}));
}

TEST_F(FuseServer, errors_are_counted_by_number_and_summed_over_threads) {
  Counters one;
  Counters two;
  const std::size_t slot = slot_of_opcode(static_cast<std::uint32_t>(Opcode::kLookup));
  for (const int error : {0, ENOENT, ENOENT, EACCES, 511}) one.count(slot, error);
  for (const int error : {ENOENT, 0}) two.count(slot, error);
  Counters::Snapshot sum;
  one.add_to(sum);
  two.add_to(sum);
  EXPECT_EQ(sum.operations[slot], 7U);
  EXPECT_EQ(sum.errors[slot], 5U);
  // A number that Linux has not is counted at 0.
  EXPECT_EQ(sum.errors_by_number[slot], (std::map<int, std::uint64_t>{{0, 1}, {ENOENT, 3}, {EACCES, 1}}));
}

TEST_F(FuseServer, chain_shorter_than_a_header_is_dropped_and_counted) {
  const std::vector<std::byte> bytes = getattr_request().bytes();
  for (const std::size_t length : {0U, 1U, 39U}) {
    const FuseReply reply = client_.call_raw(ByteSpan(bytes).first(length), 4096);
    EXPECT_EQ(reply.written, 0U);
    EXPECT_FALSE(reply.answered);
  }
  EXPECT_EQ(client_.counters().dropped, 3U);
}

TEST_F(FuseServer, no_room_for_a_header_is_dropped_before_anything_happens) {
  for (const std::uint32_t room : {0U, 1U, 15U}) {
    const FuseReply reply = client_.call(getattr_request(), room);
    EXPECT_FALSE(reply.answered);
    EXPECT_EQ(reply.written, 0U);
  }
  EXPECT_EQ(fs_.count("getattr"), 0U);
  EXPECT_EQ(client_.counters().dropped, 3U);
}

TEST_F(FuseServer, room_for_a_header_alone_takes_errors_and_empty_replies) {
  EXPECT_EQ(client_.call(getattr_request(), 16).error(), ENOBUFS);
  EXPECT_EQ(client_.call(test::fsync_request(), 16).error(), 0);
}

TEST_F(FuseServer, length_shorter_than_the_header_is_einval) {
  for (const std::uint32_t length : {0U, 39U}) {
    EXPECT_EQ(client_.call(getattr_request().claim_length(length)).error(), EINVAL);
  }
  EXPECT_EQ(fs_.count("getattr"), 0U);
}

TEST_F(FuseServer, length_beyond_the_chain_is_einval) {
  for (const std::uint32_t length : {57U, 0x7fffffffU, 0xffffffffU}) {
    EXPECT_EQ(client_.call(getattr_request().claim_length(length)).error(), EINVAL) << length;
  }
  EXPECT_EQ(fs_.count("getattr"), 0U);
}

TEST_F(FuseServer, bytes_behind_the_length_are_not_parameters) {
  // The name is in the chain, but the header says that the request ends before it.
  FuseRequest request(Opcode::kLookup);
  request.name("hidden").claim_length(sizeof(abi::InHeader));
  EXPECT_EQ(client_.call(request).error(), EINVAL);
  EXPECT_EQ(fs_.count("lookup"), 0U);
}

TEST_F(FuseServer, extensions_are_cut_off) {
  FuseRequest request(Opcode::kLookup);
  request.name("a").text(std::string(22, 'x')).claim_extensions(2);
  EXPECT_EQ(client_.call(request).error(), 0);
  FuseRequest swallowed(Opcode::kLookup);
  swallowed.name("1234567").claim_extensions(1);  // the extension is the whole body
  EXPECT_EQ(client_.call(swallowed).error(), EINVAL);
}

TEST_F(FuseServer, extensions_longer_than_the_body_are_einval) {
  FuseRequest request(Opcode::kLookup);
  request.name("1234567").claim_extensions(2);
  EXPECT_EQ(client_.call(request).error(), EINVAL);
  request.claim_extensions(0xffff);
  EXPECT_EQ(client_.call(request).error(), EINVAL);
}

TEST_F(FuseServer, parameters_beyond_16_kib_are_e2big) {
  FuseRequest request(Opcode::kLookup);
  request.name(std::string(16 * 1024, 'n'));
  EXPECT_EQ(client_.call(request).error(), E2BIG);
}

TEST_F(FuseServer, bad_names_reach_no_method) {
  const std::string longest(255, 'n');
  for (const std::string& name : {std::string("."), std::string(".."), std::string(), std::string("a/b")}) {
    if (!name.starts_with('.')) {  // LOOKUP alone may have those: see below
      EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name(name)).error(), EINVAL) << name;
    }
    EXPECT_EQ(client_.call(FuseRequest(Opcode::kUnlink).name(name)).error(), EINVAL) << name;
    FuseRequest rename(Opcode::kRename2);
    rename.with(abi::Rename2In{1, 0, 0}).name("fine").name(name);
    EXPECT_EQ(client_.call(rename).error(), EINVAL) << name;
  }
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).text("open end")).error(), EINVAL);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name(longest + "n")).error(), ENAMETOOLONG);
  EXPECT_EQ(fs_.calls().size(), 1U);  // INIT
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name(longest)).error(), 0);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name("\xff\x80")).error(), 0);
  EXPECT_EQ(fs_.last().names.front(), "\xff\x80");
}

TEST_F(FuseServer, lookup_of_dots_has_methods_of_its_own) {
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name(".")).error(), 0);
  EXPECT_EQ(fs_.last().method, "lookup_self");
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name("..")).error(), 0);
  EXPECT_EQ(fs_.last().method, "lookup_parent");
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).name("...")).error(), 0);
  EXPECT_EQ(fs_.last().method, "lookup");
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kLookup).text(".")).error(), EINVAL);
}

TEST_F(FuseServer, errno_that_the_wire_cannot_carry_is_eio) {
  for (const int bad : {512, 4095, 0x10000, -1, -5, 0}) {
    fs_.before = [bad](const Recorded&) -> Status { return Errno(bad); };
    EXPECT_EQ(client_.call(getattr_request()).error(), EIO) << bad;
  }
  for (const int good : {1, 511}) {
    fs_.before = [good](const Recorded&) -> Status { return Errno(good); };
    EXPECT_EQ(client_.call(getattr_request()).error(), good);
  }
}

TEST_F(FuseServer, contents_that_change_while_being_served_were_copied_once) {
  // The guest replaces header, parameters and names once the method runs, which only then looks at them.
  fs_.at_entry = [this](std::string_view) { client_.overwrite_request(0, std::vector(66, std::byte{'/'})); };
  FuseRequest request(Opcode::kRename2, 42);
  request.unique(4242).with(abi::Rename2In{77, 0, 0}).name("stays").name("so");
  const FuseReply reply = client_.call(request);  // checks `unique` too
  EXPECT_EQ(reply.error(), 0);
  EXPECT_EQ(fs_.last().call.nodeid, 42U);
  EXPECT_EQ(fs_.last().as<abi::Rename2In>().newdir, 77U);
  EXPECT_EQ(fs_.last().names, (std::vector<std::string>{"stays", "so"}));
  EXPECT_EQ(client_.counters().operations[static_cast<std::size_t>(Opcode::kRename2)], 1U);
}

// --- how long requests take

TEST_F(FuseServer, latencies_are_measured_only_if_asked_for) {
  client_.call(getattr_request(1));
  const auto slot = static_cast<std::size_t>(Opcode::kGetattr);
  EXPECT_EQ(client_.counters().operations[slot], 1U);
  EXPECT_EQ(client_.counters().latency_sums[slot], 0U);

  Server measuring{fs_, ServerOptions{.measure_latency = true}};
  FuseClient client{measuring};
  client.begin_session();
  client.call(getattr_request(1));
  client.call(FuseRequest(static_cast<Opcode>(999)));
  const auto counters = client.counters();
  EXPECT_GT(counters.latency_sums[slot], 0U);
  for (const std::size_t each : {slot, std::size_t{0}}) {
    std::uint64_t measured = 0;
    for (const std::uint64_t count : counters.latencies[each]) measured += count;
    EXPECT_EQ(measured, counters.operations[each]) << "slot " << each;
  }
}

TEST(Latency, classes_double_in_width_and_the_last_takes_the_rest) {
  EXPECT_EQ(latency_class(0), 0U);
  EXPECT_EQ(latency_class(1023), 0U);
  EXPECT_EQ(latency_class(1024), 1U);
  EXPECT_EQ(latency_class(2047), 1U);
  EXPECT_EQ(latency_class(2048), 2U);
  EXPECT_EQ(latency_class((1ULL << 32) - 1), 22U);
  EXPECT_EQ(latency_class(1ULL << 32), 23U);
  EXPECT_EQ(latency_class(~0ULL), 23U);
}

// --- READ and WRITE

FuseRequest read_request(std::uint32_t size) {
  return FuseRequest(Opcode::kRead).with(abi::ReadIn{3, 0, size, 0, 0, 0, 0});
}

TEST_F(FuseServer, read_gives_what_the_method_put) {
  fs_.on_read = [](const Call&, const abi::ReadIn& in, GuestWriter& to) -> Result<std::size_t> {
    EXPECT_EQ(to.remaining(), in.size);
    VFS_CHECK(to.put_bytes(std::as_bytes(std::span("content", 7))));
    return std::size_t{7};
  };
  const FuseReply reply = client_.call(read_request(100));
  EXPECT_EQ(reply.text(), "content");
  EXPECT_EQ(client_.counters().bytes_read, 7U);
}

TEST_F(FuseServer, read_beyond_the_room_or_the_limit_is_einval) {
  EXPECT_EQ(client_.call(read_request(4081), 4096).error(), EINVAL);
  EXPECT_EQ(client_.call(read_request((1U << 20) + 1), 3U << 20).error(), EINVAL);
  EXPECT_EQ(client_.call(read_request(0xffffffff), 4096).error(), EINVAL);
  EXPECT_EQ(fs_.count("read"), 0U);
  EXPECT_EQ(client_.call(read_request(4080), 4096).error(), 0);
  EXPECT_EQ(client_.call(read_request(1U << 20), 3U << 20).error(), 0);
}

TEST_F(FuseServer, read_tries_without_waiting_first) {
  std::vector<bool> may_wait;
  fs_.on_read = [&](const Call& call, const abi::ReadIn&, GuestWriter& to) -> Result<std::size_t> {
    may_wait.push_back(call.may_wait);
    EXPECT_EQ(to.remaining(), 8U) << "the second attempt begins where the first one did";
    VFS_CHECK(to.put(std::uint64_t{7}));
    if (!call.may_wait) return kWouldWait;
    return std::size_t{8};
  };
  EXPECT_EQ(client_.call(read_request(8)).payload.size(), 8U);
  EXPECT_EQ(may_wait, (std::vector<bool>{false, true}));
  EXPECT_EQ(client_.counters().operations[static_cast<std::size_t>(Opcode::kRead)], 1U);
}

TEST_F(FuseServer, would_wait_of_a_method_that_may_wait_anyway_is_eio) {
  fs_.before = [](const Recorded&) -> Status { return kWouldWait; };
  EXPECT_EQ(client_.call(getattr_request()).error(), EIO);
}

TEST_F(FuseServer, lock_that_is_waited_for_no_more_is_told_to_the_file_system) {
  fs_.before = [](const Recorded&) -> Status { return kWouldWait; };
  FuseRequest request(Opcode::kSetlkw);
  EXPECT_EQ(client_.call(request.unique(808).with(abi::LkIn{})).error(), EAGAIN);
  EXPECT_EQ(fs_.last().method, "stops_waiting");
  EXPECT_EQ(fs_.last().as<std::uint64_t>(), 808U);
}

FuseRequest write_request(std::uint32_t size, std::string_view data) {
  return FuseRequest(Opcode::kWrite).with(abi::WriteIn{3, 0, size, 0, 0, 0, 0}).text(data);
}

TEST_F(FuseServer, write_hands_over_exactly_its_size) {
  std::string seen;
  fs_.on_write = [&](const Call&, const abi::WriteIn& in, GuestReader& from) -> Result<std::uint32_t> {
    EXPECT_EQ(from.remaining(), 4U);
    seen.resize(from.remaining());
    VFS_CHECK(from.take_bytes(std::as_writable_bytes(std::span(seen))));
    return in.size;
  };
  EXPECT_EQ(client_.call(write_request(4, "datamore")).as<abi::WriteOut>().size, 4U);
  EXPECT_EQ(seen, "data");
  EXPECT_EQ(client_.counters().bytes_written, 4U);
}

TEST_F(FuseServer, write_tries_without_waiting_first) {
  std::vector<bool> may_wait;
  fs_.on_write = [&](const Call& call, const abi::WriteIn& in, GuestReader& from) -> Result<std::uint32_t> {
    may_wait.push_back(call.may_wait);
    EXPECT_EQ(from.remaining(), 4U) << "the second attempt begins where the first one did";
    if (!call.may_wait) return kWouldWait;
    return in.size;
  };
  EXPECT_EQ(client_.call(write_request(4, "data")).as<abi::WriteOut>().size, 4U);
  EXPECT_EQ(may_wait, (std::vector<bool>{false, true}));
  EXPECT_EQ(client_.counters().bytes_written, 4U);
}

TEST_F(FuseServer, write_of_more_than_was_sent_or_agreed_is_einval) {
  EXPECT_EQ(client_.call(write_request(5, "data")).error(), EINVAL);
  EXPECT_EQ(client_.call(write_request(0xffffffff, "data")).error(), EINVAL);
  const std::string big((1U << 20) + 1, 'b');
  EXPECT_EQ(client_.call(write_request(static_cast<std::uint32_t>(big.size()), big)).error(), EINVAL);
  EXPECT_EQ(fs_.count("write"), 0U);
  EXPECT_EQ(client_.call(write_request(1U << 20, std::string_view(big).substr(1))).error(), 0);
}

TEST_F(FuseServer, failed_read_and_write_move_no_bytes) {
  fs_.before = [](const Recorded&) -> Status { return Errno(ENOSPC); };
  EXPECT_EQ(client_.call(read_request(8)).error(), ENOSPC);
  EXPECT_EQ(client_.call(write_request(4, "data")).error(), ENOSPC);
  EXPECT_EQ(client_.counters().bytes_read, 0U);
  EXPECT_EQ(client_.counters().bytes_written, 0U);
}

TEST_F(FuseServer, readlink_longer_than_the_room_is_enobufs) {
  fs_.target = std::string(100, 't');
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kReadlink), 16 + 99).error(), ENOBUFS);
  EXPECT_EQ(client_.call(FuseRequest(Opcode::kReadlink), 16 + 100).text(), fs_.target);
}

// --- requests without a reply

TEST_F(FuseServer, forget_reaches_the_method_with_its_count) {
  const FuseReply reply = client_.call(FuseRequest(Opcode::kForget, 9).with(abi::ForgetIn{3}), 0);
  EXPECT_TRUE(reply.answered);
  EXPECT_EQ(reply.written, 0U);
  const std::vector<std::uint64_t> expected{9, 3};
  const ByteSpan bytes = std::as_bytes(std::span(expected));
  EXPECT_EQ(fs_.last().structures, std::vector<std::byte>(bytes.begin(), bytes.end()));
}

TEST_F(FuseServer, batch_forget_forgets_each) {
  FuseRequest request(Opcode::kBatchForget, 0);
  request.with(abi::BatchForgetIn{3, 0});
  for (std::uint64_t node = 10; node < 13; ++node) request.with(abi::ForgetOne{node, node * 2});
  EXPECT_TRUE(client_.call(request, 0).answered);
  EXPECT_EQ(fs_.count("forget"), 3U);
}

TEST_F(FuseServer, batch_forget_with_a_lying_count_stops_at_the_last_byte) {
  FuseRequest more(Opcode::kBatchForget, 0);
  more.with(abi::BatchForgetIn{0xffffffff, 0}).with(abi::ForgetOne{1, 1}).with(abi::ForgetOne{2, 1}).text("half one");
  EXPECT_TRUE(client_.call(more, 0).answered);
  EXPECT_EQ(fs_.count("forget"), 2U);
  FuseRequest fewer(Opcode::kBatchForget, 0);
  fewer.with(abi::BatchForgetIn{1, 0}).with(abi::ForgetOne{1, 1}).with(abi::ForgetOne{2, 1});
  EXPECT_TRUE(client_.call(fewer, 0).answered);
  EXPECT_EQ(fs_.count("forget"), 3U);
}

TEST_F(FuseServer, batch_forget_takes_more_than_fits_a_private_copy) {
  FuseRequest request(Opcode::kBatchForget, 0);
  request.with(abi::BatchForgetIn{5000, 0});
  for (std::uint64_t node = 0; node < 5000; ++node) request.with(abi::ForgetOne{node, 1});
  EXPECT_TRUE(client_.call(request, 0).answered);
  EXPECT_EQ(fs_.count("forget"), 5000U);
}

class RecordingCanceller final : public Canceller {
 public:
  void cancel(std::uint64_t unique) override { cancelled.push_back(unique); }
  std::vector<std::uint64_t> cancelled;
};

TEST_F(FuseServer, interrupt_reaches_the_canceller_and_gets_no_reply) {
  RecordingCanceller canceller;
  server_.set_canceller(&canceller);
  const FuseReply reply = client_.call(FuseRequest(Opcode::kInterrupt).with(abi::InterruptIn{808}));
  EXPECT_EQ(reply.written, 0U);
  EXPECT_EQ(canceller.cancelled, (std::vector<std::uint64_t>{808}));
}

TEST_F(FuseServer, interrupt_without_a_canceller_is_nothing) {
  EXPECT_TRUE(client_.call(FuseRequest(Opcode::kInterrupt).with(abi::InterruptIn{808})).answered);
}

}  // namespace
}  // namespace vfs::fuse
