// A vhost-user frontend with its virtio driver: connects, negotiates, lays out guest memory and starts the queues.
// All queues call by one eventfd, so that waiting costs the driver one system call however many there are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "guest_ram.h"
#include "ring.h"
#include "vhost_user.h"

namespace vfs::bench {

struct FrontendOptions {
  std::string socket_path;
  unsigned request_queues = 1;
  std::uint16_t ring_size = 512;
  bool event_idx = true;
  bool indirect = true;
  std::uint64_t buffer_bytes = 0;
};

class Frontend {
 public:
  explicit Frontend(const FrontendOptions& options);

  const GuestRam& ram() const { return ram_; }
  // Where the buffers begin in guest memory; page aligned.
  std::uint64_t buffers() const { return buffers_; }
  // Queue 0 is the hiprio queue.
  Ring& ring(std::size_t queue) { return *rings_[queue]; }
  // As many as were asked for, or as the backend has if that is less.
  unsigned request_queues() const { return static_cast<unsigned>(rings_.size()) - 1; }
  bool event_idx() const { return ring_options_.event_idx; }
  bool indirect() const { return ring_options_.indirect; }

  void kick(std::size_t queue);
  // Waits for a call.
  void wait();
  std::uint64_t kicks() const { return kicks_; }
  std::uint64_t waits() const { return waits_; }

 private:
  void negotiate(const FrontendOptions& options);
  void start_queue(std::uint32_t index);

  GuestRam ram_;
  VhostUser backend_;
  RingOptions ring_options_{};
  std::vector<std::unique_ptr<Ring>> rings_;
  std::vector<UniqueFd> kicks_fds_;
  UniqueFd call_;
  UniqueFd calls_;  // an epoll set with call_ in it
  std::uint64_t buffers_;
  std::uint64_t kicks_ = 0;
  std::uint64_t waits_ = 0;
  unsigned queues_ = 0;
};

}  // namespace vfs::bench
