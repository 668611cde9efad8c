#include "fuse/server.h"

namespace vfs::fuse {

Counters::~Counters() {
  for (auto& errors : errors_by_number_) delete errors.load(std::memory_order_relaxed);
}

// Out of line: most requests succeed.
void Counters::count_error(std::size_t slot, int error) {
  bump(errors_[slot], 1);
  ByNumber* errors = errors_by_number_[slot].load(std::memory_order_relaxed);
  if (errors == nullptr) {
    errors = new ByNumber{};
    errors_by_number_[slot].store(errors, std::memory_order_release);
  }
  const auto number = static_cast<std::size_t>(error);
  bump((*errors)[number < kErrnoPlaces ? number : 0], 1);
}

void Counters::add_to(Snapshot& sum) const {
  for (std::size_t i = 0; i < kOpSlots; ++i) {
    sum.operations[i] += operations_[i].load(std::memory_order_relaxed);
    sum.errors[i] += errors_[i].load(std::memory_order_relaxed);
    sum.latency_sums[i] += latency_sums_[i].load(std::memory_order_relaxed);
    for (std::size_t c = 0; c < kLatencyClasses; ++c) {
      sum.latencies[i][c] += latencies_[i][c].load(std::memory_order_relaxed);
    }
    const ByNumber* errors = errors_by_number_[i].load(std::memory_order_acquire);
    if (errors == nullptr) continue;
    for (std::size_t number = 0; number < kErrnoPlaces; ++number) {
      const std::uint64_t count = (*errors)[number].load(std::memory_order_relaxed);
      if (count > 0) sum.errors_by_number[i][static_cast<int>(number)] += count;
    }
  }
  sum.bytes_read += bytes_read_.load(std::memory_order_relaxed);
  sum.bytes_written += bytes_written_.load(std::memory_order_relaxed);
  sum.dropped += dropped_.load(std::memory_order_relaxed);
}

// Errno 0: go on.
Errno Server::admit(const Request& request) const {
  const OpRow* row = request.row();
  if (row == nullptr) return Errno(ENOSYS);
  if (row->before_init) return Errno(0);
  // As libfuse answers: there is nothing to work on before INIT and after DESTROY.
  if (!session_.active.load(std::memory_order_acquire)) return Errno(EIO);
  if (row->since_minor > session_.minor.load(std::memory_order_relaxed)) return Errno(ENOSYS);
  if (options_.read_only && row->effect == Effect::kWrite) return Errno(EROFS);
  return Errno(0);
}

std::optional<Wait> Server::receive(Request& request, Counters& counters) {
  if (options_.measure_latency) request.set_started(std::chrono::steady_clock::now());
  if (!request.take_header()) {
    drop(request, counters);
    return std::nullopt;
  }
  const OpRow* row = find_op(request.header().opcode);
  request.set_row(row);
  request.set_session(session_.number.load(std::memory_order_acquire));
  const bool silent = row != nullptr && row->answer == Answer::kSilent;
  if (!silent && !request.reserve_reply()) {
    // Nothing is executed whose result could not be told.
    drop(request, counters);
    return std::nullopt;
  }
  Errno refusal = admit(request);
  if (refusal == Errno(0)) {
    VFS_ASSERT(row != nullptr);  // admit() refuses what has no row
    const auto body = request.take_body(row->body_bytes, row->has_bulk_data, row->fixed_bytes);
    if (!body.ok()) {
      refusal = body.error();
    } else if (!silent && request.room_bytes() < row->reply_bytes) {
      refusal = Errno(ENOBUFS);
    }
  }
  if (tap_ != nullptr) {
    // Who watches is told what was refused, too.
    if (row != nullptr && refusal == Errno(EROFS)) {
      [[maybe_unused]] const auto body = request.take_body(row->body_bytes, row->has_bulk_data, row->fixed_bytes);
    }
    tap_->begun(request, call_of(request, false));
  }
  if (refusal != Errno(0)) {
    refuse(request, refusal, counters);
    return std::nullopt;
  }
  return request.row()->wait;
}

Progress Server::serve(Request& request, bool may_wait, Counters& counters) {
  const OpRow* row = request.row();
  const Progress progress = row->handler(*this, request, may_wait);
  if (progress == Progress::kWouldWait) {
    VFS_ASSERT(!may_wait || row->wait == Wait::kPark);
    return progress;
  }
  finish(request, counters);
  return Progress::kDone;
}

// Counts what happened and lets go of the request, which may be another one's from then on.
void Server::finish(Request& request, Counters& counters) const {
  VFS_ASSERT(request.answered());
  // It is counted when the guest has its answer.
  if (request.diverted()) return request.send();
  const OpRow* row = request.row();
  const Outcome outcome = request.outcome();
  counters.count(op_slot(row), outcome.error);
  if (options_.measure_latency) {
    const auto took = std::chrono::steady_clock::now() - request.started();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
    counters.count_latency(op_slot(row), static_cast<std::uint64_t>(ns));
  }
  if (row != nullptr && outcome.error == 0) {
    if (row->opcode == abi::Opcode::kRead) counters.count_read(request.moved_bytes());
    if (row->opcode == abi::Opcode::kWrite) counters.count_written(request.moved_bytes());
  }
  if (tap_ != nullptr) tap_->answered(request);
  request.send();
}

void Server::drop(Request& request, Counters& counters) {
  counters.count_dropped();
  request.finish_dropped();
  request.send();
}

void Server::refuse(Request& request, Errno error, Counters& counters) {
  const OpRow* row = request.row();
  if (row != nullptr && row->answer == Answer::kSilent) {
    request.finish_silent();
  } else {
    if (row != nullptr && row->wait == Wait::kPark) fs_.stops_waiting(request.header().unique);
    request.finish_error(error);
  }
  finish(request, counters);
}

void Server::answer(Request& request, ByteSpan payload, Counters& counters) {
  if (payload.size() < request.row()->reply_bytes) return refuse(request, Errno(EIO), counters);
  request.finish_bytes(payload);
  if (request.row()->opcode == abi::Opcode::kRead) request.set_moved_bytes(payload.size());
  finish(request, counters);
}

void Server::end_session() {
  const std::lock_guard lock(session_change_);
  session_.active.store(false, std::memory_order_release);
  fs_.destroy();
}

Call Server::call_of(const Request& request, bool may_wait) const {
  const abi::InHeader& header = request.header();
  return Call{
      header.nodeid,
      header.uid,
      header.gid,
      header.pid,
      request.session(),
      may_wait,
      Negotiated{session_.minor.load(std::memory_order_relaxed), session_.flags.load(std::memory_order_relaxed)},
      header.unique};
}

}  // namespace vfs::fuse
