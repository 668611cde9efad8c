#include "frontend.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "check.h"

namespace vfs::bench {

namespace {

constexpr std::uint64_t kFeatureIndirect = 1ULL << 28;
constexpr std::uint64_t kFeatureEventIdx = 1ULL << 29;
constexpr std::uint64_t kFeatureProtocol = 1ULL << 30;
constexpr std::uint64_t kFeatureVersion1 = 1ULL << 32;

std::uint64_t rings_bytes(const FrontendOptions& options) {
  return Ring::bytes(options.ring_size) * (options.request_queues + 1);
}

}  // namespace

Frontend::Frontend(const FrontendOptions& options)
    : ram_(rings_bytes(options) + options.buffer_bytes),
      backend_(options.socket_path),
      call_(check_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      calls_(check_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      buffers_(rings_bytes(options)) {
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  check(::epoll_ctl(calls_.get(), EPOLL_CTL_ADD, call_.get(), &event), "epoll_ctl");
  negotiate(options);
  for (std::uint32_t i = 0; i < queues_; ++i) {
    rings_.push_back(std::make_unique<Ring>(ram_, Ring::bytes(options.ring_size) * i, ring_options_));
    kicks_fds_.emplace_back(check_fd(::eventfd(0, EFD_CLOEXEC), "eventfd"));
    start_queue(i);
  }
}

void Frontend::negotiate(const FrontendOptions& options) {
  backend_.send(VhostRequest::kSetOwner);
  const std::uint64_t offered = backend_.ask(VhostRequest::kGetFeatures);
  if ((offered & kFeatureVersion1) == 0) die("the backend does not offer VIRTIO_F_VERSION_1");
  std::uint64_t protocol = 0;
  if ((offered & kFeatureProtocol) != 0) {
    const std::uint64_t wanted = protocol_feature::kMq | protocol_feature::kReplyAck;
    protocol = backend_.ask(VhostRequest::kGetProtocolFeatures) & wanted;
    backend_.send(VhostRequest::kSetProtocolFeatures, protocol);
  }
  if ((protocol & protocol_feature::kReplyAck) != 0) backend_.use_reply_ack();
  queues_ = options.request_queues + 1;
  const bool tells = (protocol & protocol_feature::kMq) != 0;
  queues_ = std::min(queues_, tells ? static_cast<unsigned>(backend_.ask(VhostRequest::kGetQueueNum)) : 2U);
  if (queues_ < 2) die("the backend has no request queue");

  ring_options_ = {options.ring_size, options.event_idx && (offered & kFeatureEventIdx) != 0,
                   options.indirect && (offered & kFeatureIndirect) != 0};
  const std::uint64_t wanted = kFeatureVersion1 | kFeatureProtocol | (ring_options_.event_idx ? kFeatureEventIdx : 0) |
                               (ring_options_.indirect ? kFeatureIndirect : 0);
  backend_.send(VhostRequest::kSetFeatures, offered & wanted);
  const MemoryTable memory{1, 0, GuestRam::guest_address(0), ram_.size(), ram_.user_address(0), 0};
  backend_.send_and_wait(VhostRequest::kSetMemTable, memory, {ram_.fd()});
}

void Frontend::start_queue(std::uint32_t index) {
  const Ring& ring = *rings_[index];
  const auto place = [&](std::uint64_t offset) { return ram_.user_address(offset); };
  backend_.send(VhostRequest::kSetVringNum, VringState{index, ring.size()});
  backend_.send(VhostRequest::kSetVringBase, VringState{index, 0});
  backend_.send(VhostRequest::kSetVringAddr, VringAddress{index, 0, place(ring.desc_offset()),
                                                          place(ring.used_offset()), place(ring.avail_offset()), 0});
  backend_.send(VhostRequest::kSetVringCall, std::uint64_t{index}, {call_.get()});
  backend_.send(VhostRequest::kSetVringKick, std::uint64_t{index}, {kicks_fds_[index].get()});
  backend_.send_and_wait(VhostRequest::kSetVringEnable, VringState{index, 1});
}

void Frontend::kick(std::size_t queue) {
  ++kicks_;
  const std::uint64_t one = 1;
  check(::write(kicks_fds_[queue].get(), &one, sizeof(one)), "kick");
}

void Frontend::wait() {
  ++waits_;
  // Edge triggered: each call is an event, and the eventfd need not be read.
  epoll_event event{};
  check_again("waiting for a call", [&] { return ::epoll_wait(calls_.get(), &event, 1, -1); });
}

}  // namespace vfs::bench
