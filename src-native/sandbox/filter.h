// Filters of system calls: a list of rules becomes a program for the kernel (seccomp(2)). Which rules, the lists say
// (syscall_lists.h).
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/sys_sandbox.h"

namespace vfs::sandbox {

// What happens at a call that the list refuses.
enum class Violation : std::uint8_t {
  kKill,   // the process ends
  kErrno,  // the call fails with EPERM
  kTrap,   // the thread gets SIGSYS
  kLog,    // it is made, and the kernel logs it
};

enum class Verdict : std::uint8_t {
  kAllow,
  kRefuse,   // see Violation
  kMissing,  // ENOSYS, as from a kernel that does not have it: the C library then takes another
};

// When a rule holds: (argument & mask) == value, in the low 32 bits, which is all that the kernel looks at in the
// arguments that are checked here. A mask of 0 always holds.
struct Condition {
  std::uint8_t argument = 0;
  std::uint32_t mask = 0;
  std::uint32_t value = 0;
};

struct SyscallRule {
  const char* name;
  std::uint32_t number;
  Verdict verdict = Verdict::kAllow;
  Condition when = {};
};

struct SyscallList {
  const char* name;
  std::span<const SyscallRule> rules;  // the first that holds decides
  Verdict otherwise;
};

// Calls of another architecture (32-bit ones, x32), whose numbers mean something else, are refused by every program.
std::vector<sock_filter> filter_program(const SyscallList& list, Violation violation);

}  // namespace vfs::sandbox
