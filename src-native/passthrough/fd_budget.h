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
  struct Use;

 public:
  // The right to hold one descriptor, given back with the token. One pointer, because each known inode has one.
  class Token {
   public:
    Token() = default;
    Token(Token&& other) noexcept : use_(std::exchange(other.use_, nullptr)) {}
    Token& operator=(Token&& other) noexcept {
      std::swap(use_, other.use_);
      return *this;
    }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;
    ~Token() {
      if (use_ == nullptr) return;
      process_used.fetch_sub(1, std::memory_order_relaxed);
      use_->count.fetch_sub(1, std::memory_order_relaxed);
      use_->release();
    }

   private:
    friend class FdBudget;
    explicit Token(Use* use) : use_(use) { use_->owners.fetch_add(1, std::memory_order_relaxed); }
    Use* use_ = nullptr;
  };

  // `limit`: for all shares of the process together.
  explicit FdBudget(std::size_t limit) : limit_(limit) {}

  // What the process may have open, minus what the application keeps for itself.
  static Result<FdBudget> of_process();

  // The same, and no more than `limit` for one share alone.
  FdBudget with_share_limit(std::size_t limit) const {
    FdBudget budget(limit_);
    budget.share_limit_ = limit;
    return budget;
  }

  Result<Token> take() const {
    if (use_->count.fetch_add(1, std::memory_order_relaxed) < share_limit_) {
      if (process_used.fetch_add(1, std::memory_order_relaxed) < limit_) return Token(use_.get());
      process_used.fetch_sub(1, std::memory_order_relaxed);
    }
    use_->count.fetch_sub(1, std::memory_order_relaxed);
    return Errno(ENFILE);
  }

  std::size_t limit() const { return std::min(limit_, share_limit_); }
  static std::size_t used() { return process_used.load(std::memory_order_relaxed); }

 private:
  // What one share has taken. Tokens may outlive its budget.
  struct Use {
    std::atomic<std::size_t> count{0};
    std::atomic<std::size_t> owners{1};  // each token, and all copies of the budget as one
    void release() {
      if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
  };

  inline static std::atomic<std::size_t> process_used{0};
  std::size_t limit_;
  std::size_t share_limit_ = SIZE_MAX;
  std::shared_ptr<Use> use_{new Use, [](Use* use) { use->release(); }};
};

}  // namespace vfs::passthrough
