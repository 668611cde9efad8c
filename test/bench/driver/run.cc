#include "run.h"

#include "clock.h"

namespace vfs::bench {

namespace {

class Run {
 public:
  Run(Client& client, Job& job, const RunOptions& options) : client_(client), job_(job), options_(options) {
    report_.depth = client.depth_for(std::min(options.depth, kDepthMax), job.data_bytes());
  }

  RunReport take_report() { return std::move(report_); }

  void execute() {
    const std::uint64_t begin = now_ns();
    measured_from_ = begin + options_.warm_ms * kNsPerMs;
    ends_at_ = measured_from_ + options_.measured_ms * kNsPerMs;
    counted_from_ = last_ = begin;
    if (options_.operations > 0) measured_from_ = begin;
    for (unsigned i = 0; i < report_.depth; ++i) start_operation(client_.slot(i), begin);
    if (options_.poll) client_.suppress_calls();
    client_.publish();
    while (under_way_ > 0) {
      Slot* slot = client_.take();
      if (slot == nullptr) {
        client_.wait(options_.poll);
        continue;
      }
      const std::uint64_t now = now_ns();
      for (; slot != nullptr; slot = client_.take()) advance(*slot, now);
      client_.publish();
    }
    report_.measured_ns = last_ - counted_from_;
  }

 private:
  // An operation may take longer than the time that was given: at least one of each slot is measured.
  bool over(std::uint64_t now) {
    if (options_.operations > 0) return started_ >= options_.operations || !report_.failure.empty();
    if (!report_.failure.empty()) closed_ = true;
    if (now >= ends_at_ && report_.latency.count() >= report_.depth) closed_ = true;
    // With a disturbance of its own a slot less is measured, and what blocks it may block it for long.
    if (now >= ends_at_ && report_.disturbance.count() > 0 && report_.latency.count() > 0) closed_ = true;
    return closed_;
  }

  void start_operation(Slot& slot, std::uint64_t now) {
    slot.step = 0;
    slot.units = 1;
    slot.started_ns = now;
    ++started_;
    ++under_way_;
    send_next(slot);
  }

  // False: the operation is complete.
  bool send_next(Slot& slot) {
    RequestWriter request = client_.writer(slot);
    if (!job_.next(slot, request)) return false;
    client_.submit(slot, request.request());
    return true;
  }

  void advance(Slot& slot, std::uint64_t now) {
    if (Mistake mistake = client_.verify(slot); !mistake.text.empty()) {
      if (report_.failure.empty()) report_.failure = std::move(mistake.text);
      --under_way_;
      return;
    }
    job_.done(slot, client_.reply(slot));
    ++slot.step;
    // An operation that has begun is finished in any case: what it has opened must be closed.
    if (send_next(slot)) return;
    --under_way_;
    // First: what ends too late is not counted, or the slowest backend's one operation more would take as long as all.
    const bool ended = over(now);
    count(slot, now);
    if (!ended) start_operation(slot, now);
  }

  // What is measured begins with the last completion before it: backends complete in batches, and a rate over parts of
  // a batch would be wrong.
  void count(const Slot& slot, std::uint64_t now) {
    const bool disturbance = job_.is_disturbance(slot);
    report_.units_in_all += disturbance ? 0 : slot.units;
    if (closed_) return;
    if (now < measured_from_) {
      if (!disturbance) counted_from_ = last_ = now;
      return;
    }
    const std::uint64_t took = now - slot.started_ns;
    if (disturbance) {
      report_.disturbance.add(took);
      return;
    }
    report_.latency.add(took);
    report_.units += slot.units;
    last_ = now;
  }

  Client& client_;
  Job& job_;
  RunOptions options_;
  RunReport report_{};
  std::uint64_t measured_from_ = 0;
  std::uint64_t counted_from_ = 0;
  std::uint64_t ends_at_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t started_ = 0;
  unsigned under_way_ = 0;
  bool closed_ = false;
};

}  // namespace

RunReport run_job(Client& client, Job& job, const RunOptions& options, std::span<const pid_t> backend) {
  Run run(client, job, options);
  const std::uint64_t kicks = client.frontend().kicks();
  const std::uint64_t waits = client.frontend().waits();
  job.begin_run(options.depth);
  const Usage before = usage_of(backend);
  const Usage driver_before = usage_of_thread();
  run.execute();
  const Usage driver_after = usage_of_thread();
  const Usage after = usage_of(backend);
  job.end_run();
  RunReport report = run.take_report();
  report.usage = after - before;
  report.driver = driver_after - driver_before;
  report.kicks = client.frontend().kicks() - kicks;
  report.waits = client.frontend().waits() - waits;
  return report;
}

}  // namespace vfs::bench
