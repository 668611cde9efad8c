// FdBudget: how many descriptors guests may make us hold. The limit of the process (RLIMIT_NOFILE) is shared with the
// application that we live in; a guest that opens without end must meet ENFILE before the application meets EMFILE
// (CVE-2020-10717 was the lack of this). The count is per process, because the limit is.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.h"

namespace vfs::passthrough {

class FdBudget {
 public:
  // The right to hold one descriptor, given back with the token.
  class Token {
   public:
    Token() = default;
    Token(Token&& other) noexcept
        : held_(std::exchange(other.held_, false)), share_used_(std::move(other.share_used_)) {}
    Token& operator=(Token&& other) noexcept {
      std::swap(held_, other.held_);
      std::swap(share_used_, other.share_used_);
      return *this;
    }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;
    ~Token() {
      if (!held_) return;
      process_used.fetch_sub(1, std::memory_order_relaxed);
      if (share_used_ != nullptr) share_used_->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class FdBudget;
    explicit Token(std::shared_ptr<std::atomic<std::size_t>> share_used)
        : held_(true), share_used_(std::move(share_used)) {}
    bool held_ = false;
    std::shared_ptr<std::atomic<std::size_t>> share_used_;  // null: the share has no bound of its own
  };

  // `limit`: for all shares of the process together.
  explicit FdBudget(std::size_t limit) : limit_(limit) {}

  // What the process may have open, minus what the application keeps for itself.
  static Result<FdBudget> of_process();

  // The same, and no more than `limit` for one share alone.
  FdBudget with_share_limit(std::size_t limit) const {
    FdBudget budget(*this);
    budget.share_limit_ = limit;
    budget.share_used_ = std::make_shared<std::atomic<std::size_t>>(0);
    return budget;
  }

  Result<Token> take() const {
    if (share_used_ != nullptr && share_used_->fetch_add(1, std::memory_order_relaxed) >= share_limit_) {
      share_used_->fetch_sub(1, std::memory_order_relaxed);
      return Errno(ENFILE);
    }
    if (process_used.fetch_add(1, std::memory_order_relaxed) < limit_) return Token(share_used_);
    process_used.fetch_sub(1, std::memory_order_relaxed);
    if (share_used_ != nullptr) share_used_->fetch_sub(1, std::memory_order_relaxed);
    return Errno(ENFILE);
  }

  std::size_t limit() const { return std::min(limit_, share_limit_); }
  static std::size_t used() { return process_used.load(std::memory_order_relaxed); }

 private:
  inline static std::atomic<std::size_t> process_used{0};
  std::size_t limit_;
  std::size_t share_limit_ = SIZE_MAX;
  std::shared_ptr<std::atomic<std::size_t>> share_used_;
};

}  // namespace vfs::passthrough
