#include "device/request_tap.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fuse/file_system.h"
#include "fuse/request.h"

namespace vfs::device {

namespace {

using abi::Opcode;

// Two names, or a name and the target of a symlink, behind any structure. Values of attributes are not asked for.
constexpr std::size_t kParameterBytesMax = 4608;

std::optional<std::uint64_t> second_node(Opcode opcode, fuse::Decoder decoder) {
  switch (opcode) {
    case Opcode::kRename:
    case Opcode::kRename2: {
      const auto in = decoder.take<abi::RenameIn>();
      if (in.ok()) return in.value().newdir;
      break;
    }
    case Opcode::kLink: {
      const auto in = decoder.take<abi::LinkIn>();
      if (in.ok()) return in.value().oldnodeid;
      break;
    }
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64: {
      const auto in = decoder.take<abi::CopyFileRangeIn>();
      if (in.ok()) return in.value().nodeid_out;
      break;
    }
    default:
      break;
  }
  return std::nullopt;
}

// SETXATTR alone has a structure that grew while its opcode stayed.
std::size_t names_at(const fuse::OpRow& row, const fuse::Call& call) {
  const bool longer = row.opcode == Opcode::kSetxattr && call.negotiated.has(abi::init_flag::kSetxattrExt);
  return longer ? sizeof(abi::SetxattrIn) : row.fixed_bytes;
}

std::size_t text_bytes(const fuse::Tapped& record) {
  return record.parameters.size() + record.path.size() + record.second_path.size();
}

}  // namespace

RequestTap::RequestTap(const TapOptions& options, policy::PolicyFs* policy, std::function<void()> ready)
    : options_(options), policy_(policy), ready_(std::move(ready)) {}

void RequestTap::begun(fuse::Request& request, const fuse::Call& call) {
  const fuse::OpRow* row = request.row();
  if (!wants(row)) return;
  auto record = std::make_unique<fuse::Tapped>();
  const abi::InHeader& header = request.header();
  record->unique = header.unique;
  record->node = header.nodeid;
  record->opcode = header.opcode;
  record->uid = header.uid;
  record->gid = header.gid;
  record->pid = header.pid;
  const ByteSpan parameters = request.decoder().rest();
  const ByteSpan kept = parameters.first(std::min(parameters.size(), kParameterBytesMax));
  record->parameters.assign(kept.begin(), kept.end());
  if (row != nullptr) {
    record->names_at = names_at(*row, call);
    find_paths(*record, request);
  }
  record->begun = std::chrono::steady_clock::now();
  record->at = std::chrono::system_clock::now();
  if (options_.begins) keep(*record);
  request.set_tapped(std::move(record));
}

// Before it is served, because a name that is linked or moved has another place afterwards.
void RequestTap::find_paths(fuse::Tapped& record, const fuse::Request& request) const {
  if (policy_ == nullptr) return;
  if (auto path = policy_->path_of(record.node); path.ok()) record.path = std::move(path).value();
  const auto second = second_node(request.row()->opcode, request.decoder());
  if (!second.has_value()) return;
  if (auto path = policy_->path_of(*second); path.ok()) record.second_path = std::move(path).value();
}

void RequestTap::answered(fuse::Request& request) {
  const fuse::OpRow* row = request.row();
  const bool succeeded = request.outcome().error == 0;
  if (row != nullptr && succeeded) {
    if (row->opcode == Opcode::kWrite) count_written(request);
    if (row->opcode == Opcode::kInit || row->opcode == Opcode::kDestroy) forget_handles();
  }
  const std::unique_ptr<fuse::Tapped> record = request.take_tapped();
  if (record == nullptr) return;
  record->answered = true;
  record->error = request.outcome().error;
  record->moved_bytes = request.moved_bytes();
  if (row != nullptr && row->opcode == Opcode::kRelease) record->written_bytes = written_by(request);
  record->took = std::chrono::steady_clock::now() - record->begun;
  record->at = std::chrono::system_clock::now();
  keep(std::move(*record));
}

void RequestTap::count_written(const fuse::Request& request) {
  // Only a RELEASE takes the counter away again.
  if (!wants(fuse::find_op(static_cast<std::uint32_t>(Opcode::kRelease)))) return;
  const auto in = request.decoder().take<abi::WriteIn>();
  if (!in.ok()) return;
  const std::lock_guard lock(handles_mutex_);
  if (written_.size() >= kHandlesMax && !written_.contains(in.value().fh)) return;
  written_[in.value().fh] += request.moved_bytes();
}

std::uint64_t RequestTap::written_by(const fuse::Request& request) {
  const auto in = request.decoder().take<abi::ReleaseIn>();
  if (!in.ok()) return 0;
  const std::lock_guard lock(handles_mutex_);
  const auto found = written_.find(in.value().fh);
  if (found == written_.end()) return 0;
  const std::uint64_t bytes = found->second;
  written_.erase(found);
  return bytes;
}

void RequestTap::forget_handles() {
  const std::lock_guard lock(handles_mutex_);
  written_.clear();
}

void RequestTap::keep(fuse::Tapped record) {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = text_bytes(record);
    // After a loss nothing more until the batch is taken: the gap is then behind its last record.
    if (batch_.lost > 0 || batch_.records.size() >= kRecordsMax || text_bytes_ + bytes > kTextBytesMax) {
      ++batch_.lost;
      ++lost_;
    } else {
      batch_.records.push_back(std::move(record));
      text_bytes_ += bytes;
    }
    if (std::exchange(told_, true)) return;
  }
  ready_();
}

RequestTap::Batch RequestTap::take() {
  const std::lock_guard lock(mutex_);
  told_ = false;
  text_bytes_ = 0;
  return std::exchange(batch_, {});
}

std::uint64_t RequestTap::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace vfs::device
