// The load driver of the bench: plays the guest of one backend, or measures what the same system calls cost alone.
//   vfs_bench_driver --share DIR [--socket PATH] [--cpu N] [--backend-cpu N] [--queues N] [--ring-size N]
//                    [--segment BYTES] [--no-event-idx] [--no-indirect]
//   vfs_bench_driver --list
// Without --socket it measures the limit. Commands come line by line on standard input, each answered by a line of
// JSON:
//   hello                                                      what was negotiated
//   processes PID…                                             the backend's, whose CPU time is measured
//   run JOB [depth=N] [warm=MS] [ms=MS] [operations=N] [poll=0|1]
// Standard input's end ends the program. Scripts control it (test/bench/*.mjs), so that one run is interleaved with
// those of other backends.
#include <sys/stat.h>

#include <charconv>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>

#include "check.h"
#include "client.h"
#include "direct_run.h"
#include "host_files.h"
#include "job.h"
#include "run.h"

namespace vfs::bench {

namespace {

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) die("not a number: " + std::string(text));
  return value;
}

struct Arguments {
  ClientOptions client;
  std::string share;
  DirectOptions direct;
  bool list = false;
};

Arguments parse(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view option = values[i];
    const auto value = [&]() -> std::string_view {
      if (++i == count) die(std::string(option) + " needs a value");
      return values[i];
    };
    if (option == "--list")
      arguments.list = true;
    else if (option == "--no-event-idx")
      arguments.client.event_idx = false;
    else if (option == "--no-indirect")
      arguments.client.indirect = false;
    else if (option == "--share")
      arguments.share = value();
    else if (option == "--socket")
      arguments.client.socket_path = value();
    else if (option == "--cpu")
      arguments.direct.driver_cpu = static_cast<int>(number(value()));
    else if (option == "--backend-cpu")
      arguments.direct.backend_cpu = static_cast<int>(number(value()));
    else if (option == "--queues")
      arguments.client.request_queues = static_cast<unsigned>(number(value()));
    else if (option == "--ring-size")
      arguments.client.ring_size = static_cast<std::uint16_t>(number(value()));
    else if (option == "--segment")
      arguments.client.segment_bytes = static_cast<std::uint32_t>(number(value()));
    else if (option == "--scattered")
      arguments.client.scattered = true;
    else
      die("unknown option " + std::string(option));
  }
  arguments.direct.segment_bytes = arguments.client.segment_bytes;
  return arguments;
}

void print(const std::string& line) { std::cout << line << std::endl; }

void list_jobs() {
  std::string text = "[";
  for (const JobRow& row : job_rows()) {
    if (text.size() > 1) text += ',';
    text += "{\"name\":" + quoted(row.name) + ",\"title\":" + quoted(row.title) + ",\"unit\":" + quoted(row.unit) + "}";
  }
  print(text + "]");
}

class Program {
 public:
  explicit Program(const Arguments& arguments)
      : arguments_(arguments),
        share_(check_fd(::open(arguments.share.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "opening the share")) {
    ::umask(0);
    if (arguments.direct.driver_cpu >= 0) bind_to_cpu(arguments.direct.driver_cpu);
    if (arguments.client.socket_path.empty())
      direct_ram_.emplace(kDirectRamBytes);
    else
      client_.emplace(arguments.client);
  }

  void serve() {
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::string command;
      words >> command;
      if (command == "hello")
        hello();
      else if (command == "processes")
        processes(words);
      else if (command == "run")
        run(words);
      else
        die("unknown command " + command);
    }
  }

 private:
  void hello() {
    if (!client_) {
      print("{\"direct\":true}");
      return;
    }
    Frontend& frontend = client_->frontend();
    print("{\"minor\":" + std::to_string(client_->negotiated_minor()) + ",\"requestQueues\":" +
          std::to_string(frontend.request_queues()) + ",\"eventIdx\":" + (frontend.event_idx() ? "true" : "false") +
          ",\"indirect\":" + (frontend.indirect() ? "true" : "false") + "}");
  }

  void processes(std::istringstream& words) {
    processes_.clear();
    for (pid_t pid = 0; words >> pid;) processes_.push_back(pid);
    print("{}");
  }

  static RunOptions run_options(std::istringstream& words) {
    RunOptions options;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      const std::string_view key = std::string_view(word).substr(0, equals);
      const std::uint64_t value = equals == std::string::npos ? 0 : number(std::string_view(word).substr(equals + 1));
      if (key == "depth")
        options.depth = static_cast<unsigned>(value);
      else if (key == "warm")
        options.warm_ms = value;
      else if (key == "ms")
        options.measured_ms = value;
      else if (key == "operations")
        options.operations = value;
      else if (key == "poll")
        options.poll = value != 0;
      else
        die("unknown setting " + word);
    }
    if (options.depth < 1 || options.depth > kDepthMax) die("depth is not in 1..128");
    return options;
  }

  void run(std::istringstream& words) {
    std::string name;
    words >> name;
    const RunOptions options = run_options(words);
    Job& job = prepared(name);
    RunReport report;
    if (!client_ && !job.has_direct())
      report.failure = "there is no such limit";
    else if (!job.unavailable().empty())
      report.failure = job.unavailable();
    else if (client_)
      report = run_job(*client_, job, options, processes_);
    else
      report = run_direct(job, options, arguments_.direct, *direct_ram_);
    print(to_json(report));
  }

  // A job is prepared when it is first run, and stays as it is for the next rounds.
  Job& prepared(const std::string& name) {
    if (const auto found = jobs_.find(name); found != jobs_.end()) return *found->second;
    const JobRow* row = find_job(name);
    if (row == nullptr) die("unknown job " + name);
    std::unique_ptr<Job> job = row->make();
    const std::string place(row->shared_directory.empty() ? row->name : row->shared_directory);
    const UniqueFd directory = make_directory(share_.get(), place.c_str());
    job->prepare(directory.get());
    if (client_ && job->unavailable().empty()) job->open(*client_, client_->lookup(abi::kRootId, place));
    return *jobs_.emplace(name, std::move(job)).first->second;
  }

  Arguments arguments_;
  UniqueFd share_;
  std::optional<Client> client_;
  std::optional<GuestRam> direct_ram_;  // if there is no client
  std::vector<pid_t> processes_;
  std::map<std::string, std::unique_ptr<Job>> jobs_;
};

}  // namespace

}  // namespace vfs::bench

int main(int count, char** values) {
  using namespace vfs::bench;
  const Arguments arguments = parse(count, values);
  if (arguments.list) {
    list_jobs();
    return 0;
  }
  if (arguments.share.empty()) die("--share is needed");
  Program(arguments).serve();
  return 0;
}
