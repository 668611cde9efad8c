// The result of a run, and how it is printed: one line of JSON.
#pragma once

#include <cstdint>
#include <string>

#include "histogram.h"
#include "process_usage.h"

namespace vfs::bench {

struct RunOptions {
  unsigned depth = 1;
  std::uint64_t warm_ms = 50;
  std::uint64_t measured_ms = 300;
  // 0: as many as the time allows; else so many and no time.
  std::uint64_t operations = 0;
  bool poll = false;
};

struct RunReport {
  unsigned depth = 0;             // as it was
  std::uint64_t units = 0;        // in the measured time
  std::uint64_t measured_ns = 0;  // from the first to the last of them
  std::uint64_t units_in_all = 0;
  Usage usage{};   // of the backend, for all of them
  Usage driver{};  // of the driver's thread, for all of them
  std::uint64_t kicks = 0;
  std::uint64_t waits = 0;
  Histogram latency;
  Histogram disturbance;
  // Empty if all is well; else there are no figures.
  std::string failure;
};

std::string to_json(const RunReport& report);
// A text as a JSON string.
std::string quoted(std::string_view text);

}  // namespace vfs::bench
