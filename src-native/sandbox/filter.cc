#include "sandbox/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cerrno>
#include <cstddef>

namespace vfs::sandbox {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "no audit number for this architecture"
#endif

// Numbers from here on are x32's, which shares its architecture number with x86-64. arm64 has none that high.
constexpr std::uint32_t kX32Bit = 0x4000'0000;

constexpr std::uint32_t violation_action(Violation violation) {
  switch (violation) {
    case Violation::kKill:
      return SECCOMP_RET_KILL_PROCESS;
    case Violation::kErrno:
      return SECCOMP_RET_ERRNO | EPERM;
    case Violation::kTrap:
      return SECCOMP_RET_TRAP;
    case Violation::kLog:
      return SECCOMP_RET_LOG;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

// Assembles; offsets of jumps are relative to the next instruction, and none here goes far.
class Program {
 public:
  explicit Program(Violation violation) : refuse_(violation_action(violation)) {}

  void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
  void bit_and(std::uint32_t mask) { add(BPF_ALU | BPF_AND | BPF_K, mask); }
  void skip_unless_equal(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count); }
  void skip_if_equal(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0); }
  void skip_if_less(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JGE | BPF_K, value, 0, count); }
  void answer(Verdict verdict) { add(BPF_RET | BPF_K, action(verdict)); }
  std::vector<sock_filter> take() && { return std::move(code_); }

 private:
  std::uint32_t action(Verdict verdict) const {
    if (verdict == Verdict::kAllow) return SECCOMP_RET_ALLOW;
    return verdict == Verdict::kMissing ? SECCOMP_RET_ERRNO | ENOSYS : refuse_;
  }
  void add(int code, std::uint32_t k, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    code_.push_back({static_cast<std::uint16_t>(code), if_true, if_false, k});
  }

  const std::uint32_t refuse_;
  std::vector<sock_filter> code_;
};

constexpr std::size_t kNumberOffset = offsetof(seccomp_data, nr);

// Both architectures are little endian: the low half comes first.
constexpr std::size_t argument_offset(std::uint8_t index) {
  return offsetof(seccomp_data, args) + sizeof(std::uint64_t) * index;
}

}  // namespace

std::vector<sock_filter> filter_program(const SyscallList& list, Violation violation) {
  Program program(violation);
  program.load(offsetof(seccomp_data, arch));
  program.skip_if_equal(kArchitecture, 1);
  program.answer(Verdict::kRefuse);
  program.load(kNumberOffset);
  program.skip_if_less(kX32Bit, 1);
  program.answer(Verdict::kRefuse);
  for (const SyscallRule& rule : list.rules) {
    if (rule.when.mask == 0) {
      program.skip_unless_equal(rule.number, 1);
      program.answer(rule.verdict);
      continue;
    }
    // The number is loaded again where the condition does not hold.
    program.skip_unless_equal(rule.number, 5);
    program.load(argument_offset(rule.when.argument));
    program.bit_and(rule.when.mask);
    program.skip_unless_equal(rule.when.value, 1);
    program.answer(rule.verdict);
    program.load(kNumberOffset);
  }
  program.answer(list.otherwise);
  return std::move(program).take();
}

}  // namespace vfs::sandbox
