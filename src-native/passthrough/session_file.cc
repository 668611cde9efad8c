#include "passthrough/session_file.h"

#include <linux/falloc.h>

#include <array>
#include <atomic>

namespace vfs::passthrough {

namespace {

constexpr std::uint64_t kMagic = 0x6e6f697373654656;  // "VFession"
constexpr std::uint32_t kVersion = 1;

constexpr std::size_t kNodeSlots = SlotTable<Inode>::slots(SessionFile::kNodesMax);
constexpr std::size_t kHandleSlots = SlotTable<Inode>::slots(SessionFile::kHandlesMax);

// Where the parts are. Most of the file is holes.
constexpr std::uint64_t kHeaderBytes = 4096;
constexpr std::uint64_t kNodesAt = kHeaderBytes;
constexpr std::uint64_t kFilesAt = kNodesAt + NodeRecords::bytes(kNodeSlots);
constexpr std::uint64_t kDirectoriesAt = kFilesAt + HandleRecords::bytes(kHandleSlots);
constexpr std::uint64_t kFileBytes = kDirectoriesAt + HandleRecords::bytes(kHandleSlots);

}  // namespace

struct SessionFile::Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t node_bytes;
  std::uint32_t handle_bytes;
  std::uint32_t born_nanoseconds;
  std::int64_t born_seconds;
  std::uint64_t device;
  std::uint64_t ino;
  std::uint64_t active;  // 1: a session has begun and not ended
  std::uint64_t offered;
  std::uint64_t wanted;
  std::uint64_t flags;
  std::uint32_t minor;
  std::uint32_t write_bytes_max;
  std::array<std::uint64_t, 3> tops;  // see Records
};

Result<std::unique_ptr<SessionFile>> SessionFile::open(UniqueFd fd, const Root& root) {
  static_assert(sizeof(Header) <= kHeaderBytes);
  VFS_TRY(const std::uint64_t size, sys::file_size(fd.get()));
  // Any other size is none of ours.
  if (size != kFileBytes) {
    VFS_CHECK(sys::ftruncate(fd.get(), static_cast<std::int64_t>(kFileBytes)));
  }
  VFS_CHECK(sys::fallocate(fd.get(), 0, 0, static_cast<std::int64_t>(kHeaderBytes)));
  VFS_TRY(void* const mapped, sys::map_shared(fd.get(), kFileBytes, 0));
  auto file = std::unique_ptr<SessionFile>(new SessionFile(std::move(fd), mapped, root));
  file->found_ = size == 0 ? Found::kNothing : size != kFileBytes ? Found::kUnusable : file->examine();
  if (file->found_ == Found::kSession) {
    file->make_records();
  } else {
    VFS_CHECK(file->prepare());
  }
  return file;
}

SessionFile::SessionFile(UniqueFd fd, void* mapped, const Root& root)
    : fd_(std::move(fd)), mapped_(mapped), root_(root) {}

SessionFile::~SessionFile() { sys::unmap(mapped_, kFileBytes); }

SessionFile::Found SessionFile::examine() const {
  const Header& seen = header();
  if (seen.magic == 0) return Found::kNothing;
  const bool ours = seen.magic == kMagic && seen.version == kVersion && seen.node_bytes == sizeof(NodeRecords::Place) &&
                    seen.handle_bytes == sizeof(HandleRecords::Place);
  if (!ours || seen.active > 1) return Found::kUnusable;
  if (seen.active == 0) return Found::kNothing;
  const bool fits = seen.tops[0] <= kNodeSlots && seen.tops[1] <= kHandleSlots + HandleRecords::kPerChunk &&
                    seen.tops[2] <= kHandleSlots + HandleRecords::kPerChunk;
  const Root root{seen.device, seen.ino, {seen.born_seconds, seen.born_nanoseconds}};
  return fits && root == root_ ? Found::kSession : Found::kUnusable;
}

Status SessionFile::prepare() {
  Header& fresh = header();
  // Until it is good the file is as good as empty.
  std::atomic_ref(fresh.magic).store(0, std::memory_order_release);
  fresh = Header{};
  // Holes read as zeros, whatever was there.
  VFS_CHECK(sys::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kHeaderBytes,
                           static_cast<std::int64_t>(kFileBytes - kHeaderBytes)));
  make_records();
  fresh.version = kVersion;
  fresh.node_bytes = sizeof(NodeRecords::Place);
  fresh.handle_bytes = sizeof(HandleRecords::Place);
  fresh.device = root_.device;
  fresh.ino = root_.ino;
  fresh.born_seconds = root_.born.seconds;
  fresh.born_nanoseconds = root_.born.nanoseconds;
  std::atomic_ref(fresh.magic).store(kMagic, std::memory_order_release);
  return Unit{};
}

void SessionFile::make_records() {
  auto* const start = static_cast<std::byte*>(mapped_);
  const int fd = fd_.get();
  auto& tops = header().tops;
  nodes_ = std::make_unique<NodeRecords>(fd, kNodesAt, start + kNodesAt, kNodeSlots, tops[0]);
  files_ = std::make_unique<HandleRecords>(fd, kFilesAt, start + kFilesAt, kHandleSlots, tops[1]);
  directories_ = std::make_unique<HandleRecords>(fd, kDirectoriesAt, start + kDirectoriesAt, kHandleSlots, tops[2]);
}

fuse::SessionTerms SessionFile::terms() const {
  const Header& seen = header();
  return {seen.minor, seen.write_bytes_max, seen.offered, seen.wanted, seen.flags};
}

void SessionFile::set_terms(const fuse::SessionTerms& terms) {
  Header& now = header();
  now.minor = terms.minor;
  now.write_bytes_max = terms.write_bytes_max;
  now.offered = terms.offered;
  now.wanted = terms.wanted;
  now.flags = terms.flags;
  std::atomic_ref(now.active).store(1, std::memory_order_release);
}

void SessionFile::end() { std::atomic_ref(header().active).store(0, std::memory_order_release); }

Status SessionFile::discard() { return prepare(); }

}  // namespace vfs::passthrough
