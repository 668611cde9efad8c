#include "base/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

#include "base/assert.h"
#include "base/sys.h"

namespace vfs {

std::atomic<std::uint64_t> BusGuard::pages_replaced{0};

namespace detail {

// `start` is 0 while the place is free. The handler believes the other fields only if `start` is the same before and
// after it has read them; the one that it looks for is held by the very thread that faulted, and so stays.
struct GuardedRange {
  std::atomic<std::uintptr_t> start{0};
  std::atomic<std::size_t> length{0};
  std::atomic<std::size_t> page{0};
  std::atomic<bool> hit{false};

  static void count_hit() { BusGuard::pages_replaced.fetch_add(1, std::memory_order_relaxed); }
};

}  // namespace detail

namespace {

using detail::GuardedRange;

// Blocks are never freed: the handler may walk them at any time. There are as many as the most mappings at once need.
struct Block {
  std::array<GuardedRange, 64> ranges;
  std::atomic<Block*> next{nullptr};
};

constinit Block first_block;
constinit std::mutex registry;  // guards who takes which place; the handler does not take it
struct sigaction earlier;

// Replaces the page of `range` that holds `address`.
bool replace_page(GuardedRange& range, std::uintptr_t start, std::uintptr_t address) {
  const std::size_t length = range.length.load(std::memory_order_relaxed);
  const std::size_t page = range.page.load(std::memory_order_relaxed);
  if (range.start.load(std::memory_order_acquire) != start || address - start >= length) return false;
  const std::uintptr_t from = std::max(start, address - address % page);
  const std::size_t bytes = std::min(page, start + length - from);
  // SAFETY: [from, from + bytes) lies in the mapping, which its holder, this thread, keeps. mmap is a plain system
  // call.
  void* const place = reinterpret_cast<void*>(from);  // NOLINT(performance-no-int-to-ptr): told by the kernel
  constexpr int kFlags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const replaced = ::mmap(place, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (replaced == MAP_FAILED) return false;
  range.hit.store(true, std::memory_order_release);
  GuardedRange::count_hit();
  return true;
}

bool repair(std::uintptr_t address) {
  for (Block* block = &first_block; block != nullptr; block = block->next.load(std::memory_order_acquire)) {
    for (GuardedRange& range : block->ranges) {
      const std::uintptr_t start = range.start.load(std::memory_order_acquire);
      if (start != 0 && address >= start && replace_page(range, start, address)) return true;
    }
  }
  return false;
}

// What would have happened without us.
void pass_on(int signal, siginfo_t* info, void* context) {
  if ((earlier.sa_flags & SA_SIGINFO) != 0) return earlier.sa_sigaction(signal, info, context);
  const bool sent = info->si_code <= 0;  // by kill(2) and the like, not by a fault
  if (earlier.sa_handler == SIG_IGN && sent) return;
  if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) return earlier.sa_handler(signal);
  // A fault happens again as soon as this returns, and then it ends the process.
  struct sigaction by_default{};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(signal, &by_default, nullptr);
  if (sent) ::raise(signal);
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool repaired = info->si_code == BUS_ADRERR && repair(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = error;
  if (!repaired) pass_on(signal, info, context);
}

Status install() {
  struct sigaction ours{};
  ours.sa_sigaction = &on_bus_error;
  // On the alternate stack where a thread has one, as Node's own handlers: a fault may come of a full stack.
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  return sys::replace_signal_action(SIGBUS, ours, earlier);
}

// Holding the registry.
GuardedRange& free_place() {
  Block* block = &first_block;
  for (;;) {
    for (GuardedRange& range : block->ranges) {
      if (range.start.load(std::memory_order_relaxed) == 0) return range;
    }
    Block* next = block->next.load(std::memory_order_relaxed);
    if (next == nullptr) {
      next = new Block();
      block->next.store(next, std::memory_order_release);
    }
    block = next;
  }
}

}  // namespace

Result<BusGuard> BusGuard::over(void* start, std::size_t length, std::size_t page) {
  VFS_ASSERT(start != nullptr && length > 0 && page > 0);
  const std::lock_guard lock(registry);
  static bool installed = false;
  if (!installed) {
    VFS_CHECK(install());
    installed = true;
  }
  GuardedRange& range = free_place();
  range.length.store(length, std::memory_order_relaxed);
  range.page.store(page, std::memory_order_relaxed);
  range.hit.store(false, std::memory_order_relaxed);
  range.start.store(reinterpret_cast<std::uintptr_t>(start), std::memory_order_release);
  return BusGuard(&range);
}

BusGuard::~BusGuard() {
  if (range_ == nullptr) return;
  const std::lock_guard lock(registry);
  range_->start.store(0, std::memory_order_release);
}

bool BusGuard::hit() const { return range_ != nullptr && range_->hit.load(std::memory_order_acquire); }

}  // namespace vfs
