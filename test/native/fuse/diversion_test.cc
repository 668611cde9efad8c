// Requests that somebody else decides about: data that is kept, and a reply that the guest does not see.
#include <gtest/gtest.h>

#include <string>

#include "fuse/request.h"
#include "support/borrowed_request.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

using abi::Opcode;
using test::BorrowedRequest;
using test::FuseRequest;

FuseRequest write_request(std::string_view data) {
  return FuseRequest(Opcode::kWrite)
      .unique(8)
      .with(abi::WriteIn{3, 0, static_cast<std::uint32_t>(data.size()), 0, 0, 0, 0})
      .text(data);
}

class Diversion : public ::testing::Test, public ReplySink {
 protected:
  void take_in() {
    ASSERT_TRUE(request_->take_header());
    ASSERT_TRUE(request_->reserve_reply());
    ASSERT_TRUE(request_->take_body(4096, true, sizeof(abi::WriteIn)).ok());
  }
  void replied(Request&) override { ++replies_; }

  BorrowedRequest request_{write_request("data")};
  int replies_ = 0;
};

TEST_F(Diversion, data_is_kept_once_whatever_the_limit_is_later) {
  take_in();
  EXPECT_EQ(request_->keep_data(3).error(), Errno(E2BIG));
  ASSERT_TRUE(request_->keep_data(4).ok());
  request_.take_memory_back();
  const auto again = request_->keep_data(0);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(text_of(again.value()), "data");
  std::string read(4, '?');
  EXPECT_TRUE(request_->data().take_bytes(std::as_writable_bytes(std::span(read))).ok());
  EXPECT_EQ(read, "data");
}

TEST_F(Diversion, data_that_is_gone_is_efault) {
  take_in();
  request_.take_memory_back();
  EXPECT_EQ(request_->keep_data(4).error(), Errno(EFAULT));
}

TEST_F(Diversion, nothing_is_caught_before_a_reply_was_diverted_and_written) {
  take_in();
  EXPECT_FALSE(request_->diverted());
  EXPECT_FALSE(request_->caught().has_value());
  request_->divert(*this, 100);
  EXPECT_TRUE(request_->diverted());
  EXPECT_FALSE(request_->caught().has_value());
  EXPECT_EQ(request_->room_bytes(), 100U);

  request_->finish_bytes(std::as_bytes(std::span("caught", 6)));
  request_->send();
  EXPECT_EQ(replies_, 1);
  EXPECT_FALSE(request_->diverted());
  ASSERT_TRUE(request_->caught().has_value());
  EXPECT_EQ(request_->caught()->error, Errno(0));
  EXPECT_EQ(text_of(request_->caught()->payload), "caught");
  EXPECT_FALSE(request_.answered().has_value()) << "the guest has been told nothing";
  EXPECT_EQ(request_.header().len, 0U);
}

TEST_F(Diversion, what_was_caught_does_not_stand_in_the_way_of_the_answer) {
  take_in();
  request_->divert(*this, 4096);
  request_->finish_error(Errno(EACCES));
  request_->send();
  EXPECT_EQ(request_->caught()->error, Errno(EACCES));
  EXPECT_TRUE(request_->caught()->payload.empty());

  request_->finish_bytes(std::as_bytes(std::span("instead", 7)));
  request_->send();
  EXPECT_EQ(replies_, 1);
  EXPECT_EQ(request_.answered(), std::optional(true));
  EXPECT_EQ(request_.written(), 16U + 7);
  EXPECT_EQ(request_.header().error, 0);
  EXPECT_EQ(request_.header().unique, 8U);
  EXPECT_EQ(text_of(request_.payload(7)), "instead");
}

TEST_F(Diversion, a_diverted_reply_is_caught_though_the_memory_is_gone_and_cannot_be_passed_on) {
  take_in();
  request_->divert(*this, 4096);
  request_.take_memory_back();
  request_->finish_bytes(std::as_bytes(std::span("caught", 6)));
  request_->send();
  EXPECT_EQ(text_of(request_->caught()->payload), "caught");

  request_->finish_bytes(request_->caught()->payload);
  request_->send();
  EXPECT_EQ(request_.answered(), std::optional(false));
}

}  // namespace
}  // namespace vfs::fuse
