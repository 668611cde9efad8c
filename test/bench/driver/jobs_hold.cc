// Not a job that is reported: makes and looks up file after file and forgets none, so that what a backend keeps for
// each known inode can be measured from outside.
#include "host_files.h"
#include "jobs.h"

namespace vfs::bench {

namespace {

class Hold : public Job {
 public:
  void prepare(int directory) override { directory_ = UniqueFd(check_fd(::dup(directory), "dup")); }
  void open(Client&, std::uint64_t directory) override { parent_ = directory; }
  bool next(Slot& slot, RequestWriter& request) override {
    if (slot.step == 1) return false;
    const NumberedName name('h', next_++);
    make_file(directory_.get(), name.c_str());
    request.begin(abi::Opcode::kLookup, parent_).name(name.view()).reply<abi::EntryOut>();
    return true;
  }
  bool has_direct() const override { return false; }
  std::uint32_t direct(DirectSlot&) override { return 0; }

 private:
  UniqueFd directory_;
  std::uint64_t parent_ = 0;
  std::uint32_t next_ = 0;
};

}  // namespace

std::unique_ptr<Job> make_hold() { return std::make_unique<Hold>(); }

}  // namespace vfs::bench
