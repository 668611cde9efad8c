#include "passthrough/fd_budget.h"

#include <algorithm>

#include "base/sys.h"

namespace vfs::passthrough {

Result<FdBudget> FdBudget::of_process() {
  // The application's part: a quarter of a small limit, and a number that is plenty for a Node process of a large one.
  constexpr std::uint64_t kReserveMax = 1024;
  // "Unlimited" is no reason for tables without end.
  constexpr std::uint64_t kLimitMax = std::uint64_t{1} << 22;
  VFS_TRY(const std::uint64_t limit, sys::descriptor_limit());
  const std::uint64_t bounded = std::min(limit, kLimitMax);
  return FdBudget(static_cast<std::size_t>(bounded - std::min(bounded / 4, kReserveMax)));
}

}  // namespace vfs::passthrough
