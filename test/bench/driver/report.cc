#include "report.h"

namespace vfs::bench {

namespace {

class Object {
 public:
  Object& add(std::string_view key, std::uint64_t value) { return raw(key, std::to_string(value)); }
  Object& raw(std::string_view key, std::string_view json) {
    if (text_.size() > 1) text_ += ',';
    text_ += quoted(key);
    text_ += ':';
    text_ += json;
    return *this;
  }
  std::string end() { return text_ + '}'; }

 private:
  std::string text_ = "{";
};

std::string latency_json(const Histogram& histogram) {
  if (histogram.count() == 0) return "null";
  return Object()
      .add("count", histogram.count())
      .add("mean", histogram.mean())
      .add("p50", histogram.percentile(500))
      .add("p99", histogram.percentile(990))
      .add("p999", histogram.percentile(999))
      .add("max", histogram.max())
      .end();
}

std::string usage_json(const Usage& usage) {
  return Object()
      .add("cpuNs", usage.cpu_ns)
      .add("voluntarySwitches", usage.voluntary_switches)
      .add("involuntarySwitches", usage.involuntary_switches)
      .end();
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c < ' ' ? ' ' : c;
  }
  return result + '"';
}

std::string to_json(const RunReport& report) {
  if (!report.failure.empty()) return Object().raw("failure", quoted(report.failure)).end();
  return Object()
      .add("depth", report.depth)
      .add("units", report.units)
      .add("measuredNs", report.measured_ns)
      .add("unitsInAll", report.units_in_all)
      .raw("backend", usage_json(report.usage))
      .raw("driver", usage_json(report.driver))
      .add("kicks", report.kicks)
      .add("waits", report.waits)
      .raw("latencyNs", latency_json(report.latency))
      .raw("disturbanceNs", latency_json(report.disturbance))
      .end();
}

}  // namespace vfs::bench
