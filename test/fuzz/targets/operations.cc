// Sequences of operations on a real directory: nothing outside it is read or changed, the thread stays who it is, and
// when the session ends nothing is left over.
#include <gtest/gtest.h>

#include "base/sys.h"
#include "fuzz/requests.h"
#include "fuzz/target.h"
#include "fuzz/tree.h"
#include "passthrough/passthrough_fs.h"
#include "support/fault_loop.h"

namespace vfs::fuzz {

namespace {

constexpr int kRequestsMax = 48;

passthrough::PassthroughOptions options_from(Input& input, const std::string& root) {
  passthrough::PassthroughOptions options;
  options.root = root;
  const auto flags = input.value<std::uint16_t>();
  options.posix_locks = options.flock = (flags & 1) != 0;
  options.ascii_casefold = (flags & 2) != 0;
  options.writeback = (flags & 4) != 0;
  options.identity.override_stat = (flags & 8) != 0;
  options.read_only = (flags & 16) != 0;
  options.open_atomic = options.chromeos_tmpfile = (flags & 32) != 0;
  options.registered_xattrs_max = options.identity.registered_rules_max = (flags & 64) != 0 ? 4 : 0;
  options.allow_direct_io = options.preserve_noatime = (flags & 128) != 0;
  options.zero_message_open = (flags & 0x1e0) == 0x100;
  if ((flags & 0x200) != 0) options.xattr_map = passthrough::XattrMap(passthrough::security_rewriting_rules());
  options.cache = static_cast<passthrough::CachePolicy>((flags >> 10) & 3);
  if ((flags & 0x1101) == 0x1000) options.file_handles = passthrough::FileHandles::kPrefer;
  options.descriptors_max = (flags & 0x2000) != 0 ? 12 : 0;
  return options;
}

void converse(Input& input, passthrough::PassthroughFs& fs) {
  fuse::Server server(fs, fuse::ServerOptions{});
  test::FuseClient client(server);
  const FileSizeLimit limit;  // the client's memory is a longer file
  test::FuseRequest init = test::init_request(abi::kKernelMinorVersion, ~input.value<std::uint32_t>());
  client.call(init.with(abi::InitInExt{~input.value<std::uint32_t>(), {}}));
  Knowledge knowledge;
  for (int i = 0; i < kRequestsMax && !input.empty(); ++i) {
    const Planned next = next_request(input, knowledge);
    const test::FuseReply reply = client.call(next.request, next.room);
    expect_nothing_secret(reply);
    knowledge.learn(next.request.header().opcode, reply);
  }
  EXPECT_EQ(client.call(test::FuseRequest(abi::Opcode::kDestroy, 0)).error(), 0);
}

}  // namespace

void fuzz_operations(ByteSpan bytes) {
  Input input(bytes);
  const Tree tree;
  const auto before = sys::thread_credentials();
  const int descriptors = test::open_descriptors();
  {
    const auto made = passthrough::PassthroughFs::create(options_from(input, tree.share()));
    ASSERT_TRUE(made.ok()) << made.error().value();
    converse(input, *made.value());
    EXPECT_EQ(made.value()->inode_count(), 0U);
    EXPECT_EQ(made.value()->handle_count(), 0U);
  }
  EXPECT_EQ(test::open_descriptors(), descriptors);
  const auto after = sys::thread_credentials();
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(after.value().uid.effective, before.value().uid.effective);
  EXPECT_EQ(after.value().gid.effective, before.value().gid.effective);
  EXPECT_EQ(after.value().effective, before.value().effective);
  tree.expect_outside_untouched();
}

}  // namespace vfs::fuzz
