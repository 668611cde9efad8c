#include "device/device.h"

#include <algorithm>
#include <utility>

#include "passthrough/credentials.h"

namespace vfs::device {

namespace {

constexpr std::size_t kThreadNameMax = 15;

// `v_fs:<tag>:<index>`; where the kernel's 15 bytes do not suffice the tag is cut, because the index tells queues
// apart.
std::string thread_name(const std::string& tag, unsigned index) {
  std::string suffix(1, ':');
  suffix += std::to_string(index);
  std::string name("v_fs:");
  name.append(tag, 0, kThreadNameMax - name.size() - suffix.size());
  return name += suffix;
}

std::unique_ptr<policy::PolicyFs> policy_over(fuse::FileSystem& below, const DeviceOptions& options) {
  if (!options.policy.has_value()) return nullptr;
  return std::make_unique<policy::PolicyFs>(
      below, policy::PolicyOptions{.policy = *options.policy, .open_atomic = options.share.open_atomic});
}

std::unique_ptr<RequestTap> tap_of(const DeviceOptions& options, policy::PolicyFs* policy, DeviceObserver& observer) {
  if (!options.tap.has_value()) return nullptr;
  return std::make_unique<RequestTap>(*options.tap, policy, [&observer] { observer.requests_tapped(); });
}

}  // namespace

Result<std::unique_ptr<Device>> Device::create(const DeviceOptions& options, DeviceObserver& observer) {
  Share share;
  std::vector<std::string> directories{options.share.root};
  if (options.overlay.has_value()) {
    VFS_TRY(share.overlay, overlay::OverlayFs::create(options.share, *options.overlay));
    directories.push_back(options.overlay->upper);
    directories.push_back(options.overlay->work);
  } else {
    VFS_TRY(share.fs, passthrough::PassthroughFs::create(options.share));
  }
  VFS_TRY(auto confinement, sandbox::ThreadConfinement::prepare(options.confinement, directories));
  return std::unique_ptr<Device>(new Device(options, std::move(share), std::move(confinement), observer));
}

Device::Device(const DeviceOptions& options, Share share, sandbox::ThreadConfinement confinement,
               DeviceObserver& observer)
    : tag_(options.tag),
      polling_(options.polling),
      observer_(observer),
      fs_(std::move(share.fs)),
      overlay_(std::move(share.overlay)),
      confinement_(std::move(confinement)),
      policy_(policy_over(this->share(), options)),
      tap_(tap_of(options, policy_.get(), observer)),
      server_(policy_ != nullptr ? static_cast<fuse::FileSystem&>(*policy_) : this->share(),
              fuse::ServerOptions{.write_bytes_max = options.write_bytes_max,
                                  .read_only = options.share.read_only,
                                  .measure_latency = options.measure_latency}),
      pool_("v_fs:" + options.tag, options.pool_threads, prepare_thread()),
      lot_("v_fs:" + options.tag, prepare_thread()),
      throttle_(make_throttle(options)),
      interceptor_(make_interceptor(options)) {
  server_.set_canceller(&interrupts_);
  server_.set_tap(tap_.get());
  // With an overlay the guest keeps its locks to itself.
  if (fs_ != nullptr) fs_->set_unparker(&lot_);
  server_.resume_session();
}

Device::~Device() { close(); }

PrepareThread Device::prepare_thread() const {
  // The threads are gone before the device is.
  return [this]() -> Status {
    VFS_CHECK(passthrough::prepare_thread());
    return confinement_.apply();
  };
}

std::unique_ptr<Throttle> Device::make_throttle(const DeviceOptions& options) {
  if (policy_ == nullptr) return nullptr;
  return std::make_unique<Throttle>(server_, policy_->pace(),
                                    Throttle::Setup{.thread_name = "v_fs:" + options.tag,
                                                    .prepare_thread = prepare_thread(),
                                                    .wants_pump = [this] { observer_.wants_pump(); }});
}

std::shared_ptr<Interceptor> Device::make_interceptor(const DeviceOptions& options) {
  if (policy_ == nullptr) return nullptr;
  // A value of an extended attribute may be longer than the least that can be agreed on for READ and WRITE.
  const std::uint32_t data_bytes_max = std::max<std::uint32_t>(options.write_bytes_max, 128 * 1024);
  return std::make_shared<Interceptor>(server_, *policy_,
                                       Interceptor::Setup{.data_bytes_max = data_bytes_max,
                                                          .thread_name = "v_fs:" + options.tag,
                                                          .prepare_thread = prepare_thread(),
                                                          .wants_pump = [this] { observer_.wants_pump(); },
                                                          .awaited = options.awaits_handlers});
}

Status Device::start_worker(unsigned index, const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory,
                            Notifiers notifiers) {
  VFS_ASSERT(!has_queue(index));
  const bool is_hiprio = index == 0;  // FORGET, which nobody waits for
  Worker::Setup worker_setup{.name = thread_name(tag_, index),
                             .queue = setup,
                             .memory = std::move(memory),
                             .kick = std::move(notifiers.kick),
                             .call = std::move(notifiers.call),
                             .prepare_thread = prepare_thread(),
                             .err = std::move(notifiers.err),
                             .before_batch = &passthrough::look_again_at_identity,
                             .polling = is_hiprio ? Polling{} : polling_,
                             .urgent = !is_hiprio};
  WorkerEvents events{[this, index](Fault fault) { observer_.queue_failed(index, fault); },
                      [this, index] { observer_.queue_stopped(index); }};
  VFS_TRY(workers_[index], Worker::start(std::move(worker_setup), server_, pool_, lot_, std::move(events), gates()));
  return Unit{};
}

void Device::start_pumped(unsigned index, const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory) {
  VFS_ASSERT(!has_queue(index));
  pumped_.emplace(index, std::make_unique<PumpedQueue>(setup, std::move(memory), server_, lot_, gates()));
}

PumpedQueue* Device::pumped_queue(unsigned index) {
  const auto found = pumped_.find(index);
  return found == pumped_.end() ? nullptr : found->second.get();
}

bool Device::stop_queue(unsigned index) {
  if (pumped_.contains(index)) {
    observer_.queue_stopped(index);
    return true;
  }
  const auto found = workers_.find(index);
  if (found == workers_.end()) return false;
  found->second->request_stop();
  return true;
}

virtio::QueueState Device::reap(unsigned index) {
  if (const auto found = pumped_.find(index); found != pumped_.end()) {
    const virtio::QueueState state = found->second->state();
    found->second->add_to(ended_);
    pumped_.erase(found);
    return state;
  }
  const auto found = workers_.find(index);
  VFS_ASSERT(found != workers_.end());
  const virtio::QueueState state = found->second->stop();
  found->second->add_to(ended_);
  workers_.erase(found);
  return state;
}

Worker* Device::worker(unsigned index) {
  const auto found = workers_.find(index);
  return found == workers_.end() ? nullptr : found->second.get();
}

bool Device::set_policy(const policy::PolicySource& policy) {
  if (policy_ == nullptr) return false;
  if (policy_->replace(policy)) throttle_->pace_changed();
  return true;
}

DeviceStats Device::stats() const {
  DeviceStats stats{ended_, fs_ != nullptr ? fs_->inode_count() : overlay_->inode_count(),
                    fs_ != nullptr ? fs_->handle_count() : overlay_->handle_count()};
  if (tap_ != nullptr) stats.records_lost = tap_->lost();
  pool_.add_to(stats.counters);
  lot_.add_to(stats.counters);
  if (throttle_ != nullptr) throttle_->add_to(stats.counters);
  if (interceptor_ != nullptr) interceptor_->add_to(stats.counters);
  for (const auto& [index, worker] : workers_) worker->add_to(stats.counters);
  for (const auto& [index, queue] : pumped_) queue->add_to(stats.counters);
  return stats;
}

void Device::close() {
  // All are asked before one is waited for.
  for (const auto& [index, worker] : workers_) worker->request_stop();
  // Nobody answers any more: who closes a device is who would have to.
  if (interceptor_ != nullptr) interceptor_->close();
  while (!workers_.empty()) reap(workers_.begin()->first);
  while (!pumped_.empty()) reap(pumped_.begin()->first);
  if (throttle_ != nullptr) throttle_->close();
  pool_.close();
  lot_.close();
  server_.end_session();
}

}  // namespace vfs::device
