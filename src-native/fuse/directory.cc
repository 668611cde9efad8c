// READDIR and READDIRPLUS: entries are packed into the reply as they come, padded to 8 bytes, until one does not fit.
#include <linux/limits.h>

#include <algorithm>
#include <array>

#include "fuse/handlers.h"
#include "fuse/invoke.h"
#include "fuse/padding.h"

namespace vfs::fuse {

namespace {

// Packs one entry after the other, and gives the guest a block of them at a time: a window on its memory for each
// would cost more than the entry. `Head` is what stands before the name.
template <typename Head>
class Packer {
 public:
  explicit Packer(GuestWriter room) : room_(room) {}

  bool fits(std::size_t name_length) const {
    return padded(sizeof(Head) + name_length) <= room_.remaining() - collected_;
  }

  // The caller has asked fits().
  void put(const Head& head, std::string_view name) {
    const std::size_t size = padded(sizeof(Head) + name.size());
    if (size > block_.size() - collected_) flush();
    const MutableByteSpan entry = MutableByteSpan(block_).subspan(collected_, size);
    copy_bytes(entry, bytes_of(head));
    copy_bytes(entry.subspan(sizeof(Head)), std::as_bytes(std::span(name)));
    const MutableByteSpan padding = entry.subspan(sizeof(Head) + name.size());
    std::fill(padding.begin(), padding.end(), std::byte{0});
    collected_ += static_cast<std::uint32_t>(size);
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
  std::uint32_t bytes_ = 0;
  bool failed_ = false;
  std::uint32_t collected_ = 0;
  std::array<std::byte, 4096> block_;  // only the first `collected_` bytes have a value
  static_assert(sizeof(block_) >= padded(sizeof(Head) + NAME_MAX));
};

abi::Dirent dirent(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) {
  return {ino, cookie, static_cast<std::uint32_t>(name.size()), type};
}

class PlainSink final : public DirectorySink, public Packer<abi::Dirent> {
 public:
  using Packer::Packer;
  bool add(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) override {
    VFS_ASSERT(name.size() <= NAME_MAX);
    if (!fits(name.size())) return false;
    put(dirent(ino, cookie, type, name), name);
    return true;
  }
};

class PlusSink final : public DirectoryPlusSink, public Packer<abi::Direntplus> {
 public:
  using Packer::Packer;
  bool fits(std::size_t name_length) const override { return Packer::fits(name_length); }
  void add(const abi::EntryOut& entry, std::uint64_t ino, std::uint64_t cookie, std::uint32_t type,
           std::string_view name) override {
    VFS_ASSERT(name.size() <= NAME_MAX && fits(name.size()));
    put(abi::Direntplus{entry, dirent(ino, cookie, type, name)}, name);
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
