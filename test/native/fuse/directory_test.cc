// READDIR and READDIRPLUS: what the guest finds when it walks the bytes as fs/fuse/readdir.c does.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

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

struct Listed {
  std::uint64_t ino;
  std::uint64_t cookie;
  std::uint32_t type;
  std::string name;
  std::uint64_t nodeid = 0;
  friend bool operator==(const Listed&, const Listed&) = default;
};

constexpr std::size_t padded(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

// parse_dirfile / parse_dirplusfile: whole entries only, each padded with zeroes to 8 bytes.
std::vector<Listed> parse(const FuseReply& reply, bool plus) {
  std::vector<Listed> entries;
  ByteSpan rest(reply.payload);
  const std::size_t head_bytes = plus ? sizeof(abi::Direntplus) : sizeof(abi::Dirent);
  while (!rest.empty()) {
    if (rest.size() < head_bytes) {
      ADD_FAILURE() << "a partial entry of " << rest.size() << " bytes";
      break;
    }
    Listed entry{};
    if (plus) entry.nodeid = value_from<abi::EntryOut>(rest).nodeid;
    const auto head = value_from<abi::Dirent>(rest.subspan(head_bytes - sizeof(abi::Dirent)));
    const std::size_t whole = padded(head_bytes + head.namelen);
    if (whole > rest.size()) {
      ADD_FAILURE() << "an entry that reaches beyond the reply";
      break;
    }
    entry.ino = head.ino;
    entry.cookie = head.off;
    entry.type = head.type;
    for (const std::byte b : rest.subspan(head_bytes, head.namelen)) entry.name.push_back(static_cast<char>(b));
    for (const std::byte b : rest.subspan(head_bytes + head.namelen, whole - head_bytes - head.namelen)) {
      EXPECT_EQ(b, std::byte{0}) << "padding is not zero";
    }
    entries.push_back(entry);
    rest = rest.subspan(whole);
  }
  return entries;
}

FuseRequest list_request(Opcode opcode, std::uint32_t size, std::uint64_t offset = 0) {
  return FuseRequest(opcode).with(abi::ReadIn{1, offset, size, 0, 0, 0, 0});
}

class Listing : public ::testing::Test {
 protected:
  Listing() { client_.begin_session(); }

  // The fake lists `names`, until there is no room.
  void list(std::vector<std::string> names) {
    fs_.on_readdir = [this, names](const abi::ReadIn&, DirectorySink& sink) {
      taken_ = 0;
      for (const std::string& name : names) {
        if (!sink.add(100 + taken_, taken_ + 1, 8, name)) break;
        ++taken_;
      }
      return ok_status();
    };
    fs_.on_readdirplus = [this, names](const abi::ReadIn&, DirectoryPlusSink& sink) {
      taken_ = 0;
      for (const std::string& name : names) {
        if (!sink.fits(name.size())) break;
        abi::EntryOut entry{};
        entry.nodeid = 500 + taken_;
        sink.add(entry, 100 + taken_, taken_ + 1, 8, name);
        ++taken_;
      }
      return ok_status();
    };
  }

  FakeFileSystem fs_;
  Server server_{fs_, ServerOptions{}};
  FuseClient client_{server_};
  std::uint64_t taken_ = 0;
};

TEST_F(Listing, readdir_packs_entries_with_padding) {
  list({"a", "four", "eightbyt", "nine_byte"});
  const FuseReply reply = client_.call(list_request(Opcode::kReaddir, 4000));
  EXPECT_EQ(reply.payload.size(), 32U + 32 + 32 + 40);
  EXPECT_EQ(
      parse(reply, false),
      (std::vector<Listed>{{100, 1, 8, "a"}, {101, 2, 8, "four"}, {102, 3, 8, "eightbyt"}, {103, 4, 8, "nine_byte"}}));
}

TEST_F(Listing, readdir_stops_before_an_entry_that_does_not_fit) {
  list({"a", "four", "eightbyt"});
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddir, 96)), false).size(), 3U);
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddir, 95)), false).size(), 2U);
  EXPECT_EQ(taken_, 2U);
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddir, 32)), false).size(), 1U);
  EXPECT_EQ(client_.call(list_request(Opcode::kReaddir, 31)).payload.size(), 0U);
  EXPECT_EQ(client_.call(list_request(Opcode::kReaddir, 0)).payload.size(), 0U);
  EXPECT_EQ(taken_, 0U);
}

TEST_F(Listing, entry_whose_padding_does_not_fit_is_not_taken) {
  list({"abc"});  // 27 bytes, padded 32
  EXPECT_EQ(client_.call(list_request(Opcode::kReaddir, 28)).payload.size(), 0U);
}

TEST_F(Listing, longest_name_fits) {
  list({std::string(255, 'n')});
  const auto entries = parse(client_.call(list_request(Opcode::kReaddir, 4000)), false);
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].name.size(), 255U);
  const auto plus = parse(client_.call(list_request(Opcode::kReaddirplus, 4000)), true);
  ASSERT_EQ(plus.size(), 1U);
  EXPECT_EQ(plus[0].name.size(), 255U);
}

TEST_F(Listing, size_beyond_the_room_means_the_room) {
  list(std::vector<std::string>(100, "a"));
  const FuseReply reply = client_.call(list_request(Opcode::kReaddir, 0xffffffff), 16 + 100);
  EXPECT_EQ(parse(reply, false).size(), 3U);
}

TEST_F(Listing, entries_across_segments) {
  list({"a", "four", "eightbyt", "nine_byte"});
  client_.cut_into(13);
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddir, 4000)), false).size(), 4U);
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddirplus, 4000)), true).size(), 4U);
}

TEST_F(Listing, readdirplus_carries_the_entry_before_the_dirent) {
  list({"a", "nine_byte"});
  const FuseReply reply = client_.call(list_request(Opcode::kReaddirplus, 4000));
  EXPECT_EQ(reply.payload.size(), 160U + 168);
  EXPECT_EQ(parse(reply, true), (std::vector<Listed>{{100, 1, 8, "a", 500}, {101, 2, 8, "nine_byte", 501}}));
}

TEST_F(Listing, readdirplus_says_what_fits_exactly) {
  list({"a", "nine_byte"});
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddirplus, 328)), true).size(), 2U);
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddirplus, 327)), true).size(), 1U);
  EXPECT_EQ(client_.call(list_request(Opcode::kReaddirplus, 159)).payload.size(), 0U);
}

TEST_F(Listing, offset_and_handle_reach_the_method) {
  FuseRequest request(Opcode::kReaddir, 77);
  request.with(abi::ReadIn{5, 1234567, 100, 0, 0, 0, 0});
  EXPECT_EQ(client_.call(request).error(), 0);
  const auto in = fs_.last().as<abi::ReadIn>();
  EXPECT_EQ(in.fh, 5U);
  EXPECT_EQ(in.offset, 1234567U);
  EXPECT_EQ(fs_.last().call.nodeid, 77U);
}

TEST_F(Listing, error_before_the_first_entry_is_the_answer) {
  fs_.on_readdir = [](const abi::ReadIn&, DirectorySink&) -> Status { return Errno(ENOTDIR); };
  fs_.on_readdirplus = [](const abi::ReadIn&, DirectoryPlusSink&) -> Status { return Errno(ENOTDIR); };
  EXPECT_EQ(client_.call(list_request(Opcode::kReaddir, 4000)).error(), ENOTDIR);
  EXPECT_EQ(client_.call(list_request(Opcode::kReaddirplus, 4000)).error(), ENOTDIR);
}

TEST_F(Listing, error_after_the_first_entry_keeps_what_was_listed) {
  fs_.on_readdir = [](const abi::ReadIn&, DirectorySink& sink) -> Status {
    sink.add(1, 1, 4, "first");
    return Errno(EIO);
  };
  fs_.on_readdirplus = [](const abi::ReadIn&, DirectoryPlusSink& sink) -> Status {
    sink.add(abi::EntryOut{}, 1, 1, 4, "first");
    return Errno(EIO);
  };
  for (const Opcode opcode : {Opcode::kReaddir, Opcode::kReaddirplus}) {
    const FuseReply reply = client_.call(list_request(opcode, 4000));
    EXPECT_EQ(reply.error(), 0);
    EXPECT_EQ(parse(reply, opcode == Opcode::kReaddirplus).size(), 1U);
  }
}

TEST_F(Listing, more_than_a_block_is_one_list) {
  list(std::vector<std::string>(500, "name"));
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddir, 0xffffffff), 16 + 16000), false).size(), 500U);
  EXPECT_EQ(parse(client_.call(list_request(Opcode::kReaddirplus, 0xffffffff), 16 + 80000), true).size(), 500U);
}

}  // namespace
}  // namespace vfs::fuse
