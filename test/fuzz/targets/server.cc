// The FUSE server over a file system that answers whatever the input says: every request gets one reply that Linux
// takes, no bad name gets through, and what the guest changes while a request is served changes nothing.
#include <gtest/gtest.h>

#include "fuzz/requests.h"
#include "fuzz/target.h"
#include "support/fake_file_system.h"

namespace vfs::fuzz {

namespace {

constexpr int kRequestsMax = 64;

// Of methods whose first names are names of entries.
bool takes_entry_names(std::string_view method) {
  constexpr auto kMethods = std::to_array<std::string_view>(
      {"lookup", "symlink", "mknod", "mkdir", "unlink", "rmdir", "rename", "link", "create", "open_atomic"});
  return std::ranges::find(kMethods, method) != kMethods.end();
}

void expect_entry_name(const std::string& name) {
  EXPECT_FALSE(name.empty() || name == "." || name == ".." || name.size() > 255) << name;
  EXPECT_EQ(name.find('/'), std::string::npos);
  EXPECT_EQ(name.find('\0'), std::string::npos);
}

class Session {
 public:
  explicit Session(ByteSpan bytes) : input_(bytes) {
    fs_.before = [this](const test::Recorded& call) { return before(call); };
    fs_.on_read = [this](const fuse::Call&, const abi::ReadIn& in, GuestWriter& room) { return read(in, room); };
    fs_.on_write = [this](const fuse::Call&, const abi::WriteIn& in, GuestReader& data) { return write(in, data); };
    fs_.on_readdir = [this](const abi::ReadIn&, fuse::DirectorySink& sink) { return list(sink); };
    fs_.on_readdirplus = [this](const abi::ReadIn&, fuse::DirectoryPlusSink& sink) { return list_plus(sink); };
  }

  void run() {
    if (!input_.chance(16)) begin();
    if (input_.chance(64)) client_.cut_into(input_.byte() + 16U);
    for (int i = 0; i < kRequestsMax && !input_.empty(); ++i) {
      answers();
      const Planned next = next_request(input_, knowledge_);
      knowledge_.learn(next.request.header().opcode, client_.call(next.request, next.room));
    }
  }

 private:
  void begin() {
    const std::uint32_t minor = input_.chance(64) ? input_.byte() : abi::kKernelMinorVersion;
    const auto flags = input_.value<std::uint32_t>();
    test::FuseRequest init = test::init_request(minor, flags);
    init.with(abi::InitInExt{input_.value<std::uint32_t>(), {}});
    client_.call(init);
  }

  // What the file system is going to say.
  void answers() {
    if (!input_.chance(64)) return;
    fs_.entry.nodeid = input_.byte();
    fs_.opened.fh = input_.byte();
    fs_.xattr = input_.text();
    fs_.target = input_.text();
    fs_.copied = input_.value<std::uint64_t>();
  }

  Status before(const test::Recorded& call) {
    if (takes_entry_names(call.method)) {
      expect_entry_name(call.names.front());
      if (call.method == "rename") expect_entry_name(call.names.at(1));
    }
    // The guest's other processor: after the server has copied, this must not matter.
    if (input_.chance(16)) {
      const ByteSpan other = input_.bytes();
      client_.overwrite_request(input_.byte(), other);
    }
    if (!input_.chance(32)) return ok_status();
    const bool may_wait = call.call.may_wait || (call.method != "read" && call.method != "write");
    if (call.method == "setlkw" || !may_wait) return kWouldWait;
    return Errno(1 + input_.byte());
  }

  Result<std::size_t> read(const abi::ReadIn& in, GuestWriter& room) {
    const std::size_t length = std::min<std::size_t>({in.size, room.remaining(), input_.byte()});
    VFS_CHECK(room.put_bytes(ByteSpan(kText).first(length)));
    return length;
  }
  Result<std::uint32_t> write(const abi::WriteIn& in, GuestReader& data) {
    std::vector<std::byte> bytes(std::min<std::uint32_t>(data.remaining(), input_.byte()));
    VFS_CHECK(data.take_bytes(bytes));
    return std::min(in.size, static_cast<std::uint32_t>(bytes.size()));
  }
  std::string entry_name() { return std::string(1 + input_.byte() % 255U, 'e'); }
  Status list(fuse::DirectorySink& sink) {
    for (std::uint64_t i = input_.byte(); i > 0; --i) {
      if (!sink.add(i, i, input_.byte(), entry_name())) break;
    }
    return ok_status();
  }
  Status list_plus(fuse::DirectoryPlusSink& sink) {
    for (std::uint64_t i = input_.byte(); i > 0; --i) {
      const std::string name = entry_name();
      if (!sink.fits(name.size())) break;
      sink.add(fs_.entry, i, i, input_.byte(), name);
    }
    return ok_status();
  }

  static constexpr std::array<std::byte, 256> kText{};
  Input input_;
  test::FakeFileSystem fs_;
  fuse::Server server_{fs_, fuse::ServerOptions{}};
  test::FuseClient client_{server_};
  Knowledge knowledge_;
};

}  // namespace

void fuzz_server(ByteSpan bytes) { Session(bytes).run(); }

}  // namespace vfs::fuzz
