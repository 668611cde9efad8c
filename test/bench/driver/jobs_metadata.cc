// Jobs on inodes that exist: attributes, names, open, extended attributes.
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "host_files.h"
#include "jobs.h"

namespace vfs::bench {

namespace {

using abi::Opcode;

constexpr std::uint32_t kFiles = 256;
constexpr unsigned kStatMask = STATX_BASIC_STATS;

// A directory of kFiles files; each operation takes the next one.
class FilesJob : public Job {
 public:
  void prepare(int directory) override {
    directory_ = open_path(directory, ".");
    for (std::uint32_t i = 0; i < kFiles; ++i) {
      const NumberedName name('f', i);
      const UniqueFd made = make_file(directory, name.c_str(), 4096);
      adorn(made.get());
      files_.push_back(open_path(directory, name.c_str()));
      // A name in /proc, as the servers open a file again whose descriptor is only a path.
      proc_names_.push_back("/proc/self/fd/" + std::to_string(files_.back().get()));
    }
  }
  void open(Client& client, std::uint64_t directory) override {
    parent_ = directory;
    if (!holds_nodes()) return;
    for (std::uint32_t i = 0; i < kFiles; ++i) nodes_.push_back(client.lookup(parent_, NumberedName('f', i).view()));
  }

 protected:
  virtual bool holds_nodes() const { return true; }
  virtual void adorn(int /*file*/) {}

  std::uint32_t turn() { return turn_ = (turn_ + 1) % kFiles; }
  int file(std::uint32_t i) const { return files_[i].get(); }
  std::uint64_t node(std::uint32_t i) const { return nodes_[i]; }

  UniqueFd directory_;
  std::uint64_t parent_ = 0;
  std::vector<std::string> proc_names_;

 private:
  std::vector<UniqueFd> files_;
  std::vector<std::uint64_t> nodes_;
  std::uint32_t turn_ = 0;
};

class Statfs : public FilesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kStatfs, node(turn())).reply<abi::StatfsOut>();
    return true;
  }
  std::uint32_t direct(DirectSlot&) override {
    struct statfs into{};
    check(::fstatfs(file(turn()), &into), "fstatfs");
    return 1;
  }
};

class Getattr : public FilesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kGetattr, node(turn())).argument(abi::GetattrIn{}).reply<abi::AttrOut>();
    return true;
  }
  std::uint32_t direct(DirectSlot&) override {
    struct statx into{};
    check(::statx(file(turn()), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatMask, &into), "statx");
    return 1;
  }
};

class LookupKnown : public FilesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kLookup, parent_).name(NumberedName('f', turn()).view()).reply<abi::EntryOut>();
    return true;
  }
  std::uint32_t direct(DirectSlot&) override {
    struct statx into{};
    check(::statx(directory_.get(), NumberedName('f', turn()).c_str(), AT_SYMLINK_NOFOLLOW, kStatMask, &into), "statx");
    return 1;
  }
};

// One slot looks a file up and forgets it: no other may hold it meanwhile, so there are more files than slots.
class LookupNew : public FilesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    switch (slot.step) {
      case 0:
        request.begin(Opcode::kLookup, parent_).name(NumberedName('f', turn()).view()).reply<abi::EntryOut>();
        return true;
      case 1:
        request.begin(Opcode::kForget, slot.node).argument(abi::ForgetIn{1}).no_reply();
        return true;
      default:
        return false;
    }
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step == 0) slot.node = reply.as<abi::EntryOut>().nodeid;
  }
  std::uint32_t direct(DirectSlot&) override {
    const UniqueFd found = open_path(directory_.get(), NumberedName('f', turn()).c_str());
    struct statx into{};
    check(::statx(found.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatMask, &into), "statx");
    return 1;
  }

 protected:
  bool holds_nodes() const override { return false; }
};

class LookupMissing : public FilesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    const NumberedName name('m', turn());
    request.begin(Opcode::kLookup, parent_).name(name.view()).reply<abi::EntryOut>().expect(ENOENT);
    return true;
  }
  std::uint32_t direct(DirectSlot&) override {
    struct statx into{};
    const NumberedName name('m', turn());
    if (::statx(directory_.get(), name.c_str(), AT_SYMLINK_NOFOLLOW, kStatMask, &into) == 0)
      die("a name is not missing");
    return 1;
  }
};

class OpenRelease : public FilesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    switch (slot.step) {
      case 0:
        slot.node = node(turn());
        request.begin(Opcode::kOpen, slot.node).argument(abi::OpenIn{O_RDONLY, 0}).reply<abi::OpenOut>();
        return true;
      case 1:
        request.begin(Opcode::kRelease, slot.node).argument(abi::ReleaseIn{slot.handle, O_RDONLY, 0, 0});
        return true;
      default:
        return false;
    }
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step == 0) slot.handle = reply.as<abi::OpenOut>().fh;
  }
  std::uint32_t direct(DirectSlot&) override {
    const UniqueFd opened(check_fd(::open(proc_names_[turn()].c_str(), O_RDONLY | O_CLOEXEC), "open"));
    return 1;
  }
};

constexpr const char* kXattrName = "user.bench";
constexpr std::string_view kXattrValue = "sixteen bytes...";

class XattrJob : public FilesJob {
 public:
  std::string_view unavailable() const override { return unavailable_; }

 protected:
  void adorn(int file) override {
    if (::fsetxattr(file, kXattrName, kXattrValue.data(), kXattrValue.size(), 0) == 0) return;
    if (errno != EOPNOTSUPP) die("fsetxattr", errno);
    unavailable_ = "this file system has no extended attributes";
  }

 private:
  std::string_view unavailable_;
};

class Getxattr : public XattrJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kGetxattr, node(turn())).argument(abi::GetxattrIn{256, 0}).name(kXattrName).data_out(256);
    return true;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    check(::getxattr(proc_names_[turn()].c_str(), kXattrName, slot.data, 256), "getxattr");
    return 1;
  }
};

class Setxattr : public XattrJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kSetxattr, node(turn()))
        .argument(abi::SetxattrInCompat{static_cast<std::uint32_t>(kXattrValue.size()), 0})
        .name(kXattrName)
        .bytes(std::as_bytes(std::span(kXattrValue)));
    return true;
  }
  std::uint32_t direct(DirectSlot&) override {
    check(::setxattr(proc_names_[turn()].c_str(), kXattrName, kXattrValue.data(), kXattrValue.size(), 0), "setxattr");
    return 1;
  }
};

}  // namespace

std::unique_ptr<Job> make_statfs() { return std::make_unique<Statfs>(); }
std::unique_ptr<Job> make_getattr() { return std::make_unique<Getattr>(); }
std::unique_ptr<Job> make_lookup_known() { return std::make_unique<LookupKnown>(); }
std::unique_ptr<Job> make_lookup_new() { return std::make_unique<LookupNew>(); }
std::unique_ptr<Job> make_lookup_missing() { return std::make_unique<LookupMissing>(); }
std::unique_ptr<Job> make_open_release() { return std::make_unique<OpenRelease>(); }
std::unique_ptr<Job> make_getxattr() { return std::make_unique<Getxattr>(); }
std::unique_ptr<Job> make_setxattr() { return std::make_unique<Setxattr>(); }

}  // namespace vfs::bench
