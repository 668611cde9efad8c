// A job: an operation that is measured, as requests of a guest and as the system calls that it cannot do without.
//
// Life: prepare() makes files on the host, and opens what direct() needs. open() learns node ids and handles from the
// backend. Then, for each operation of a slot, next() and done() alternate until next() says that it is complete.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "client.h"
#include "fuse_request.h"

namespace vfs::bench {

// What one operation without virtio has to itself.
struct DirectSlot {
  std::uint32_t index = 0;
  std::uint64_t number = 0;
  std::byte* data = nullptr;           // kDataBytesMax bytes
  std::uint32_t segment_bytes = 4096;  // in which the data are given to the kernel
};

class Job {
 public:
  Job() = default;
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // On the host. `directory` is the job's own, inside the share, or one that it has in common with others.
  virtual void prepare(int directory) = 0;
  // By requests; `directory` is the node of the job's directory.
  virtual void open(Client& client, std::uint64_t directory) = 0;
  // Writes the request that follows. False: the operation is complete (never for step 0).
  virtual bool next(Slot& slot, RequestWriter& request) = 0;
  // The reply of the request that next() wrote; slot.step is its number.
  virtual void done(Slot&, const Reply&) {}
  // The same operation by system calls; returns what it counts for.
  virtual std::uint32_t direct(DirectSlot& slot) = 0;

  // Bytes that a request moves, for those that move data.
  virtual std::uint32_t data_bytes() const { return 0; }
  // Whether the slot's operations are what the job measures, or what they are disturbed by.
  virtual bool is_disturbance(const Slot&) const { return false; }
  // Around each run.
  virtual void begin_run(unsigned /*depth*/) {}
  virtual void end_run() {}
  virtual bool has_direct() const { return true; }
  // Why this place cannot have the job, once it is prepared; empty if it can.
  virtual std::string_view unavailable() const { return {}; }
};

struct JobRow {
  std::string_view name;
  std::string_view title;
  std::string_view unit;  // what is counted
  std::unique_ptr<Job> (*make)();
  // The job's directory, if it is not its own.
  std::string_view shared_directory = {};
};

// All jobs, in the order in which they are reported.
std::span<const JobRow> job_rows();
const JobRow* find_job(std::string_view name);

}  // namespace vfs::bench
