// Server: FUSE requests in, calls on a FileSystem, replies out. It knows no ring, no thread and no file.
//
// Threading: receive() and serve() may run in several threads at once, each on a request of its own. Nothing here is
// locked on that path; INIT, DESTROY and end_session() exclude each other.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "fuse/file_system.h"
#include "fuse/op_table.h"
#include "fuse/request.h"
#include "fuse/tap.h"

namespace vfs::fuse {

// Stops a request that has not been begun yet: INTERRUPT's helper, which lives where requests wait.
class Canceller {
 public:
  // From any thread. Unknown or already begun: nothing happens.
  virtual void cancel(std::uint64_t unique) = 0;

 protected:
  ~Canceller() = default;
};

struct ServerOptions {
  // Of one WRITE or READ, at most; a whole number of pages. FUSE_INIT promises it to guests that can have more than
  // 32 pages in a request (MAX_PAGES).
  std::uint32_t write_bytes_max = 1U << 20;
  // Operations that write (Effect::kWrite) are answered with EROFS.
  bool read_only = false;
  // How long requests take is measured, which costs two readings of the clock for each.
  bool measure_latency = false;
};

// Latencies are counted in classes of doubling width: class i holds what took less than 2^(10 + i) ns and is in no
// class before; the last one also holds all that took longer (more than 4 s).
inline constexpr std::size_t kLatencyClasses = 24;
constexpr std::size_t latency_class(std::uint64_t ns) {
  const auto width = static_cast<std::size_t>(std::bit_width(ns >> 10));
  return width < kLatencyClasses ? width : kLatencyClasses - 1;
}

// Errors are counted by number below this, which all of Linux's are; place 0 is for others.
inline constexpr std::size_t kErrnoPlaces = 134;

// Counters of one thread: that thread alone writes them, anybody reads them.
class Counters {
 public:
  Counters() = default;
  ~Counters();
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  // `error`: positive, or 0 for a success.
  void count(std::size_t slot, int error) {
    bump(operations_[slot], 1);
    if (error != 0) count_error(slot, error);
  }
  void count_read(std::uint64_t bytes) { bump(bytes_read_, bytes); }
  void count_written(std::uint64_t bytes) { bump(bytes_written_, bytes); }
  void count_dropped() { bump(dropped_, 1); }
  void count_latency(std::size_t slot, std::uint64_t ns) {
    bump(latency_sums_[slot], ns);
    bump(latencies_[slot][latency_class(ns)], 1);
  }

  struct Snapshot {
    std::array<std::uint64_t, kOpSlots> operations{};
    std::array<std::uint64_t, kOpSlots> errors{};
    std::array<std::map<int, std::uint64_t>, kOpSlots> errors_by_number{};
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
    std::uint64_t dropped = 0;
    std::array<std::uint64_t, kOpSlots> latency_sums{};  // ns
    std::array<std::array<std::uint64_t, kLatencyClasses>, kOpSlots> latencies{};
  };
  void add_to(Snapshot& sum) const;

 private:
  // Not a read-modify-write: there is one writer.
  static void bump(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  using ByNumber = std::array<std::atomic<std::uint64_t>, kErrnoPlaces>;
  void count_error(std::size_t slot, int error);

  std::array<std::atomic<std::uint64_t>, kOpSlots> operations_{};
  std::array<std::atomic<std::uint64_t>, kOpSlots> errors_{};
  // Null until the operation fails for the first time. Owned.
  std::array<std::atomic<ByNumber*>, kOpSlots> errors_by_number_{};
  std::atomic<std::uint64_t> bytes_read_{0};
  std::atomic<std::uint64_t> bytes_written_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::array<std::atomic<std::uint64_t>, kOpSlots> latency_sums_{};
  std::array<std::array<std::atomic<std::uint64_t>, kLatencyClasses>, kOpSlots> latencies_{};
};

class Server {
 public:
  Server(FileSystem& file_system, const ServerOptions& options) : fs_(file_system), options_(options) {}

  // All of these let go of a request once it is answered: it must not be touched afterwards, because its slot may serve
  // the next one already.

  // Takes a request in: header, row, parameters, room. Returns where it is to be served; nothing, if it is malformed
  // and has been answered (or given back) already.
  std::optional<Wait> receive(Request& request, Counters& counters);
  // Serves it. kWouldWait only if `may_wait` is false, or from operations that are parked (Wait::kPark).
  Progress serve(Request& request, bool may_wait, Counters& counters);
  // Answers a request that will not be served any more.
  void refuse(Request& request, Errno error, Counters& counters);
  // Answers with a payload that somebody else has made, or as it was caught (Request::caught). EIO, if it is shorter
  // than the operation's.
  void answer(Request& request, ByteSpan payload, Counters& counters);

  // Drops what the guest holds; requests are refused until the next INIT.
  void end_session();

  // Goes on with the session of a process before this one, if the file system has kept it. Before the first request.
  void resume_session();

  void set_canceller(Canceller* canceller) { canceller_ = canceller; }
  // Before the first request. Null: nobody watches.
  void set_tap(Tap* tap) { tap_ = tap; }

  // --- for the handlers (ops.cc)
  FileSystem& file_system() { return fs_; }
  Call call_of(const Request& request, bool may_wait) const;
  // Of one WRITE or READ, as INIT settled it.
  std::uint32_t write_bytes_max() const { return session_.write_bytes_max.load(std::memory_order_relaxed); }
  Canceller* canceller() { return canceller_; }
  Result<abi::InitOut> begin_session(const abi::InitIn& in, std::uint32_t flags2);

 private:
  struct Session {
    std::atomic<bool> active{false};
    std::atomic<std::uint32_t> number{0};
    std::atomic<std::uint32_t> minor{0};
    std::atomic<std::uint64_t> flags{0};
    std::atomic<std::uint32_t> write_bytes_max{0};
  };

  Errno admit(const Request& request) const;
  void finish(Request& request, Counters& counters) const;
  static void drop(Request& request, Counters& counters);

  FileSystem& fs_;
  const ServerOptions options_;
  Canceller* canceller_ = nullptr;
  Tap* tap_ = nullptr;
  std::mutex session_change_;  // held while a session begins or ends; nothing else may be held
  Session session_;
};

}  // namespace vfs::fuse
