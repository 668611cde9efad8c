// READDIR and READDIRPLUS: entries are packed into the reply as they come, padded to 8 bytes, until one does not fit.
#include <linux/limits.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "fuse/handlers.h"
#include "fuse/invoke.h"
#include "fuse/padding.h"

namespace vfs::fuse {

namespace {

struct Listed {
  std::uint64_t ino;
  std::uint64_t cookie;
  std::uint32_t type;
  std::string_view name;
};

// Each member where it belongs: a structure that is made first and copied then would be read before it is written, and
// that wait is longer than all else that an entry takes.
void put_dirent(MutableByteSpan to, const Listed& listed) {
  value_to(to.subspan(offsetof(abi::Dirent, ino)), listed.ino);
  value_to(to.subspan(offsetof(abi::Dirent, off)), listed.cookie);
  value_to(to.subspan(offsetof(abi::Dirent, namelen)), static_cast<std::uint32_t>(listed.name.size()));
  value_to(to.subspan(offsetof(abi::Dirent, type)), listed.type);
}

// Packs one entry after the other, and gives the guest a block of them at a time: a window on its memory for each
// would cost more than the entry.
class Packer {
 public:
  // `head_bytes`: what stands before the name, the Dirent last.
  Packer(GuestWriter room, std::size_t head_bytes) : room_(room), head_bytes_(head_bytes) {}

  bool fits(std::size_t name_length) const {
    return padded(head_bytes_ + name_length) <= room_.remaining() - collected_;
  }

  // The caller has asked fits(). Returns the place for what stands before the Dirent.
  MutableByteSpan put(const Listed& listed) {
    const std::size_t size = padded(head_bytes_ + listed.name.size());
    if (size > block_.size() - collected_) flush();
    const MutableByteSpan entry = MutableByteSpan(block_).subspan(collected_, size);
    // The padding is the end of the last word, or nothing of it: then the rest comes over it.
    value_to(entry.last(sizeof(std::uint64_t)), std::uint64_t{0});
    const std::size_t front = head_bytes_ - sizeof(abi::Dirent);
    put_dirent(entry.subspan(front), listed);
    copy_bytes(entry.subspan(head_bytes_), std::as_bytes(std::span(listed.name)));
    collected_ += static_cast<std::uint32_t>(size);
    return entry.first(front);
  }

  // How many bytes the guest has been given. EFAULT: its memory is gone.
  Result<std::uint32_t> finish() {
    flush();
    if (failed_) return Errno(EFAULT);
    return bytes_;
  }

 private:
  void flush() {
    if (room_.put_bytes(ByteSpan(block_).first(collected_)).ok()) {
      bytes_ += collected_;
    } else {
      failed_ = true;
    }
    collected_ = 0;
  }

  GuestWriter room_;
  const std::size_t head_bytes_;
  std::uint32_t bytes_ = 0;
  bool failed_ = false;
  std::uint32_t collected_ = 0;
  std::array<std::byte, 4096> block_;  // only the first `collected_` bytes have a value
  static_assert(sizeof(block_) >= padded(sizeof(abi::Direntplus) + NAME_MAX));
};

class PlainSink final : public DirectorySink, public Packer {
 public:
  explicit PlainSink(GuestWriter room) : Packer(room, sizeof(abi::Dirent)) {}
  bool add(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) override {
    VFS_ASSERT(name.size() <= NAME_MAX);
    if (!fits(name.size())) return false;
    put({ino, cookie, type, name});
    return true;
  }
};

class PlusSink final : public DirectoryPlusSink, public Packer {
 public:
  explicit PlusSink(GuestWriter room) : Packer(room, sizeof(abi::Direntplus)) {}
  bool fits(std::size_t name_length) const override { return Packer::fits(name_length); }
  void add(const abi::EntryOut& entry, std::uint64_t ino, std::uint64_t cookie, std::uint32_t type,
           std::string_view name) override {
    VFS_ASSERT(name.size() <= NAME_MAX && fits(name.size()));
    value_to(put({ino, cookie, type, name}), entry);
  }
};

template <typename Sink, auto Method>
Progress list(Server& server, Request& request, bool may_wait) {
  with_parameters(request, static_cast<std::tuple<abi::ReadIn>*>(nullptr), [&](const abi::ReadIn& in) {
    GuestWriter room = request.room();
    VFS_ASSERT(room.limit_to(std::min(in.size, room.remaining())));
    Sink sink(room);
    const Status status = (server.file_system().*Method)(server.call_of(request, may_wait), in, sink);
    const auto listed = sink.finish();
    if (!listed.ok()) return request.finish_dropped();
    // What was listed before an error is an answer; the error comes again when the guest asks on from there.
    if (!status.ok() && listed.value() == 0) return request.finish_error(status.error());
    request.finish_filled(listed.value());
  });
  return Progress::kDone;
}

}  // namespace

Progress handle_readdir(Server& server, Request& request, bool may_wait) {
  return list<PlainSink, &FileSystem::readdir>(server, request, may_wait);
}

Progress handle_readdirplus(Server& server, Request& request, bool may_wait) {
  return list<PlusSink, &FileSystem::readdirplus>(server, request, may_wait);
}

}  // namespace vfs::fuse
