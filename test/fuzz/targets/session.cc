// The file that keeps a session for the next process, with anything in it: the next process goes on with what makes
// sense, reaches nothing outside the share by the rest, and leaves nothing over.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/sys.h"
#include "fuzz/requests.h"
#include "fuzz/target.h"
#include "fuzz/tree.h"
#include "passthrough/passthrough_fs.h"
#include "passthrough/session_file.h"
#include "support/fault_loop.h"

namespace vfs::fuzz {

namespace {

using abi::Opcode;
using passthrough::HandleRecords;
using passthrough::NodeRecords;
using passthrough::SessionFile;
using test::FuseRequest;

constexpr int kChangesMax = 32;
constexpr int kRequestsMax = 24;
// More slots than the first session fills.
constexpr std::size_t kSlots = 8;

// Where session_file.cc has its parts.
constexpr std::uint64_t kHeaderBytes = 4096;
constexpr std::uint64_t kNodesAt = kHeaderBytes;
constexpr std::uint64_t kFilesAt = kNodesAt + NodeRecords::bytes(SessionFile::kNodesMax + passthrough::kSlotShards);
constexpr std::uint64_t kDirectoriesAt =
    kFilesAt + HandleRecords::bytes(SessionFile::kHandlesMax + passthrough::kSlotShards);

std::unique_ptr<passthrough::PassthroughFs> open_share(const std::string& root, int session_fd, bool handles) {
  passthrough::PassthroughOptions options;
  options.root = root;
  options.session_fd = session_fd;
  options.posix_locks = options.flock = true;
  if (handles) options.file_handles = passthrough::FileHandles::kPrefer;
  auto made = passthrough::PassthroughFs::create(options);
  EXPECT_TRUE(made.ok());
  return made.ok() ? std::move(made).value() : nullptr;
}

// What a guest does before the process is killed.
void begin(passthrough::PassthroughFs& fs, Knowledge& knowledge) {
  fuse::Server server(fs, fuse::ServerOptions{});
  test::FuseClient client(server);
  const auto ask = [&](const FuseRequest& request) {
    const auto reply = client.call(request);
    EXPECT_EQ(reply.error(), 0);
    knowledge.learn(request.header().opcode, reply);
    return reply;
  };
  client.call(test::init_request());
  const std::uint64_t file = ask(FuseRequest(Opcode::kLookup).name("file")).as<abi::EntryOut>().nodeid;
  const std::uint64_t directory = ask(FuseRequest(Opcode::kLookup).name("dir")).as<abi::EntryOut>().nodeid;
  ask(FuseRequest(Opcode::kLookup, directory).name("file"));
  ask(FuseRequest(Opcode::kLookup).name("link"));
  ask(FuseRequest(Opcode::kOpen, file).with(abi::OpenIn{O_RDWR, 0}));
  ask(FuseRequest(Opcode::kOpendir, directory).with(abi::OpenIn{O_RDONLY, 0}));
}

// One place of the file, in the header or in a record that may be in use.
std::uint64_t place(Input& input) {
  const std::size_t part = input.below(4);
  if (part == 0) return input.byte();
  const std::size_t slot = input.below(kSlots);
  if (part == 1) return kFilesAt + slot * sizeof(HandleRecords::Place) + input.below(sizeof(HandleRecords::Place));
  if (part == 2)
    return kDirectoriesAt + slot * sizeof(HandleRecords::Place) + input.below(sizeof(HandleRecords::Place));
  return kNodesAt + slot * sizeof(NodeRecords::Place) + input.value<std::uint16_t>() % sizeof(NodeRecords::Place);
}

void spoil(Input& input, int fd) {
  if (input.chance(8)) {
    EXPECT_EQ(::ftruncate(fd, input.value<std::uint16_t>()), 0);
  }
  const std::size_t changes = input.below(kChangesMax);
  for (std::size_t i = 0; i < changes && !input.empty(); ++i) {
    const auto at = static_cast<off_t>(place(input));
    const std::string text = input.chance(64) ? std::string("../outside/secret") : input.text();
    EXPECT_EQ(::pwrite(fd, text.data(), text.size(), at), static_cast<ssize_t>(text.size()));
  }
}

void go_on(Input& input, passthrough::PassthroughFs& fs, Knowledge& knowledge) {
  fuse::Server server(fs, fuse::ServerOptions{});
  server.resume_session();
  test::FuseClient client(server);
  const FileSizeLimit limit;  // the client's memory is a longer file
  for (int i = 0; i < kRequestsMax && !input.empty(); ++i) {
    const Planned next = next_request(input, knowledge);
    const test::FuseReply reply = client.call(next.request, next.room);
    expect_nothing_secret(reply);
    knowledge.learn(next.request.header().opcode, reply);
  }
  server.end_session();
}

}  // namespace

void fuzz_session(ByteSpan bytes) {
  Input input(bytes);
  const Tree tree;
  const UniqueFd state(::open(tree.beside("state").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const int descriptors = test::open_descriptors();
  const bool handles = input.chance(128);
  Knowledge knowledge;
  if (const auto fs = open_share(tree.share(), state.get(), handles); fs != nullptr) begin(*fs, knowledge);
  spoil(input, state.get());
  if (const auto fs = open_share(tree.share(), state.get(), handles); fs != nullptr) {
    go_on(input, *fs, knowledge);
    EXPECT_EQ(fs->inode_count(), 0U);
    EXPECT_EQ(fs->handle_count(), 0U);
  }
  EXPECT_EQ(test::open_descriptors(), descriptors);
  tree.expect_outside_untouched();
}

}  // namespace vfs::fuzz
