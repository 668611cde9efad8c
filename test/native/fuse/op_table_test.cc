// Every row, against what the kernel's <linux/fuse.h> says: the table here is written from there, not from ours.
#include "fuse/op_table.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "support/fake_file_system.h"
#include "support/fuse_client.h"

namespace vfs::fuse {
namespace {

using abi::Opcode;
using test::FakeFileSystem;
using test::FuseClient;
using test::FuseReply;
using test::FuseRequest;
using test::Recorded;

constexpr std::uint64_t kNode = 0x1122334455667788;

// A structure whose every byte differs from its neighbours, so that a mix-up of fields shows.
template <typename T>
T patterned() {
  std::array<std::byte, sizeof(T)> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return value_from<T>(bytes);
}

void empty_reply(const FuseReply& reply, const FakeFileSystem&) { EXPECT_TRUE(reply.payload.empty()); }

// One operation: how it is asked, and what the file system and the guest shall see of it.
struct Expectation {
  std::function<void(FuseRequest&)> parameters;
  std::string method;
  std::size_t structure_bytes = 0;  // of the pattern, that the method got
  std::vector<std::string> names{};
  std::function<void(const FuseReply&, const FakeFileSystem&)> check_reply = empty_reply;
};

template <typename T>
void expect_payload(const FuseReply& reply, const T& expected) {
  ASSERT_EQ(reply.payload.size(), sizeof(T));
  EXPECT_EQ(0, std::memcmp(reply.payload.data(), &expected, sizeof(T)));
}

void entry_reply(const FuseReply& reply, const FakeFileSystem& fs) { expect_payload(reply, fs.entry); }
void attr_reply(const FuseReply& reply, const FakeFileSystem& fs) { expect_payload(reply, fs.attr); }
void open_reply(const FuseReply& reply, const FakeFileSystem& fs) { expect_payload(reply, fs.opened); }

std::function<void(FuseRequest&)> only_names(std::vector<std::string> names) {
  return [names = std::move(names)](FuseRequest& request) {
    for (const std::string& name : names) request.name(name);
  };
}

template <typename T>
std::function<void(FuseRequest&)> structure(std::vector<std::string> names = {}) {
  return [names = std::move(names)](FuseRequest& request) {
    request.with(patterned<T>());
    for (const std::string& name : names) request.name(name);
  };
}

abi::ReadIn small_read() {
  auto in = patterned<abi::ReadIn>();
  in.size = 64;
  return in;
}

void add_names(std::map<Opcode, Expectation>& all) {
  all[Opcode::kLookup] = {only_names({"a"}), "lookup", 0, {"a"}, entry_reply};
  all[Opcode::kSymlink] = {only_names({"link", "/to"}), "symlink", 0, {"link", "/to"}, entry_reply};
  all[Opcode::kMknod] = {structure<abi::MknodIn>({"n"}), "mknod", sizeof(abi::MknodIn), {"n"}, entry_reply};
  all[Opcode::kMkdir] = {structure<abi::MkdirIn>({"d"}), "mkdir", sizeof(abi::MkdirIn), {"d"}, entry_reply};
  all[Opcode::kUnlink] = {only_names({"u"}), "unlink", 0, {"u"}};
  all[Opcode::kRmdir] = {only_names({"r"}), "rmdir", 0, {"r"}};
  all[Opcode::kLink] = {structure<abi::LinkIn>({"l"}), "link", sizeof(abi::LinkIn), {"l"}, entry_reply};
  all[Opcode::kRename2] = {structure<abi::Rename2In>({"from", "to"}), "rename", sizeof(abi::Rename2In), {"from", "to"}};
  // Its structure is widened with flags 0: see RENAME below.
  all[Opcode::kRename] = {structure<abi::RenameIn>({"from", "to"}), "rename", 0, {"from", "to"}};
  all[Opcode::kCreate] = {structure<abi::CreateIn>({"c"}),
                          "create",
                          sizeof(abi::CreateIn),
                          {"c"},
                          [](const FuseReply& reply, const FakeFileSystem& fs) {
                            expect_payload(reply, abi::CreateOut{fs.entry, fs.opened});
                          }};
}

void add_nodes_and_handles(std::map<Opcode, Expectation>& all) {
  all[Opcode::kGetattr] = {structure<abi::GetattrIn>(), "getattr", sizeof(abi::GetattrIn), {}, attr_reply};
  all[Opcode::kSetattr] = {structure<abi::SetattrIn>(), "setattr", sizeof(abi::SetattrIn), {}, attr_reply};
  all[Opcode::kReadlink] = {only_names({}), "readlink", 0, {}, [](const FuseReply& reply, const FakeFileSystem& fs) {
                              EXPECT_EQ(reply.text(), fs.target);
                            }};
  all[Opcode::kOpen] = {structure<abi::OpenIn>(), "open", sizeof(abi::OpenIn), {}, open_reply};
  all[Opcode::kOpendir] = {structure<abi::OpenIn>(), "opendir", sizeof(abi::OpenIn), {}, open_reply};
  all[Opcode::kStatfs] = {only_names({}), "statfs", 0, {}, [](const FuseReply& reply, const FakeFileSystem& fs) {
                            expect_payload(reply, fs.stats);
                          }};
  all[Opcode::kRelease] = {structure<abi::ReleaseIn>(), "release", sizeof(abi::ReleaseIn)};
  all[Opcode::kReleasedir] = {structure<abi::ReleaseIn>(), "releasedir", sizeof(abi::ReleaseIn)};
  all[Opcode::kFsync] = {structure<abi::FsyncIn>(), "fsync", sizeof(abi::FsyncIn)};
  all[Opcode::kFsyncdir] = {structure<abi::FsyncIn>(), "fsyncdir", sizeof(abi::FsyncIn)};
  all[Opcode::kFlush] = {structure<abi::FlushIn>(), "flush", sizeof(abi::FlushIn)};
  all[Opcode::kAccess] = {structure<abi::AccessIn>(), "access", sizeof(abi::AccessIn)};
  all[Opcode::kFallocate] = {structure<abi::FallocateIn>(), "fallocate", sizeof(abi::FallocateIn)};
  all[Opcode::kLseek] = {
      structure<abi::LseekIn>(),
      "lseek",
      sizeof(abi::LseekIn),
      {},
      [](const FuseReply& reply, const FakeFileSystem& fs) { expect_payload(reply, abi::LseekOut{fs.position}); }};
}

// Those whose `size` means something; their bytes are looked at where they are tested (server_test, readdir_test).
void add_extended_attributes(std::map<Opcode, Expectation>& all) {
  // The session has no SETXATTR_EXT.
  all[Opcode::kSetxattr] = {[](FuseRequest& request) {
                              auto in = patterned<abi::SetxattrInCompat>();
                              in.size = 5;
                              request.with(in).name("user.n").text("value");
                            },
                            "setxattr",
                            0,
                            {"user.n", "value"}};
  const auto value = [](const FuseReply& reply, const FakeFileSystem& fs) { EXPECT_EQ(reply.text(), fs.xattr); };
  all[Opcode::kGetxattr] = {[](FuseRequest& request) { request.with(abi::GetxattrIn{64, 0}).name("user.n"); },
                            "getxattr",
                            0,
                            {"user.n"},
                            value};
  all[Opcode::kListxattr] = {
      [](FuseRequest& request) { request.with(abi::GetxattrIn{64, 0}); }, "listxattr", 0, {}, value};
  all[Opcode::kRemovexattr] = {only_names({"user.n"}), "removexattr", 0, {"user.n"}};
}

void add_newer_operations(std::map<Opcode, Expectation>& all) {
  all[Opcode::kStatx] = {structure<abi::StatxIn>(),
                         "statx",
                         sizeof(abi::StatxIn),
                         {},
                         [](const FuseReply& reply, const FakeFileSystem& fs) { expect_payload(reply, fs.extended); }};
  all[Opcode::kGetlk] = {
      structure<abi::LkIn>(), "getlk", sizeof(abi::LkIn), {}, [](const FuseReply& reply, const FakeFileSystem&) {
        expect_payload(reply, abi::LkOut{patterned<abi::LkIn>().lk});
      }};
  all[Opcode::kSetlk] = {structure<abi::LkIn>(), "setlk", sizeof(abi::LkIn)};
  all[Opcode::kSetlkw] = {structure<abi::LkIn>(), "setlkw", sizeof(abi::LkIn)};
  all[Opcode::kSyncfs] = {structure<abi::SyncfsIn>(), "syncfs", sizeof(abi::SyncfsIn)};
  const auto created = [](const FuseReply& reply, const FakeFileSystem& fs) {
    expect_payload(reply, abi::CreateOut{fs.entry, fs.opened});
  };
  // The name is "/", as Linux sends it.
  all[Opcode::kTmpfile] = {structure<abi::CreateIn>({"/"}), "tmpfile", sizeof(abi::CreateIn), {}, created};
  all[Opcode::kOpenAtomic] = {structure<abi::CreateIn>({"a"}), "open_atomic", sizeof(abi::CreateIn), {"a"}, created};
  all[Opcode::kChromeosTmpfile] = {
      structure<abi::ChromeosTmpfileIn>(), "chromeos_tmpfile", sizeof(abi::ChromeosTmpfileIn), {}, entry_reply};
  // Its length is bounded on the way: not compared here.
  all[Opcode::kCopyFileRange] = {structure<abi::CopyFileRangeIn>(),
                                 "copy_file_range",
                                 0,
                                 {},
                                 [](const FuseReply& reply, const FakeFileSystem& fs) {
                                   expect_payload(reply, abi::WriteOut{static_cast<std::uint32_t>(fs.copied), 0});
                                 }};
  all[Opcode::kCopyFileRange64] = {structure<abi::CopyFileRangeIn>(),
                                   "copy_file_range",
                                   sizeof(abi::CopyFileRangeIn),
                                   {},
                                   [](const FuseReply& reply, const FakeFileSystem& fs) {
                                     expect_payload(reply, abi::CopyFileRangeOut{fs.copied});
                                   }};
  all[Opcode::kIoctl] = {[](FuseRequest& request) {
                           auto in = patterned<abi::IoctlIn>();
                           in.in_size = 4;
                           in.out_size = 4;
                           request.with(in).text("data");
                         },
                         "ioctl",
                         0,
                         {"data"},
                         [](const FuseReply& reply, const FakeFileSystem&) {
                           ASSERT_EQ(reply.payload.size(), sizeof(abi::IoctlOut) + 4);
                           EXPECT_EQ(value_from<abi::IoctlOut>(reply.payload).result, 77);
                         }};
}

void add_data(std::map<Opcode, Expectation>& all) {
  const auto read = [](FuseRequest& request) { request.with(small_read()); };
  all[Opcode::kRead] = {read, "read", 0};
  all[Opcode::kReaddir] = {read, "readdir", 0};
  all[Opcode::kReaddirplus] = {read, "readdirplus", 0};
  all[Opcode::kWrite] = {
      [](FuseRequest& request) {
        auto in = patterned<abi::WriteIn>();
        in.size = 5;
        request.with(in).text("hello");
      },
      "write",
      0,
      {},
      [](const FuseReply& reply, const FakeFileSystem&) { expect_payload(reply, abi::WriteOut{5, 0}); }};
  all[Opcode::kForget] = {structure<abi::ForgetIn>(), "forget", 0};
  all[Opcode::kBatchForget] = {
      [](FuseRequest& request) { request.with(abi::BatchForgetIn{1, 0}).with(abi::ForgetOne{5, 1}); }, "forget", 0};
  all[Opcode::kInit] = {[](FuseRequest& request) { request.with(abi::InitIn{7, 31, 0, 0}); },
                        "init",
                        0,
                        {},
                        [](const FuseReply& reply, const FakeFileSystem&) { EXPECT_EQ(reply.payload.size(), 64U); }};
  all[Opcode::kDestroy] = {only_names({}), "destroy", 0};
  all[Opcode::kInterrupt] = {structure<abi::InterruptIn>(), "", 0};
}

std::map<Opcode, Expectation> expectations() {
  std::map<Opcode, Expectation> all;
  add_names(all);
  add_nodes_and_handles(all);
  add_data(all);
  add_extended_attributes(all);
  add_newer_operations(all);
  return all;
}

// A file system whose answers are patterns, and a session.
struct Served {
  Served() : server(fs, ServerOptions{}), client(server) {
    fs.entry = patterned<abi::EntryOut>();
    fs.attr = patterned<abi::AttrOut>();
    fs.opened = patterned<abi::OpenOut>();
    fs.stats = patterned<abi::StatfsOut>();
    fs.position = 0x0102030405060708;
    fs.extended = patterned<abi::StatxOut>();
    fs.copied = 0x01020304;
    fs.ioctl_answer = {77, 4};
    client.begin_session();
    fs.forget_calls();
  }
  FakeFileSystem fs;
  Server server;
  FuseClient client;
};

std::vector<std::byte> pattern_bytes(std::size_t length) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

TEST(OpTable, every_row_decodes_its_parameters_and_reaches_its_method) {
  const auto all = expectations();
  for (const OpRow& row : op_rows()) {
    SCOPED_TRACE(row.name);
    const auto found = all.find(row.opcode);
    ASSERT_NE(found, all.end()) << "no expectation: add one";
    const Expectation& expected = found->second;
    Served served;
    FuseRequest request(row.opcode, kNode);
    request.caller(1001, 1002, 1003);
    expected.parameters(request);

    const FuseReply reply = served.client.call(request);

    EXPECT_TRUE(reply.answered);
    EXPECT_EQ(reply.error(), 0);
    if (expected.method.empty()) {
      EXPECT_TRUE(served.fs.calls().empty());
      continue;
    }
    ASSERT_EQ(served.fs.calls().size(), 1U);
    const Recorded seen = served.fs.last();
    EXPECT_EQ(seen.method, expected.method);
    if (expected.structure_bytes > 0) {
      EXPECT_EQ(seen.structures, pattern_bytes(expected.structure_bytes));
    }
    EXPECT_EQ(seen.names, expected.names);
    if (!row.before_init) {
      EXPECT_EQ(seen.call.nodeid, kNode);
      EXPECT_EQ(seen.call.uid, 1001U);
      EXPECT_EQ(seen.call.gid, 1002U);
      EXPECT_EQ(seen.call.pid, 1003U);
      EXPECT_EQ(seen.call.session, 1U);
      EXPECT_EQ(seen.call.negotiated.minor, abi::kKernelMinorVersion);
    }
    expected.check_reply(reply, served.fs);
  }
}

TEST(OpTable, every_operation_in_segments_of_seven_bytes) {
  const auto all = expectations();
  for (const OpRow& row : op_rows()) {
    SCOPED_TRACE(row.name);
    Served served;
    served.client.cut_into(7);
    FuseRequest request(row.opcode, kNode);
    all.at(row.opcode).parameters(request);
    const FuseReply reply = served.client.call(request);
    EXPECT_EQ(reply.error(), 0);
    all.at(row.opcode).check_reply(reply, served.fs);
  }
}

TEST(OpTable, parameters_cut_short_are_einval_and_reach_nobody) {
  const auto all = expectations();
  for (const OpRow& row : op_rows()) {
    SCOPED_TRACE(row.name);
    FuseRequest whole(row.opcode, kNode);
    all.at(row.opcode).parameters(whole);
    // Without the last byte of the structure, or without the NUL of the last name.
    const std::size_t structure_end = sizeof(abi::InHeader) + row.fixed_bytes;
    const std::vector<std::byte> bytes = whole.bytes();
    const std::size_t cut = (row.has_bulk_data ? structure_end : bytes.size()) - 1;
    if (cut < sizeof(abi::InHeader)) continue;  // it has no parameters
    Served served;
    FuseRequest shorter(row.opcode, kNode);
    shorter.raw(ByteSpan(bytes).subspan(sizeof(abi::InHeader), cut - sizeof(abi::InHeader)));
    const FuseReply reply = served.client.call(shorter);
    EXPECT_TRUE(reply.answered);
    EXPECT_EQ(reply.error(), row.answer == Answer::kSilent ? 0 : EINVAL);
    EXPECT_TRUE(served.fs.calls().empty());
  }
}

TEST(OpTable, errors_of_every_method_reach_the_guest) {
  const auto all = expectations();
  for (const OpRow& row : op_rows()) {
    if (row.answer == Answer::kSilent || row.opcode == Opcode::kDestroy) continue;
    SCOPED_TRACE(row.name);
    Served served;
    served.fs.before = [](const Recorded&) -> Status { return Errno(EDQUOT); };
    FuseRequest request(row.opcode, kNode);
    all.at(row.opcode).parameters(request);
    EXPECT_EQ(served.client.call(request).error(), EDQUOT);
    const auto counters = served.client.counters();
    EXPECT_EQ(counters.errors[op_slot(&row)], 1U);
    EXPECT_EQ(counters.errors_by_number[op_slot(&row)], (std::map<int, std::uint64_t>{{EDQUOT, 1}}));
  }
}

TEST(OpTable, too_little_room_is_enobufs_before_anything_happens) {
  const auto all = expectations();
  for (const OpRow& row : op_rows()) {
    if (row.reply_bytes == 0) continue;
    SCOPED_TRACE(row.name);
    Served served;
    FuseRequest request(row.opcode, kNode);
    all.at(row.opcode).parameters(request);
    const std::uint32_t enough = static_cast<std::uint32_t>(sizeof(abi::OutHeader)) + row.reply_bytes;
    EXPECT_EQ(served.client.call(request, enough - 1).error(), ENOBUFS);
    EXPECT_TRUE(served.fs.calls().empty());
    EXPECT_EQ(served.client.call(request, enough).error(), 0);
  }
}

TEST(OpTable, nothing_that_writes_reaches_a_read_only_share) {
  const std::set<Opcode> writing{
      Opcode::kSetattr,         Opcode::kSymlink,        Opcode::kMknod,   Opcode::kMkdir,   Opcode::kUnlink,
      Opcode::kRmdir,           Opcode::kRename,         Opcode::kLink,    Opcode::kWrite,   Opcode::kSetxattr,
      Opcode::kRemovexattr,     Opcode::kFallocate,      Opcode::kRename2, Opcode::kTmpfile, Opcode::kCopyFileRange,
      Opcode::kCopyFileRange64, Opcode::kChromeosTmpfile};
  const std::set<Opcode> deciding{Opcode::kOpen, Opcode::kCreate, Opcode::kAccess, Opcode::kIoctl, Opcode::kOpenAtomic};
  const auto all = expectations();
  FakeFileSystem fs;
  Server server(fs, ServerOptions{.read_only = true});
  FuseClient client(server);
  for (const OpRow& row : op_rows()) {
    SCOPED_TRACE(row.name);
    client.begin_session();
    fs.forget_calls();
    FuseRequest request(row.opcode, kNode);
    all.at(row.opcode).parameters(request);
    const FuseReply reply = client.call(request);
    EXPECT_EQ(reply.error(), writing.contains(row.opcode) ? EROFS : 0);
    if (writing.contains(row.opcode)) {
      EXPECT_TRUE(fs.calls().empty());
    }
    const Effect expected = writing.contains(row.opcode)    ? Effect::kWrite
                            : deciding.contains(row.opcode) ? Effect::kDepends
                                                            : Effect::kRead;
    EXPECT_EQ(row.effect, expected);
  }
}

TEST(OpTable, rename_is_rename2_without_flags) {
  Served served;
  FuseRequest request(Opcode::kRename, kNode);
  request.with(abi::RenameIn{77}).name("a").name("b");
  EXPECT_EQ(served.client.call(request).error(), 0);
  const auto in = served.fs.last().as<abi::Rename2In>();
  EXPECT_EQ(in.newdir, 77U);
  EXPECT_EQ(in.flags, 0U);
  EXPECT_EQ(in.padding, 0U);
}

TEST(OpTable, rows_are_found_by_opcode_and_nothing_else_is) {
  std::size_t found = 0;
  for (std::uint64_t number = 0; number < 10000; ++number) {
    // From both ends of 32 bits: ChromeOS numbers backwards from the end.
    const auto opcode = static_cast<std::uint32_t>(number < 5000 ? number : ~(number - 5000));
    const OpRow* row = find_op(opcode);
    if (row == nullptr) continue;
    ++found;
    EXPECT_EQ(static_cast<std::uint32_t>(row->opcode), opcode);
  }
  EXPECT_EQ(found, op_rows().size());
}

TEST(OpTable, rows_are_in_order_and_their_slots_are_their_own) {
  std::uint32_t previous = 0;
  std::set<std::size_t> slots{op_slot(nullptr)};
  for (const OpRow& row : op_rows()) {
    EXPECT_GT(static_cast<std::uint32_t>(row.opcode), previous) << row.name;
    previous = static_cast<std::uint32_t>(row.opcode);
    EXPECT_LT(op_slot(&row), kOpSlots);
    EXPECT_TRUE(slots.insert(op_slot(&row)).second);
  }
}

}  // namespace
}  // namespace vfs::fuse
