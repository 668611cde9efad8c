// FdBudget: how many descriptors guests may make us hold. The limit of the process (RLIMIT_NOFILE) is shared with the
// application that we live in; a guest that opens without end must meet ENFILE before the application meets EMFILE
// (CVE-2020-10717 was the lack of this). The count is per process, because the limit is.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include "base/result.h"

namespace vfs::passthrough {

class FdBudget {
 public:
  // The right to hold one descriptor, given back with the token.
  class Token {
   public:
    Token() = default;
    Token(Token&& other) noexcept : held_(std::exchange(other.held_, false)) {}
    Token& operator=(Token&& other) noexcept {
      std::swap(held_, other.held_);
      return *this;
    }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;
    ~Token() {
      if (held_) used_.fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class FdBudget;
    explicit Token(bool held) : held_(held) {}
    bool held_ = false;
  };

  explicit FdBudget(std::size_t limit) : limit_(limit) {}

  // What the process may have open, minus what the application keeps for itself.
  static Result<FdBudget> of_process();

  Result<Token> take() const {
    if (used_.fetch_add(1, std::memory_order_relaxed) < limit_) return Token(true);
    used_.fetch_sub(1, std::memory_order_relaxed);
    return Errno(ENFILE);
  }

  std::size_t limit() const { return limit_; }
  static std::size_t used() { return used_.load(std::memory_order_relaxed); }

 private:
  inline static std::atomic<std::size_t> used_{0};
  std::size_t limit_;
};

}  // namespace vfs::passthrough
