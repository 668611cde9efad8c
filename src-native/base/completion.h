// Completion: the right, and the duty, to answer one request exactly once.
//
// Whoever holds it may finish it from any thread, in any order. It is move-only and consumed by finish(); one that is
// dropped finishes with nothing written, and the sink is told. A sink is one life of a ring: when a queue starts again
// it gets another sink, so that a late answer can never land in the new ring.
#pragma once

#include <cstdint>
#include <utility>

namespace vfs {

// Which request; the meaning is the sink's.
struct CompletionToken {
  void* slot;
};

// Outlives every completion that it gave out: whoever owns the sink waits for its count of open ones to reach zero.
class CompletionSink {
 public:
  // From any thread. `written`: bytes written into the reply room; `answered` is false for a dropped completion.
  virtual void complete(CompletionToken token, std::uint32_t written, bool answered) = 0;

 protected:
  ~CompletionSink() = default;
};

class [[nodiscard]] Completion {
 public:
  Completion() = default;
  Completion(CompletionSink& sink, CompletionToken token) : sink_(&sink), token_(token) {}
  Completion(Completion&& other) noexcept : sink_(std::exchange(other.sink_, nullptr)), token_(other.token_) {}
  Completion& operator=(Completion&& other) noexcept {
    if (this != &other) {
      drop();
      sink_ = std::exchange(other.sink_, nullptr);
      token_ = other.token_;
    }
    return *this;
  }
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;
  ~Completion() { drop(); }

  void finish(std::uint32_t written) && {
    if (CompletionSink* sink = std::exchange(sink_, nullptr)) sink->complete(token_, written, true);
  }
  bool pending() const { return sink_ != nullptr; }

 private:
  void drop() {
    if (CompletionSink* sink = std::exchange(sink_, nullptr)) sink->complete(token_, 0, false);
  }

  CompletionSink* sink_ = nullptr;
  CompletionToken token_{};
};

}  // namespace vfs
