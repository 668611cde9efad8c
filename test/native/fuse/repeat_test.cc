#include "fuse/repeat.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>

#include <memory>

#include "fuse/op_table.h"
#include "support/fake_driver.h"
#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

using abi::Opcode;
using test::FuseRequest;

// What is said of a request that has been received.
class Repeat : public testing::Test, private CompletionSink {
 protected:
  Repeat() { client_.begin_session(); }

  bool repeatable_request(const FuseRequest& asked) {
    const auto memory = test::make_memory(1U << 20);
    const std::vector<std::byte> bytes = FuseRequest(asked).unique(1000).bytes();
    copy_bytes(memory->region_bytes(0), bytes);
    const auto length = static_cast<std::uint32_t>(bytes.size());
    const std::vector<GuestRange> ranges{{GuestAddress{0}, length}, {GuestAddress{0x80000}, 0x10000}};
    Request request;
    request.start(Chain(GuestReader(*memory, std::span(ranges).first(1), length),
                        GuestWriter(*memory, std::span(ranges).last(1), 0x10000), Completion(*this, {nullptr})));
    Counters counters;
    EXPECT_TRUE(server_.receive(request, counters).has_value());
    const bool answer = repeatable(request);
    server_.refuse(request, Errno(EIO), counters);
    return answer;
  }

 private:
  void complete(CompletionToken, std::uint32_t, bool) override {}

  test::FakeFileSystem fs_;
  Server server_{fs_, ServerOptions{}};
  test::FuseClient client_{server_};
};

TEST_F(Repeat, what_only_looks_is) {
  EXPECT_TRUE(repeatable_request(test::getattr_request()));
  EXPECT_TRUE(repeatable_request(FuseRequest(Opcode::kLookup).name("a")));
  EXPECT_TRUE(repeatable_request(FuseRequest(Opcode::kRead).with(abi::ReadIn{1, 0, 4, 0, 0, 0, 0})));
}

TEST_F(Repeat, what_makes_removes_or_counts_is_not) {
  EXPECT_FALSE(repeatable_request(FuseRequest(Opcode::kMkdir).with(abi::MkdirIn{0755, 0}).name("a")));
  EXPECT_FALSE(repeatable_request(FuseRequest(Opcode::kUnlink).name("a")));
  EXPECT_FALSE(repeatable_request(FuseRequest(Opcode::kForget).with(abi::ForgetIn{1})));
  EXPECT_FALSE(repeatable_request(FuseRequest(Opcode::kRemovexattr).name("user.a")));
}

TEST_F(Repeat, a_write_is_unless_it_appends) {
  const auto write = [](std::uint32_t flags) {
    return FuseRequest(Opcode::kWrite).with(abi::WriteIn{1, 0, 1, 0, 0, flags, 0}).text("x");
  };
  EXPECT_TRUE(repeatable_request(write(O_WRONLY)));
  EXPECT_FALSE(repeatable_request(write(O_WRONLY | O_APPEND)));
}

TEST_F(Repeat, an_attribute_is_unless_it_depends_on_being_there) {
  const auto set = [](std::uint32_t flags) {
    return FuseRequest(Opcode::kSetxattr).with(abi::SetxattrInCompat{1, flags}).name("user.a").text("x");
  };
  EXPECT_TRUE(repeatable_request(set(0)));
  EXPECT_FALSE(repeatable_request(set(1)));
  EXPECT_FALSE(repeatable_request(set(2)));
}

TEST_F(Repeat, space_is_unless_it_moves_what_is_behind) {
  const auto allocate = [](std::uint32_t mode) {
    return FuseRequest(Opcode::kFallocate).with(abi::FallocateIn{1, 0, 4096, mode, 0});
  };
  EXPECT_TRUE(repeatable_request(allocate(0)));
  EXPECT_TRUE(repeatable_request(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)));
  EXPECT_FALSE(repeatable_request(allocate(FALLOC_FL_COLLAPSE_RANGE)));
  EXPECT_FALSE(repeatable_request(allocate(FALLOC_FL_INSERT_RANGE)));
}

}  // namespace
}  // namespace vfs::fuse
