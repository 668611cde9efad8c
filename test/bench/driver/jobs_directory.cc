// Jobs that list a directory: OPENDIR, READDIR or READDIRPLUS until there is no more, RELEASEDIR.
#include <sys/syscall.h>

#include "host_files.h"
#include "jobs.h"
#include "listing.h"

namespace vfs::bench {

namespace {

using abi::Opcode;

// The layout of getdents64(2), which no header of the C library has in full.
struct HostDirent {
  std::uint64_t ino;
  std::int64_t off;
  std::uint16_t reclen;
  unsigned char type;
  char name[1];
};

// Slot.number is the offset to go on from, slot.round becomes 1 with the reply that ends the listing.
class ListingJob : public Job {
 public:
  ListingJob(std::uint32_t entries, Opcode opcode) : entries_(entries), opcode_(opcode) {}

  void prepare(int directory) override {
    directory_ = UniqueFd(::dup(directory));
    check(directory_.get(), "dup");
    for (std::uint32_t i = 0; i < entries_; ++i) make_file(directory, NumberedName('f', i).c_str());
  }
  void open(Client& client, std::uint64_t directory) override {
    directory_node_ = directory;
    Slot& slot = client.call_slot();
    // Once through, so that every entry is known when it is measured.
    for (slot.step = 0;; ++slot.step) {
      RequestWriter request = client.writer(slot);
      if (!next(slot, request)) break;
      const Reply reply = client.call(request.request());
      done(slot, reply);
    }
    slot.step = 0;
  }
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 0) {
      slot.round = 0;
      slot.number = 0;
      request.begin(Opcode::kOpendir, directory_node_).argument(abi::OpenIn{O_RDONLY, 0}).reply<abi::OpenOut>();
    } else if (slot.round == 0) {
      request.begin(opcode_, directory_node_)
          .argument(abi::ReadIn{slot.handle, slot.number, kListingBytes, 0, 0, O_RDONLY, 0})
          .data_out(kListingBytes);
    } else if (slot.round == 1) {
      request.begin(Opcode::kReleasedir, directory_node_).argument(abi::ReleaseIn{slot.handle, O_RDONLY, 0, 0});
    } else {
      return false;
    }
    return true;
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step == 0) {
      slot.handle = reply.as<abi::OpenOut>().fh;
    } else if (slot.round == 1) {
      slot.round = 2;
    } else if (reply.data().empty()) {
      slot.round = 1;
    } else {
      slot.number = opcode_ == Opcode::kReaddir ? last_offset(reply.data()) : for_each_plus(reply.data(), [](auto&) {});
    }
  }
  std::uint32_t direct(DirectSlot& slot) override {
    const UniqueFd list(check_fd(::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "opendir"));
    for (;;) {
      const long got = check(::syscall(SYS_getdents64, list.get(), slot.data, kListingBytes), "getdents64");
      if (got == 0) return 1;
      if (opcode_ == Opcode::kReaddirplus) look_at_each({slot.data, static_cast<std::size_t>(got)});
    }
  }

 private:
  void look_at_each(ByteSpan listing) const {
    while (!listing.empty()) {
      const auto* entry = reinterpret_cast<const HostDirent*>(listing.data());
      struct statx into{};
      check(::statx(directory_.get(), entry->name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &into), "statx");
      listing = listing.subspan(entry->reclen);
    }
  }

  std::uint32_t entries_;
  Opcode opcode_;
  UniqueFd directory_;
  std::uint64_t directory_node_ = 0;
};

}  // namespace

std::unique_ptr<Job> make_readdir(std::uint32_t entries) {
  return std::make_unique<ListingJob>(entries, Opcode::kReaddir);
}
std::unique_ptr<Job> make_readdirplus(std::uint32_t entries) {
  return std::make_unique<ListingJob>(entries, Opcode::kReaddirplus);
}

}  // namespace vfs::bench
