// RequestTap: keeps what is told of requests until JavaScript fetches it, a batch at a time.
//
// The guest never waits for it: what does not fit, because nobody fetches, is dropped and counted. So a guest can make
// us lose records by asking more than is fetched, but can neither hide that nor make us remember more than the bounds
// below.
//
// Threading: begun() and answered() from any thread, take() from one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fuse/op_table.h"
#include "fuse/tap.h"
#include "policy/policy_fs.h"

namespace vfs::device {

struct TapOptions {
  std::uint64_t operations = 0;  // bits by fuse::op_slot(); slot 0: unknown ones
  bool begins = false;           // also that they have begun
};

class RequestTap final : public fuse::Tap {
 public:
  static constexpr std::size_t kRecordsMax = 8192;
  // Of names and paths, which alone can be long.
  static constexpr std::size_t kTextBytesMax = std::size_t{4} << 20;

  // `policy` knows paths; null: there are none. `ready`: there is something to take, told once until it is taken; from
  // any thread, with no lock held.
  RequestTap(const TapOptions& options, policy::PolicyFs* policy, std::function<void()> ready);

  void begun(fuse::Request& request, const fuse::Call& call) override;
  void answered(fuse::Request& request) override;

  struct Batch {
    std::vector<fuse::Tapped> records;  // in the order in which they happened
    std::uint64_t lost = 0;             // after these, since the batch before
  };
  Batch take();
  // Of all time.
  std::uint64_t lost() const;

 private:
  bool wants(const fuse::OpRow* row) const { return (options_.operations >> fuse::op_slot(row) & 1U) != 0; }
  void find_paths(fuse::Tapped& record, const fuse::Request& request) const;
  void count_written(const fuse::Request& request);
  // What was written by a handle that is given up.
  std::uint64_t written_by(const fuse::Request& request);
  void forget_handles();
  void keep(fuse::Tapped record);

  // More than any guest may have open.
  static constexpr std::size_t kHandlesMax = std::size_t{1} << 20;

  const TapOptions options_;
  policy::PolicyFs* const policy_;
  const std::function<void()> ready_;
  mutable std::mutex mutex_;  // guards the four below; nothing is taken while it is held
  Batch batch_;
  std::size_t text_bytes_ = 0;
  bool told_ = false;
  std::uint64_t lost_ = 0;
  std::mutex handles_mutex_;                                  // guards the one below; as above
  std::unordered_map<std::uint64_t, std::uint64_t> written_;  // bytes by handle
};

}  // namespace vfs::device
