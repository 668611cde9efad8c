// Jobs that move data: reads and writes of a file that is in the host's page cache, and fsync.
#include <sys/uio.h>

#include <algorithm>
#include <random>

#include "host_files.h"
#include "jobs.h"

namespace vfs::bench {

namespace {

using abi::Opcode;

constexpr std::uint64_t kFileBytes = 64U << 20;

// An open file, and where in it the next operation works.
class FileJob : public Job {
 public:
  FileJob(std::uint32_t bytes, Order order) : bytes_(bytes), order_(order), blocks_(kFileBytes / bytes) {}

  void prepare(int directory) override { file_ = make_file(directory, "data", kFileBytes); }
  void open(Client& client, std::uint64_t directory) override {
    node_ = client.lookup(directory, "data");
    handle_ = client.open(node_, O_RDWR);
  }
  std::uint32_t data_bytes() const override { return bytes_; }

 protected:
  std::uint64_t next_offset() {
    block_ = order_ == Order::kRandom ? random_() % blocks_ : (block_ + 1) % blocks_;
    return block_ * bytes_;
  }
  // The pieces in which a guest's pages reach the kernel.
  std::span<const iovec> pages(const DirectSlot& slot) {
    vectors_.clear();
    for (std::uint32_t done = 0; done < bytes_; done += slot.segment_bytes) {
      vectors_.push_back({slot.data + done, std::min(slot.segment_bytes, bytes_ - done)});
    }
    return vectors_;
  }

  std::uint32_t bytes_;
  UniqueFd file_;
  std::uint64_t node_ = 0;
  std::uint64_t handle_ = 0;

 private:
  Order order_;
  std::uint64_t blocks_;
  std::uint64_t block_ = 0;
  std::mt19937_64 random_{42};
  std::vector<iovec> vectors_;
};

class Read : public FileJob {
 public:
  using FileJob::FileJob;
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(Opcode::kRead, node_)
        .argument(abi::ReadIn{handle_, next_offset(), bytes_, 0, 0, O_RDWR, 0})
        .data_out(bytes_)
        .any_order();
    return true;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    const auto to = pages(slot);
    check(::preadv(file_.get(), to.data(), static_cast<int>(to.size()), static_cast<off_t>(next_offset())), "preadv");
    return 1;
  }
};

class Write : public FileJob {
 public:
  using FileJob::FileJob;
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    write_request(request);
    return true;
  }
  std::uint32_t direct(DirectSlot& slot) override {
    const auto from = pages(slot);
    const auto at = static_cast<off_t>(next_offset());
    check(::pwritev(file_.get(), from.data(), static_cast<int>(from.size()), at), "pwritev");
    return 1;
  }

 protected:
  void write_request(RequestWriter& request) {
    request.begin(Opcode::kWrite, node_)
        .argument(abi::WriteIn{handle_, next_offset(), bytes_, 0, 0, O_RDWR, 0})
        .data_in(bytes_)
        .any_order()
        .reply<abi::WriteOut>();
  }
};

class Fsync : public Write {
 public:
  Fsync() : Write(4096, Order::kRandom) {}
  bool next(Slot& slot, RequestWriter& request) override {
    switch (slot.step) {
      case 0:
        write_request(request);
        return true;
      case 1:
        request.begin(Opcode::kFsync, node_).argument(abi::FsyncIn{handle_, 0, 0});
        return true;
      default:
        return false;
    }
  }
  std::uint32_t direct(DirectSlot& slot) override {
    Write::direct(slot);
    check(::fsync(file_.get()), "fsync");
    return 1;
  }
};

}  // namespace

std::unique_ptr<Job> make_read(std::uint32_t bytes, Order order) { return std::make_unique<Read>(bytes, order); }
std::unique_ptr<Job> make_write(std::uint32_t bytes, Order order) { return std::make_unique<Write>(bytes, order); }
std::unique_ptr<Job> make_fsync() { return std::make_unique<Fsync>(); }

}  // namespace vfs::bench
