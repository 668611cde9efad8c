// Not a job that is reported: looks up file after file and forgets none, so that what a backend keeps for each known
// inode can be measured from outside.
#include "host_files.h"
#include "jobs.h"

namespace vfs::bench {

namespace {

class Hold : public Job {
 public:
  void prepare(int directory) override {
    for (std::uint32_t i = 0; i < kHeldFiles; ++i) make_file(directory, NumberedName('h', i).c_str());
  }
  void open(Client&, std::uint64_t directory) override { parent_ = directory; }
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    request.begin(abi::Opcode::kLookup, parent_)
        .name(NumberedName('h', next_++ % kHeldFiles).view())
        .reply<abi::EntryOut>();
    return true;
  }
  bool has_direct() const override { return false; }
  std::uint32_t direct(DirectSlot&) override { return 0; }

 private:
  std::uint64_t parent_ = 0;
  std::uint32_t next_ = 0;
};

}  // namespace

std::unique_ptr<Job> make_hold() { return std::make_unique<Hold>(); }

}  // namespace vfs::bench
