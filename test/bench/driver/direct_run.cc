#include "direct_run.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "check.h"
#include "clock.h"

namespace vfs::bench {

namespace {

class Event {
 public:
  Event() : fd_(check_fd(::eventfd(0, EFD_CLOEXEC), "eventfd")) {}
  void signal() const {
    const std::uint64_t one = 1;
    check(::write(fd_.get(), &one, sizeof(one)), "eventfd write");
  }
  void wait() const {
    std::uint64_t count = 0;
    check_again("eventfd read", [&] { return ::read(fd_.get(), &count, sizeof(count)); });
  }

 private:
  UniqueFd fd_;
};

class DirectRun {
 public:
  DirectRun(Job& job, const RunOptions& options, const DirectOptions& where, const GuestRam& ram)
      : job_(job), options_(options), where_(where), slots_(std::min(options.depth, kDepthMax)) {
    report_.depth = static_cast<unsigned>(slots_.size());
    // Each has its own, as requests that are under way at once have: what is copied leaves the cache sooner.
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      slots_[i] = {i, 0, ram.at(std::uint64_t{i} * kDataBytesMax), where.segment_bytes};
    }
    const std::uint64_t begin = now_ns();
    measured_from_ = begin + options.warm_ms * kNsPerMs;
    ends_at_ = measured_from_ + options.measured_ms * kNsPerMs;
    counted_from_ = last_ = begin;
    if (options.operations > 0) measured_from_ = begin;
  }

  RunReport execute() {
    std::thread worker([this] {
      if (where_.backend_cpu >= 0) bind_to_cpu(where_.backend_cpu);
      const Usage before = usage_of_thread();
      if (options_.depth == 1)
        serve();
      else
        work();
      report_.usage = usage_of_thread() - before;
      over_ = true;
      call_.signal();
    });
    if (options_.depth == 1)
      ask();
    else
      while (!over_) call_.wait();
    worker.join();
    report_.measured_ns = last_ - counted_from_;
    return std::move(report_);
  }

 private:
  bool enough(std::uint64_t now) const {
    if (options_.operations > 0) return report_.units_in_all >= options_.operations;
    return now >= ends_at_ && report_.units > 0;
  }

  void count(std::uint64_t now, std::uint64_t units) {
    report_.units_in_all += units;
    if (now < measured_from_) {
      counted_from_ = last_ = now;
      return;
    }
    report_.units += units;
    last_ = now;
  }

  // Depth 1, the side of the backend.
  void serve() {
    for (;;) {
      kick_.wait();
      if (over_) return;
      answered_units_ = job_.direct(slots_[0]);
      answered_.store(true, std::memory_order_release);
      if (!options_.poll) call_.signal();
    }
  }

  // Depth 1, the side of the driver.
  void ask() {
    for (;;) {
      const std::uint64_t begin = now_ns();
      answered_.store(false, std::memory_order_relaxed);
      kick_.signal();
      if (options_.poll) {
        while (!answered_.load(std::memory_order_acquire)) continue;
      } else {
        call_.wait();
      }
      const std::uint64_t now = now_ns();
      if (now >= measured_from_) report_.latency.add(now - begin);
      count(now, answered_units_);
      if (enough(now)) break;
    }
    over_ = true;
    kick_.signal();
  }

  void work() {
    for (std::uint64_t now = 0; !enough(now);) {
      std::uint64_t units = 0;
      for (DirectSlot& slot : slots_) units += job_.direct(slot);
      call_.signal();
      now = now_ns();
      count(now, units);
    }
  }

  Job& job_;
  RunOptions options_;
  DirectOptions where_;
  std::vector<DirectSlot> slots_;
  RunReport report_{};
  Event kick_;
  Event call_;
  std::atomic<bool> over_{false};
  std::atomic<bool> answered_{false};
  std::uint32_t answered_units_ = 0;
  std::uint64_t measured_from_ = 0;
  std::uint64_t counted_from_ = 0;
  std::uint64_t ends_at_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace

RunReport run_direct(Job& job, const RunOptions& options, const DirectOptions& where, const GuestRam& ram) {
  if (where.driver_cpu >= 0) bind_to_cpu(where.driver_cpu);
  return DirectRun(job, options, where, ram).execute();
}

}  // namespace vfs::bench
