// Walks of a tree of 10 000 files in 100 directories, none of which the guest knows beforehand: as `find` does it, by
// READDIRPLUS, and as `tar` does it, file by file. An operation of the first is a directory, and counts for its files.
#include <sys/syscall.h>

#include "host_files.h"
#include "jobs.h"
#include "listing.h"

namespace vfs::bench {

namespace {

using abi::Opcode;

constexpr std::uint32_t kDirectories = 100;
constexpr std::uint32_t kFilesEach = 100;
constexpr std::uint32_t kFileBytes = 4096;

class TreeJob : public Job {
 public:
  void prepare(int directory) override {
    for (std::uint32_t i = 0; i < kDirectories; ++i) {
      directories_.push_back(make_directory(directory, NumberedName('d', i).c_str()));
      for (std::uint32_t k = 0; k < kFilesEach; ++k) {
        make_file(directories_.back().get(), NumberedName('f', k).c_str(), kFileBytes);
      }
    }
  }

 protected:
  static void look(int directory, const char* name, int flags) {
    struct statx into{};
    check(::statx(directory, name, flags | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &into), "statx");
  }

  std::vector<UniqueFd> directories_;
};

class WalkFind : public TreeJob {
 public:
  WalkFind() : found_(kDepthMax) {}

  void open(Client&, std::uint64_t directory) override { parent_ = directory; }
  // Steps: LOOKUP, OPENDIR, READDIRPLUS until there is no more, RELEASEDIR, BATCH_FORGET. slot.round counts the steps
  // after the listing.
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 0) {
      turn_ = (turn_ + 1) % kDirectories;
      slot.round = 0;
      slot.number = 0;
      found_[slot.index].clear();
      request.begin(Opcode::kLookup, parent_).name(NumberedName('d', turn_).view()).reply<abi::EntryOut>();
    } else if (slot.step == 1) {
      request.begin(Opcode::kOpendir, slot.node).argument(abi::OpenIn{O_RDONLY, 0}).reply<abi::OpenOut>();
    } else if (slot.round == 0) {
      request.begin(Opcode::kReaddirplus, slot.node)
          .argument(abi::ReadIn{slot.handle, slot.number, kListingBytes, 0, 0, O_RDONLY, 0})
          .data_out(kListingBytes);
    } else if (slot.round == 1) {
      request.begin(Opcode::kReleasedir, slot.node).argument(abi::ReleaseIn{slot.handle, O_RDONLY, 0, 0});
    } else if (slot.round == 2) {
      forget_all(slot, request);
    } else {
      return false;
    }
    return true;
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step == 0) {
      slot.node = reply.as<abi::EntryOut>().nodeid;
      found_[slot.index].push_back({slot.node, 1});
    } else if (slot.step == 1) {
      slot.handle = reply.as<abi::OpenOut>().fh;
    } else if (slot.round > 0) {
      ++slot.round;
    } else if (reply.data().empty()) {
      slot.round = 1;
    } else {
      std::vector<abi::ForgetOne>& found = found_[slot.index];
      slot.number = for_each_plus(reply.data(), [&](const abi::EntryOut& entry) {
        if (entry.nodeid != 0) found.push_back({entry.nodeid, 1});
      });
      slot.units = static_cast<std::uint32_t>(found.size()) - 1;
    }
  }
  std::uint32_t direct(DirectSlot& slot) override {
    turn_ = (turn_ + 1) % kDirectories;
    const UniqueFd directory = open_path(directories_[turn_].get(), ".");
    look(directory.get(), "", AT_EMPTY_PATH);
    const UniqueFd list(check_fd(::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "opendir"));
    while (check(::syscall(SYS_getdents64, list.get(), slot.data, kListingBytes), "getdents64") > 0) continue;
    for (std::uint32_t i = 0; i < kFilesEach; ++i) {
      const UniqueFd file = open_path(directory.get(), NumberedName('f', i).c_str());
      look(file.get(), "", AT_EMPTY_PATH);
    }
    return kFilesEach;
  }

 private:
  void forget_all(const Slot& slot, RequestWriter& request) const {
    const std::vector<abi::ForgetOne>& found = found_[slot.index];
    request.begin(Opcode::kBatchForget, 0)
        .argument(abi::BatchForgetIn{static_cast<std::uint32_t>(found.size()), 0})
        .bytes(std::as_bytes(std::span(found)))
        .no_reply();
  }

  std::uint64_t parent_ = 0;
  std::uint32_t turn_ = 0;
  std::vector<std::vector<abi::ForgetOne>> found_;  // by slot
};

class WalkRead : public TreeJob {
 public:
  void open(Client& client, std::uint64_t directory) override {
    for (std::uint32_t i = 0; i < kDirectories; ++i) {
      nodes_.push_back(client.lookup(directory, NumberedName('d', i).view()));
    }
  }
  bool next(Slot& slot, RequestWriter& request) override {
    switch (slot.step) {
      case 0:
        turn();
        request.begin(Opcode::kLookup, nodes_[directory_]).name(NumberedName('f', file_).view()).reply<abi::EntryOut>();
        return true;
      case 1:
        request.begin(Opcode::kOpen, slot.node).argument(abi::OpenIn{O_RDONLY, 0}).reply<abi::OpenOut>();
        return true;
      case 2:
        request.begin(Opcode::kRead, slot.node)
            .argument(abi::ReadIn{slot.handle, 0, kFileBytes, 0, 0, O_RDONLY, 0})
            .data_out(kFileBytes);
        return true;
      case 3:
        request.begin(Opcode::kRelease, slot.node).argument(abi::ReleaseIn{slot.handle, O_RDONLY, 0, 0});
        return true;
      case 4:
        request.begin(Opcode::kForget, slot.node).argument(abi::ForgetIn{1}).no_reply();
        return true;
      default:
        return false;
    }
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step == 0) slot.node = reply.as<abi::EntryOut>().nodeid;
    if (slot.step == 1) slot.handle = reply.as<abi::OpenOut>().fh;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    turn();
    const UniqueFd found = open_path(directories_[directory_].get(), NumberedName('f', file_).c_str());
    look(found.get(), "", AT_EMPTY_PATH);
    char name[32];
    std::snprintf(name, sizeof(name), "/proc/self/fd/%d", found.get());
    const UniqueFd opened(check_fd(::open(name, O_RDONLY | O_CLOEXEC), "open"));
    check(::pread(opened.get(), slot.data, kFileBytes, 0), "pread");
    return 1;
  }

 private:
  void turn() {
    if (++file_ == kFilesEach) {
      file_ = 0;
      directory_ = (directory_ + 1) % kDirectories;
    }
  }

  std::vector<std::uint64_t> nodes_;
  std::uint32_t directory_ = 0;
  std::uint32_t file_ = 0;
};

}  // namespace

std::unique_ptr<Job> make_walk_find() { return std::make_unique<WalkFind>(); }
std::unique_ptr<Job> make_walk_read() { return std::make_unique<WalkRead>(); }

}  // namespace vfs::bench
