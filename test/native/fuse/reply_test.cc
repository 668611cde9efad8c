// Memory that is gone before the answer is written, or before the request was read: nothing can be said any more, and
// the chain goes back with nothing written.
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "fuse/server.h"
#include "support/borrowed_request.h"
#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

using abi::Opcode;
using test::BorrowedRequest;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseRequest;
using test::getattr_request;

void expect_dropped(BorrowedRequest& request) {
  EXPECT_FALSE(request->outcome().replied);
  EXPECT_EQ(request->outcome().error, EFAULT);
  request->send();
  EXPECT_EQ(request.answered(), std::optional(false));
  EXPECT_EQ(request.written(), 0U);
  EXPECT_EQ(request.header().len, 0U);
}

void expect_dropped_without_memory(const std::function<void(Request&)>& finish) {
  BorrowedRequest request(getattr_request());
  ASSERT_TRUE(request->take_header());
  ASSERT_TRUE(request->reserve_reply());
  request.take_memory_back();
  finish(*request);
  expect_dropped(request);
}

TEST(Reply, header_into_memory_that_is_gone_is_dropped) {
  expect_dropped_without_memory([](Request& request) { request.finish_empty(); });
}

TEST(Reply, payload_into_memory_that_is_gone_is_dropped) {
  expect_dropped_without_memory([](Request& request) { request.finish_bytes(std::as_bytes(std::span("payload", 7))); });
}

TEST(Reply, error_into_memory_that_is_gone_is_dropped) {
  expect_dropped_without_memory([](Request& request) { request.finish_error(Errno(ENOENT)); });
}

TEST(Reply, header_of_a_request_that_is_gone_is_none) {
  BorrowedRequest request(getattr_request());
  request.take_memory_back();
  EXPECT_FALSE(request->take_header());
}

TEST(Reply, parameters_that_are_gone_are_efault) {
  BorrowedRequest request(getattr_request());
  ASSERT_TRUE(request->take_header());
  ASSERT_TRUE(request->reserve_reply());
  request.take_memory_back();
  const Status taken = request->take_body(4096, false, sizeof(abi::GetattrIn));
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error(), Errno(EFAULT));
}

TEST(Reply, next_request_has_nothing_of_a_long_one_before_it) {
  BorrowedRequest request(FuseRequest(Opcode::kLookup).name(std::string(20000, 'n')));
  ASSERT_TRUE(request->take_header());
  ASSERT_TRUE(request->take_body(32768, false, 0).ok());
  EXPECT_EQ(request->parameters().size(), 20001U);
  request->start(Chain());
  EXPECT_EQ(request.answered(), std::optional(false));
  EXPECT_TRUE(request->parameters().empty());
}

// --- as a server meets it

class Lent : public ::testing::Test {
 protected:
  Lent() { client_.begin_session(); }
  void serve(BorrowedRequest& request) {
    ASSERT_TRUE(server_.receive(*request, counters_).has_value());
    EXPECT_EQ(server_.serve(*request, true, counters_), Progress::kDone);
  }

  FakeFileSystem fs_;
  Server server_{fs_, ServerOptions{}};
  FuseClient client_{server_};
  Counters counters_;
};

TEST_F(Lent, memory_that_is_taken_back_while_the_method_runs_gets_no_answer) {
  BorrowedRequest request(getattr_request());
  fs_.at_entry = [&](std::string_view) { request.take_memory_back(); };
  serve(request);
  EXPECT_EQ(fs_.count("getattr"), 1U);
  EXPECT_EQ(request.answered(), std::optional(false));
  EXPECT_EQ(request.header().len, 0U);
}

TEST_F(Lent, listing_into_memory_that_is_gone_is_dropped) {
  for (const Opcode opcode : {Opcode::kReaddir, Opcode::kReaddirplus}) {
    BorrowedRequest request(FuseRequest(opcode).with(abi::ReadIn{1, 0, 4000, 0, 0, 0, 0}));
    fs_.on_readdir = [&](const abi::ReadIn&, DirectorySink& sink) {
      EXPECT_TRUE(sink.add(1, 1, 8, "first"));
      request.take_memory_back();
      EXPECT_TRUE(sink.add(2, 2, 8, "second"));
      return ok_status();
    };
    fs_.on_readdirplus = [&](const abi::ReadIn&, DirectoryPlusSink& sink) {
      sink.add(abi::EntryOut{}, 1, 1, 8, "first");
      request.take_memory_back();
      sink.add(abi::EntryOut{}, 2, 2, 8, "second");
      return ok_status();
    };
    serve(request);
    EXPECT_EQ(request.answered(), std::optional(false));
    EXPECT_EQ(request.header().len, 0U);
  }
}

}  // namespace
}  // namespace vfs::fuse
