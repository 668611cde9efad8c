// Chain: one request as a transport hands it up: the bytes to read, the room for the reply, and the one answer.
//
// Move-only. finish() consumes it and tells the transport how many bytes of the room were used; a chain that is
// dropped goes back with nothing written. Everything above the ring knows only this.
#pragma once

#include <utility>

#include "base/completion.h"
#include "memory/guest_io.h"

namespace vfs {

class [[nodiscard]] Chain {
 public:
  Chain() = default;
  Chain(GuestReader in, GuestWriter out, Completion completion)
      : reader(in), writer(out), completion_(std::move(completion)) {}

  void finish(std::uint32_t written) && { std::move(completion_).finish(written); }
  bool pending() const { return completion_.pending(); }

  GuestReader reader;
  GuestWriter writer;

 private:
  Completion completion_;
};

}  // namespace vfs
