// The table of operations: one row per opcode that the server knows. Everything that differs between operations is a
// column here; server.cc has no list of opcodes.
#pragma once

#include <cstdint>
#include <span>

#include "fuse/abi.h"

namespace vfs::fuse {

class Request;
class Server;

// Whether a request may occupy the queue's thread.
enum class Wait : std::uint8_t {
  kNever,     // short: always in the queue's thread
  kTryFirst,  // in the queue's thread if it need not wait, else again in the pool
  kMay,       // straight to the pool
  kPark,      // in the queue's thread; what would wait is set aside and tried again (device/parking_lot)
};

// What an operation does to the share.
enum class Effect : std::uint8_t {
  kRead,     // nothing that outlives the session, but for times of access
  kWrite,    // changes it, whatever the parameters are: never served where the share is read-only
  kDepends,  // on the parameters: the file system decides
};

// Which answer exists.
enum class Answer : std::uint8_t {
  kReply,   // a header and, on success, a payload
  kSilent,  // none, whatever happens (FORGET, BATCH_FORGET, INTERRUPT)
};

enum class Progress : std::uint8_t {
  kDone,       // the request has been answered
  kWouldWait,  // nothing has happened yet: serve it again where waiting is allowed
};

using Handler = Progress (*)(Server&, Request&, bool may_wait);

struct OpRow {
  abi::Opcode opcode;
  const char* name;          // as in <linux/fuse.h>, without FUSE_
  std::uint8_t since_minor;  // first 7.x that has it
  Wait wait;
  Answer answer;
  Effect effect;
  bool before_init;           // allowed when no session is on
  bool has_bulk_data;         // the data behind the parameters stays in guest memory
  std::uint16_t fixed_bytes;  // size of the parameters' structure
  std::uint32_t
      body_bytes;  // of parameters and extensions at most; with bulk data, what stays in guest memory not counted
  std::uint32_t reply_bytes;  // room that a success needs behind the header; refused before anything happens
  Handler handler;
};

// Null: unknown. O(1).
const OpRow* find_op(std::uint32_t opcode);
// All rows, by opcode.
std::span<const OpRow> op_rows();

// Counters are kept per opcode in arrays of this length; place 0 is for unknown ones, and the last two are for the
// two opcodes of ChromeOS at the end of 32 bits.
inline constexpr std::size_t kOpSlots = 64;
constexpr std::size_t slot_of_opcode(std::uint32_t opcode) {
  constexpr auto kFirstOfTheEnd = static_cast<std::uint32_t>(abi::Opcode::kOpenAtomic);
  if (opcode >= kFirstOfTheEnd) return kOpSlots - 2 + (opcode - kFirstOfTheEnd);
  return opcode < kOpSlots - 2 ? opcode : 0;
}
inline std::size_t op_slot(const OpRow* row) {
  return row == nullptr ? 0 : slot_of_opcode(static_cast<std::uint32_t>(row->opcode));
}

}  // namespace vfs::fuse
