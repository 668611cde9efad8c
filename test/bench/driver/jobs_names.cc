// Jobs that change directories: create and unlink, mkdir and rmdir, rename. Each slot has names of its own.
#include <sys/syscall.h>

#include "host_files.h"
#include "jobs.h"

namespace vfs::bench {

namespace {

using abi::Opcode;

constexpr std::uint32_t kUmask = 022;

class NamesJob : public Job {
 public:
  void prepare(int directory) override {
    directory_ = open_path(directory, ".");
    check(::fchmod(directory, 0777), "fchmod");
  }
  void open(Client&, std::uint64_t directory) override { parent_ = directory; }

 protected:
  UniqueFd directory_;
  std::uint64_t parent_ = 0;
};

// The identity of another user for the life of the object, as a server takes it on: raw calls, this thread alone.
class ActingAs {
 public:
  explicit ActingAs(std::uint32_t id) : id_(id) {
    if (id_ != 0) set(id_, id_);
  }
  ~ActingAs() {
    if (id_ != 0) set(0, 0);
  }
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;

 private:
  static void set(std::uint32_t gid, std::uint32_t uid) {
    if (uid == 0) check(::syscall(SYS_setresuid, -1, uid, -1), "setresuid");
    check(::syscall(SYS_setresgid, -1, gid, -1), "setresgid");
    if (uid != 0) check(::syscall(SYS_setresuid, -1, uid, -1), "setresuid");
  }
  std::uint32_t id_;
};

class CreateUnlink : public NamesJob {
 public:
  explicit CreateUnlink(std::uint32_t id) : id_(id) {}

  std::string_view unavailable() const override {
    return id_ != 0 && ::geteuid() != 0 ? "only root can act as another user" : "";
  }
  bool next(Slot& slot, RequestWriter& request) override {
    const NumberedName name('c', slot.index);
    switch (slot.step) {
      case 0:
        request.begin(Opcode::kCreate, parent_)
            .argument(abi::CreateIn{kOpenFlags, S_IFREG | 0644, kUmask, 0})
            .name(name.view())
            .reply<abi::CreateOut>();
        break;
      case 1:
        request.begin(Opcode::kRelease, slot.node).argument(abi::ReleaseIn{slot.handle, O_RDWR, 0, 0});
        break;
      case 2:
        request.begin(Opcode::kUnlink, parent_).name(name.view());
        break;
      case 3:
        request.begin(Opcode::kForget, slot.node).argument(abi::ForgetIn{1}).no_reply();
        break;
      default:
        return false;
    }
    request.caller(id_, id_);
    return true;
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step != 0) return;
    const auto created = reply.as<abi::CreateOut>();
    slot.node = created.entry.nodeid;
    slot.handle = created.open.fh;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    const NumberedName name('c', slot.index);
    UniqueFd created;
    {
      const ActingAs caller(id_);
      created = UniqueFd(check_fd(::openat(directory_.get(), name.c_str(), kOpenFlags | O_CLOEXEC, 0644), "create"));
    }
    const UniqueFd found = open_path(directory_.get(), name.c_str());
    struct statx into{};
    check(::statx(found.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &into), "statx");
    created.reset();
    check(::unlinkat(directory_.get(), name.c_str(), 0), "unlink");
    return 1;
  }

 private:
  static constexpr std::uint32_t kOpenFlags = O_RDWR | O_CREAT | O_EXCL;
  std::uint32_t id_;
};

class MkdirRmdir : public NamesJob {
 public:
  bool next(Slot& slot, RequestWriter& request) override {
    const NumberedName name('d', slot.index);
    switch (slot.step) {
      case 0:
        request.begin(Opcode::kMkdir, parent_)
            .argument(abi::MkdirIn{0755, kUmask})
            .name(name.view())
            .reply<abi::EntryOut>();
        return true;
      case 1:
        request.begin(Opcode::kRmdir, parent_).name(name.view());
        return true;
      case 2:
        request.begin(Opcode::kForget, slot.node).argument(abi::ForgetIn{1}).no_reply();
        return true;
      default:
        return false;
    }
  }
  void done(Slot& slot, const Reply& reply) override {
    if (slot.step == 0) slot.node = reply.as<abi::EntryOut>().nodeid;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    const NumberedName name('d', slot.index);
    check(::mkdirat(directory_.get(), name.c_str(), 0755), "mkdir");
    const UniqueFd found = open_path(directory_.get(), name.c_str());
    struct statx into{};
    check(::statx(found.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &into), "statx");
    check(::unlinkat(directory_.get(), name.c_str(), AT_REMOVEDIR), "rmdir");
    return 1;
  }
};

// Forth and back: each operation is one rename. The guest knows the file that it renames, as a kernel always does.
class Rename : public NamesJob {
 public:
  void prepare(int directory) override {
    NamesJob::prepare(directory);
    for (std::uint32_t i = 0; i < kDepthMax; ++i) make_file(directory, NumberedName('a', i).c_str());
  }
  void open(Client& client, std::uint64_t directory) override {
    NamesJob::open(client, directory);
    for (std::uint32_t i = 0; i < kDepthMax; ++i) client.lookup(parent_, NumberedName('a', i).view());
  }
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    const char kind = turn(slot.index) ? 'a' : 'b';
    request.begin(Opcode::kRename2, parent_)
        .argument(abi::Rename2In{parent_, 0, 0})
        .name(NumberedName(kind, slot.index).view())
        .name(NumberedName(other(kind), slot.index).view());
    return true;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    const char kind = turn(slot.index) ? 'a' : 'b';
    const NumberedName from(kind, slot.index);
    const NumberedName to(other(kind), slot.index);
    check(::renameat2(directory_.get(), from.c_str(), directory_.get(), to.c_str(), 0), "rename");
    return 1;
  }

 private:
  static char other(char kind) { return kind == 'a' ? 'b' : 'a'; }
  bool turn(std::uint32_t slot) { return forth_[slot] = !forth_[slot]; }
  std::array<bool, kDepthMax> forth_{};
};

}  // namespace

std::unique_ptr<Job> make_create_unlink(std::uint32_t id) { return std::make_unique<CreateUnlink>(id); }
std::unique_ptr<Job> make_mkdir_rmdir() { return std::make_unique<MkdirRmdir>(); }
std::unique_ptr<Job> make_rename() { return std::make_unique<Rename>(); }

}  // namespace vfs::bench
