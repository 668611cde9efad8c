// READDIR and READDIRPLUS: entries are packed into the reply as they come, padded to 8 bytes, until one does not fit.
#include <linux/limits.h>

#include <algorithm>
#include <array>

#include "fuse/handlers.h"
#include "fuse/invoke.h"
#include "fuse/padding.h"

namespace vfs::fuse {

namespace {

// Packs one entry after the other into guest memory. `Head` is what stands before the name.
template <typename Head>
class Packer {
 public:
  explicit Packer(GuestWriter room) : room_(room) {}

  bool fits(std::size_t name_length) const { return padded(sizeof(Head) + name_length) <= room_.remaining(); }

  // The caller has asked fits().
  void put(const Head& head, std::string_view name) {
    std::array<std::byte, padded(sizeof(Head) + NAME_MAX)> entry{};
    const MutableByteSpan whole(entry);
    copy_bytes(whole, bytes_of(head));
    copy_bytes(whole.subspan(sizeof(Head)), std::as_bytes(std::span(name)));
    const std::size_t size = padded(sizeof(Head) + name.size());
    if (room_.put_bytes(whole.first(size)).ok()) {
      bytes_ += static_cast<std::uint32_t>(size);
    } else {
      failed_ = true;
    }
  }

  std::uint32_t bytes() const { return bytes_; }
  bool failed() const { return failed_; }

 private:
  GuestWriter room_;
  std::uint32_t bytes_ = 0;
  bool failed_ = false;
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

template <typename Sink, typename Method>
Progress list(Server& server, Request& request, bool may_wait, Method method) {
  with_parameters(request, static_cast<std::tuple<abi::ReadIn>*>(nullptr), [&](const abi::ReadIn& in) {
    GuestWriter room = request.room();
    if (!room.limit_to(std::min(in.size, room.remaining()))) return request.finish_error(Errno(EINVAL));
    Sink sink(room);
    const Status status = (server.file_system().*method)(server.call_of(request, may_wait), in, sink);
    if (sink.failed()) return request.finish_dropped();
    // What was listed before an error is an answer; the error comes again when the guest asks on from there.
    if (!status.ok() && sink.bytes() == 0) return request.finish_error(status.error());
    request.finish_filled(sink.bytes());
  });
  return Progress::kDone;
}

}  // namespace

Progress handle_readdir(Server& server, Request& request, bool may_wait) {
  return list<PlainSink>(server, request, may_wait, &FileSystem::readdir);
}

Progress handle_readdirplus(Server& server, Request& request, bool may_wait) {
  return list<PlusSink>(server, request, may_wait, &FileSystem::readdirplus);
}

}  // namespace vfs::fuse
