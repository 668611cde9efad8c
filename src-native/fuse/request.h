// Request: one FUSE request from its arrival to its answer. It owns the chain, a private copy of the header and of the
// parameters, and knows nothing of threads: it can be served in the queue's thread, moved aside, and served again or
// answered later from another one.
//
// Reply rules (what Linux >= 7.1 verifies, fs/fuse/virtio_fs.c): used length == out_header.len, `unique` echoed, error
// in (-512, 0], an error reply is exactly 16 bytes, a success reply exactly the size of its type. They hold by
// construction: only the finish_… methods answer, once, and they write the header last. send() then hands the chain
// back; after it the request may be in use for another one already, so it is the last thing that anybody does with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "fuse/abi.h"
#include "fuse/name.h"
#include "fuse/tap.h"
#include "memory/chain.h"
#include "memory/private_bytes.h"

namespace vfs::fuse {

class Request;
struct OpRow;

// Gets the reply of a request that was diverted.
class ReplySink {
 public:
  // On the thread that served the request, which is the sink's from then on.
  virtual void replied(Request& request) = 0;

 protected:
  ~ReplySink() = default;
};

// What is counted of a request once it is over.
struct Outcome {
  bool replied = false;  // false: no reply exists, or there was no room for one
  int error = 0;         // positive errno of an error reply
};

class Request {
 public:
  // --- the server's side: taking it in
  // Starts with a new chain; buffers of the request before are reused.
  void start(Chain chain);
  // Copies the header. False: the chain is too short to hold one; nothing can be said about it.
  bool take_header();
  // Copies the parameters: with bulk data only the first `fixed_bytes`, and the rest is left in the reader; without it
  // the whole body, extensions included. E2BIG: more than `limit`. EINVAL: header.len and the chain disagree, or the
  // extensions do not fit.
  Status take_body(std::size_t limit, bool has_bulk_data, std::size_t fixed_bytes);
  // Reserves the reply header. False: the driver left no room for one.
  bool reserve_reply();

  const abi::InHeader& header() const { return header_; }
  const OpRow* row() const { return row_; }
  void set_row(const OpRow* row) { row_ = row; }
  std::uint32_t session() const { return session_; }
  void set_session(std::uint32_t session) { session_ = session; }
  // When it was taken in, if latencies are measured.
  std::chrono::steady_clock::time_point started() const { return started_; }
  void set_started(std::chrono::steady_clock::time_point now) { started_ = now; }

  // --- the handler's side
  Decoder decoder() const;
  // A copy: reading or filling can be tried again.
  GuestReader data() const { return chain_.reader; }
  GuestWriter room() const { return chain_.writer; }
  std::uint32_t room_bytes() const { return chain_.writer.remaining(); }

  // --- the answer, once
  void finish_error(Errno error);
  void finish_empty();
  void finish_bytes(ByteSpan payload);
  // The payload was put directly into room(): `bytes` of it.
  void finish_filled(std::uint32_t bytes);
  // For requests that have no reply (FORGET): the chain goes back with nothing written.
  void finish_silent();
  // There is no way to answer: the chain goes back with nothing written, and is counted.
  void finish_dropped();
  bool answered() const { return answered_; }
  // Hands the chain back. Exactly once, after one of the above.
  void send();

  // Bytes of file data that a READ or WRITE moved, for the counters.
  std::uint64_t moved_bytes() const { return moved_bytes_; }
  void set_moved_bytes(std::uint64_t bytes) { moved_bytes_ = bytes; }

  Outcome outcome() const { return outcome_; }

  // --- for who decides about it before it is served, and about its reply (device/interceptor.h)
  // The parameters, without extensions.
  ByteSpan parameters() const { return ByteSpan(body_).first(body_.size() - extension_bytes_); }
  // Others, in front of the same extensions. With bulk data they must be as long as those before.
  void replace_parameters(ByteSpan parameters);
  // Bytes of data behind the parameters.
  std::uint32_t data_bytes() const { return chain_.reader.remaining(); }
  // Copies the data; what the guest does to its own does not matter any more. E2BIG: there is more than `limit`.
  Result<ByteSpan> keep_data(std::uint32_t limit);
  void replace_data(std::vector<std::byte> data);

  // The next reply is written into `room` bytes of our own (at most what the guest has given), and `sink` gets it
  // instead of the guest: send() calls it.
  void divert(ReplySink& sink, std::uint32_t room);
  bool diverted() const { return diversion_ != nullptr && diversion_->sink != nullptr; }
  // The reply that was caught; the request can be answered now. Until it is started again.
  struct Caught {
    Errno error;  // 0: none
    ByteSpan payload;
  };
  std::optional<Caught> caught() const;

  // What is told of it once it is answered, if somebody watches.
  void set_tapped(std::unique_ptr<Tapped> tapped) { tapped_ = std::move(tapped); }
  std::unique_ptr<Tapped> take_tapped() { return std::move(tapped_); }

 private:
  struct Diversion {
    ReplySink* sink;  // null: it has replied
    GuestWriter room;
    GuestWriter header_room;
    PrivateBytes reply;
    Errno error{0};
    std::uint32_t payload_bytes = 0;
  };

  void finish(Errno error, std::uint32_t payload_bytes);
  void answer(std::uint32_t written);
  void caught_reply();

  Chain chain_;
  GuestWriter header_room_;
  bool has_reply_ = false;
  bool answered_ = false;
  bool dropped_ = false;
  std::uint32_t written_ = 0;
  abi::InHeader header_{};
  const OpRow* row_ = nullptr;
  std::uint32_t session_ = 0;
  std::vector<std::byte> body_;        // parameters, then extensions
  std::uint32_t extension_bytes_ = 0;  // of body_
  Outcome outcome_;
  std::uint64_t moved_bytes_ = 0;
  std::chrono::steady_clock::time_point started_;
  std::unique_ptr<PrivateBytes> kept_data_;
  std::unique_ptr<Diversion> diversion_;
  std::unique_ptr<Tapped> tapped_;
};

}  // namespace vfs::fuse
