#include "process_usage.h"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>

#include <cstdio>
#include <ctime>
#include <string>

#include "check.h"
#include "clock.h"

namespace vfs::bench {

namespace {

void add_switches(const std::string& task, Usage& to) {
  std::FILE* status = std::fopen((task + "/status").c_str(), "re");
  if (status == nullptr) return;  // it has just ended
  char line[256];
  unsigned long long count = 0;
  while (std::fgets(line, sizeof(line), status) != nullptr) {
    if (std::sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1) to.voluntary_switches += count;
    if (std::sscanf(line, "nonvoluntary_ctxt_switches: %llu", &count) == 1) to.involuntary_switches += count;
  }
  std::fclose(status);
}

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

Usage usage_of(std::span<const pid_t> processes) {
  Usage sum{};
  for (const pid_t pid : processes) {
    clockid_t clock{};
    if (::clock_getcpuclockid(pid, &clock) != 0) continue;
    sum.cpu_ns += clock_ns(clock);
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    DIR* list = ::opendir(tasks.c_str());
    if (list == nullptr) continue;
    while (const dirent* entry = ::readdir(list)) {
      if (entry->d_name[0] != '.') add_switches(tasks + "/" + entry->d_name, sum);
    }
    ::closedir(list);
  }
  return sum;
}

Usage usage_of_thread() {
  rusage used{};
  check(::getrusage(RUSAGE_THREAD, &used), "getrusage");
  return {clock_ns(CLOCK_THREAD_CPUTIME_ID), static_cast<std::uint64_t>(used.ru_nvcsw),
          static_cast<std::uint64_t>(used.ru_nivcsw)};
}

Usage operator-(const Usage& a, const Usage& b) {
  return {less(a.cpu_ns, b.cpu_ns), less(a.voluntary_switches, b.voluntary_switches),
          less(a.involuntary_switches, b.involuntary_switches)};
}

void bind_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  check(::sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

}  // namespace vfs::bench
