// Short requests beside a long one: slot 0 does something slow again and again, all others ask for attributes, and what
// is measured is how long these take.
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "host_files.h"
#include "jobs.h"

namespace vfs::bench {

namespace {

using abi::Opcode;

constexpr std::uint64_t kFileBytes = 16U << 20;

class MixJob : public Job {
 public:
  void prepare(int directory) override {
    file_ = make_file(directory, "slow", kFileBytes);
    look(directory);
  }
  void open(Client& client, std::uint64_t directory) override {
    node_ = client.lookup(directory, "slow");
    handle_ = client.open(node_, O_RDWR);
  }
  bool is_disturbance(const Slot& slot) const override { return slot.index == 0; }
  bool next(Slot& slot, RequestWriter& request) override {
    if (is_disturbance(slot)) return next_slow(slot, request);
    if (slot.step == 1) return false;
    request.begin(Opcode::kGetattr, abi::kRootId).argument(abi::GetattrIn{}).reply<abi::AttrOut>();
    return true;
  }
  // One thread that waits does nothing else: there is no such limit.
  bool has_direct() const override { return false; }
  std::uint32_t direct(DirectSlot&) override { return 0; }
  std::string_view unavailable() const override { return unavailable_; }

 protected:
  virtual void look(int directory) = 0;
  virtual bool next_slow(Slot& slot, RequestWriter& request) = 0;

  UniqueFd file_;
  std::uint64_t node_ = 0;
  std::uint64_t handle_ = 0;
  std::string_view unavailable_;
};

class MixFsync : public MixJob {
 protected:
  void look(int directory) override {
    struct statfs into{};
    check(::fstatfs(directory, &into), "fstatfs");
    if (into.f_type == TMPFS_MAGIC) unavailable_ = "an fsync on tmpfs does nothing";
  }
  bool next_slow(Slot& slot, RequestWriter& request) override {
    constexpr std::uint32_t kWrites = kFileBytes / kDataBytesMax;
    if (slot.step < kWrites) {
      const std::uint64_t offset = std::uint64_t{slot.step} * kDataBytesMax;
      request.begin(Opcode::kWrite, node_)
          .argument(abi::WriteIn{handle_, offset, kDataBytesMax, 0, 0, O_RDWR, 0})
          .data_in(kDataBytesMax)
          .reply<abi::WriteOut>();
    } else if (slot.step == kWrites) {
      request.begin(Opcode::kFsync, node_).argument(abi::FsyncIn{handle_, 0, 0});
    } else {
      return false;
    }
    return true;
  }
};

// The job's directory is a file system of its own, which is frozen for 200 ms at a time: what changes it waits, for any
// backend, and nothing else does.
class MixBlocked : public MixJob {
 public:
  void begin_run(unsigned) override {
    stop_ = false;
    freezer_ = std::thread([this] { freeze_and_thaw(); });
  }
  void end_run() override {
    stop_ = true;
    freezer_.join();
  }

 protected:
  void look(int directory) override {
    struct stat here{};
    struct stat above{};
    check(::fstat(directory, &here), "fstat");
    check(::fstatat(directory, "..", &above, 0), "fstatat");
    if (here.st_dev == above.st_dev) unavailable_ = "the directory mix-blocked is not a mount point";
    directory_ = UniqueFd(static_cast<int>(check(::dup(directory), "dup")));
  }
  bool next_slow(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kFallocate, node_).argument(abi::FallocateIn{handle_, 0, kFileBytes, 0, 0});
    return true;
  }

 private:
  void freeze_and_thaw() {
    while (!stop_) {
      check(::ioctl(directory_.get(), FIFREEZE, 0), "FIFREEZE");
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      check(::ioctl(directory_.get(), FITHAW, 0), "FITHAW");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  UniqueFd directory_;
  std::atomic<bool> stop_{false};
  std::thread freezer_;
};

}  // namespace

std::unique_ptr<Job> make_mix_fsync() { return std::make_unique<MixFsync>(); }
std::unique_ptr<Job> make_mix_blocked() { return std::make_unique<MixBlocked>(); }

}  // namespace vfs::bench
