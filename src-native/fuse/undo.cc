#include "fuse/undo.h"

#include <algorithm>
#include <vector>

namespace vfs::fuse {

namespace {

using abi::Opcode;

void release(FileSystem& fs, const Call& call, std::uint64_t handle) {
  static_cast<void>(
      fs.release(call, abi::ReleaseIn{.fh = handle, .flags = 0, .release_flags = 0, .lock_owner = 0}).ok());
}

// The nodes of a READDIRPLUS reply, each as often as it counts as a lookup.
std::vector<std::uint64_t> listed_nodes(ByteSpan payload) {
  std::vector<std::uint64_t> nodes;
  while (payload.size() >= sizeof(abi::Direntplus)) {
    const auto entry = value_from<abi::Direntplus>(payload);
    if (entry.entry_out.nodeid != 0) nodes.push_back(entry.entry_out.nodeid);
    // As Linux goes from one to the next: FUSE_DIRENTPLUS_SIZE.
    const std::size_t length = (sizeof(abi::Direntplus) + std::size_t{entry.dirent.namelen} + 7) & ~std::size_t{7};
    payload = payload.subspan(std::min(length, payload.size()));
  }
  return nodes;
}

void forget_unlisted(FileSystem& fs, const Call& call, ByteSpan payload, ByteSpan given) {
  std::vector<std::uint64_t> kept = listed_nodes(given);
  for (const std::uint64_t node : listed_nodes(payload)) {
    if (const auto found = std::find(kept.begin(), kept.end(), node); found != kept.end()) {
      kept.erase(found);
    } else {
      fs.forget(call, node, 1);
    }
  }
}

}  // namespace

void take_back(FileSystem& file_system, const Call& call, const OpRow& row, ByteSpan payload, ByteSpan given) {
  if (row.opcode == Opcode::kReaddirplus) return forget_unlisted(file_system, call, payload, given);
  if (!given.empty() || payload.size() < row.reply_bytes) return;
  switch (row.opcode) {
    case Opcode::kOpen:
      return release(file_system, call, value_from<abi::OpenOut>(payload).fh);
    case Opcode::kOpendir:
      static_cast<void>(
          file_system.releasedir(call, abi::ReleaseIn{value_from<abi::OpenOut>(payload).fh, 0, 0, 0}).ok());
      return;
    case Opcode::kCreate:
    case Opcode::kTmpfile:
    case Opcode::kOpenAtomic: {
      const auto created = value_from<abi::CreateOut>(payload);
      if (created.entry.nodeid == 0) return;
      Call of_file = call;
      of_file.nodeid = created.entry.nodeid;
      release(file_system, of_file, created.open.fh);
      return file_system.forget(call, created.entry.nodeid, 1);
    }
    case Opcode::kLookup:
    case Opcode::kSymlink:
    case Opcode::kMknod:
    case Opcode::kMkdir:
    case Opcode::kLink:
    case Opcode::kChromeosTmpfile:
      if (const auto entry = value_from<abi::EntryOut>(payload); entry.nodeid != 0) {
        file_system.forget(call, entry.nodeid, 1);
      }
      return;
    default:
      return;
  }
}

}  // namespace vfs::fuse
