#include "fuzz/requests.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace vfs::fuzz {

namespace {

constexpr std::array<std::uint64_t, 18> kWords{
    0,       1,        2,          4095,       4096,       65536,      (1U << 20) - 1,     1U << 20,   0x7fffffff,
    1 << 30, 1U << 31, 0xffffffff, 1ULL << 32, 1ULL << 40, 1ULL << 62, 0x7fffffffffffffff, 1ULL << 63, ~0ULL};

// Flags, modes, masks, commands: what the halves of a word are.
constexpr auto kHalves = std::to_array<std::uint32_t>({
    0,
    1,
    2,
    4,
    8,
    64,
    4096,
    O_WRONLY,
    O_RDWR,
    O_RDWR | O_CREAT,
    O_RDWR | O_CREAT | O_EXCL,
    O_WRONLY | O_TRUNC,
    O_RDWR | O_APPEND,
    O_RDWR | O_DIRECT,
    O_RDWR | O_TMPFILE,
    O_PATH,
    O_NOFOLLOW | O_NOATIME,
    S_IFREG | 0644,
    S_IFREG | 06777,
    S_IFDIR | 0755,
    S_IFIFO | 0600,
    S_IFSOCK | 0600,
    S_IFCHR | 0600,
    S_IFBLK | 0600,
    S_IFLNK | 0777,
    0777,
    07777,
    0022,
    1234,
    RENAME_NOREPLACE,
    RENAME_EXCHANGE,
    RENAME_WHITEOUT,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_COLLAPSE_RANGE,
    SEEK_DATA,
    SEEK_HOLE,
    R_OK | W_OK | X_OK,
    abi::fattr::kSize,
    abi::fattr::kMode | abi::fattr::kUid | abi::fattr::kGid,
    abi::fattr::kSize | abi::fattr::kFh | abi::fattr::kKillSuidgid,
    abi::fattr::kAtime | abi::fattr::kMtime | abi::fattr::kAtimeNow | abi::fattr::kMtimeNow,
    0xffff,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    static_cast<std::uint32_t>(abi::init_flag::kInitExt | abi::init_flag::kMaxPages | abi::init_flag::kPosixAcl |
                               abi::init_flag::kSetxattrExt | abi::init_flag::kExportSupport),
    static_cast<std::uint32_t>(abi::init_flag::kSecurityCtx >> 32 | abi::init_flag::kCreateSuppGroup >> 32),
    abi::kKernelVersion,
    abi::kKernelMinorVersion,
    abi::kMinorVersionMin,
    0x80086601,  // FS_IOC_GETFLAGS
    0x40086602,  // FS_IOC_SETFLAGS
    0x801c581f,  // FS_IOC_FSGETXATTR
    0x401c5820,  // FS_IOC_FSSETXATTR
    0xc0096616,  // FS_IOC_GET_ENCRYPTION_POLICY_EX
    0x40806685,  // FS_IOC_ENABLE_VERITY
    0xc0046686,  // FS_IOC_MEASURE_VERITY
    0x40986601,  // FS_IOC_SETPERMISSION of ChromeOS
    0x41806601,  // FS_IOC_SETPATHXATTR
});

// First those that mean something in the directory of the operations' target.
constexpr auto kNames = std::to_array<std::string_view>({"file",
                                                         "dir",
                                                         "new",
                                                         "other",
                                                         "link",
                                                         "linked-dir",
                                                         "fifo",
                                                         "FILE",
                                                         ".",
                                                         "..",
                                                         "",
                                                         "/",
                                                         "../outside/secret",
                                                         "dir/file",
                                                         "/etc/passwd",
                                                         "file\0hidden",
                                                         "user.x",
                                                         "security.capability",
                                                         "security.selinux",
                                                         "system.posix_acl_access",
                                                         "system.posix_acl_default",
                                                         "trusted.overlay.opaque",
                                                         "user.containers.override_stat",
                                                         "user.virtiofs.security.capability",
                                                         "../outside"});

constexpr std::array<std::uint32_t, 12> kRooms{4096,     0,        15,       16,       17,    32,
                                               104 + 16, 128 + 16, 144 + 16, 288 + 16, 65536, 1U << 20};

enum class Kind : std::uint8_t { kRaw, kNode, kHandle, kWord, kSmall, kPair, kCount };

std::uint64_t word(Input& input, const Knowledge& knowledge) {
  switch (static_cast<Kind>(input.below(static_cast<std::size_t>(Kind::kCount)))) {
    case Kind::kNode:
      return knowledge.node(input);
    case Kind::kHandle:
      return knowledge.handle(input);
    case Kind::kWord:
      return input.pick(kWords);
    case Kind::kSmall:
      return input.byte();
    case Kind::kPair: {
      const std::uint64_t low = input.pick(kHalves);
      return low | std::uint64_t{input.pick(kHalves)} << 32;
    }
    default:
      return input.value<std::uint64_t>();
  }
}

void add_name(Input& input, test::FuseRequest& request) {
  if (input.chance(32)) {
    request.name(std::string(input.byte(), 'n'));
  } else if (input.chance(32)) {
    request.raw(input.bytes());
  } else {
    request.name(input.pick(kNames));
  }
}

// What a request to create may carry: groups, or a security context.
void add_extensions(Input& input, test::FuseRequest& request) {
  if (input.chance(128)) {
    request.with(abi::ExtHeader{16, abi::kExtGroups}).with(std::array<std::uint32_t, 2>{1, input.pick(kHalves)});
    request.claim_extensions(2);
  } else {
    const ByteSpan raw = input.bytes();
    request.raw(raw).claim_extensions(static_cast<std::uint16_t>(raw.size() / 8));
  }
}

void add_lies(Input& input, test::FuseRequest& request) {
  if (input.chance(128)) request.claim_length(input.value<std::uint32_t>());
  if (input.chance(128)) request.claim_extensions(input.value<std::uint16_t>());
}

constexpr std::uint32_t kUser = 1234;

// What next_request() reads for a request of this row: a body of raw zeros.
std::string plain_request(std::size_t row, const fuse::OpRow& op) {
  std::string text{static_cast<char>(row), 0, 0};
  for (std::size_t i = 0; i < (op.fixed_bytes + 7U) / 8; ++i) text += {static_cast<char>(Kind::kSmall), 0};
  text += {1, 0, 0, 0};
  return text;
}

}  // namespace

void Knowledge::add(std::vector<std::uint64_t>& numbers, std::uint64_t number) const {
  if (numbers.size() < kKnownMax && std::ranges::find(numbers, number) == numbers.end()) numbers.push_back(number);
}

void Knowledge::learn(std::uint32_t opcode, const test::FuseReply& reply) {
  if (reply.error() != 0) return;
  const auto op = static_cast<abi::Opcode>(opcode);
  const ByteSpan payload = reply.payload;
  if (payload.size() == sizeof(abi::EntryOut) || payload.size() == sizeof(abi::CreateOut)) {
    if (op != abi::Opcode::kRead) add(nodes_, value_from<abi::EntryOut>(payload).nodeid);
  }
  if (payload.size() == sizeof(abi::CreateOut)) add(handles_, value_from<abi::CreateOut>(payload).open.fh);
  // Where there was no room for a reply there is none, and no error either.
  const bool opens = op == abi::Opcode::kOpen || op == abi::Opcode::kOpendir;
  if (opens && payload.size() == sizeof(abi::OpenOut)) add(handles_, reply.as<abi::OpenOut>().fh);
}

Planned next_request(Input& input, const Knowledge& knowledge) {
  const auto rows = fuse::op_rows();
  const std::size_t row = input.below(rows.size() + 1);
  const bool known = row < rows.size();
  const auto opcode = known ? static_cast<std::uint32_t>(rows[row].opcode) : input.value<std::uint32_t>();
  test::FuseRequest request(opcode, knowledge.node(input));
  const std::uint8_t who = input.byte();
  const std::uint32_t own = ::geteuid();
  const std::uint32_t uid = who < 128 ? own : who < 192 ? kUser : who < 224 ? 0 : ~std::uint32_t{0};
  request.caller(uid, who < 128 ? ::getegid() : uid, who);
  // The last word may be half a structure's, and then the names begin too late: that is a malformed request, too.
  const std::size_t bytes = known ? rows[row].fixed_bytes : input.below(64);
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t next = word(input, knowledge);
    request.raw(bytes_of(next).first(std::min<std::size_t>(8, bytes - at)));
  }
  const std::size_t names = input.below(4);
  for (std::size_t i = 0; i < names % 3; ++i) add_name(input, request);
  if (names == 3) request.text(std::string(input.value<std::uint16_t>(), 'd'));
  if (input.chance(16)) add_extensions(input, request);
  if (input.chance(8)) add_lies(input, request);
  return {request, input.pick(kRooms)};
}

std::vector<std::string> dictionary() {
  std::vector<std::string> words;
  const auto rows = fuse::op_rows();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto opcode = static_cast<std::uint32_t>(rows[row].opcode);
    words.emplace_back(text_of(bytes_of(opcode)));
    // libFuzzer takes words of up to 64 bytes.
    words.push_back(plain_request(row, rows[row]).substr(0, 64));
  }
  for (const std::string_view name : kNames) {
    if (!name.empty()) words.emplace_back(name);
  }
  for (const std::uint64_t& number : kWords) words.emplace_back(text_of(bytes_of(number)));
  for (const std::uint32_t& number : kHalves) words.emplace_back(text_of(bytes_of(number)));
  return words;
}

}  // namespace vfs::fuzz
