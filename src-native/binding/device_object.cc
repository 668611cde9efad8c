#include "binding/device_object.h"

#include <string>
#include <utility>
#include <vector>

#include "base/sys.h"
#include "binding/environment.h"
#include "binding/errors.h"
#include "binding/handlers_object.h"
#include "binding/memory_object.h"
#include "binding/policy_options.h"
#include "binding/share_options.h"

namespace vfs::binding {

namespace {

constexpr std::uint64_t kIndirectDesc = 1ULL << 28;  // VIRTIO_F_INDIRECT_DESC, virtio 1.3 §6
constexpr std::uint64_t kEventIdx = 1ULL << 29;      // VIRTIO_F_EVENT_IDX

std::uint64_t to_u64(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

std::uint32_t to_u32(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }

std::optional<GuestAddress> address_or_none(const Napi::Value& value) {
  if (!value.IsBigInt()) return std::nullopt;
  return GuestAddress{to_u64(value)};
}

virtio::QueueSetup queue_setup_from(const Napi::Object& given) {
  const std::int32_t next_used = given.Get("nextUsed").As<Napi::Number>().Int32Value();
  const std::uint64_t features = to_u64(given.Get("features"));
  virtio::QueueSetup setup{};
  setup.size = to_u32(given.Get("size"));
  setup.desc_table = GuestAddress{to_u64(given.Get("descTable"))};
  setup.avail_ring = GuestAddress{to_u64(given.Get("availRing"))};
  setup.used_ring = GuestAddress{to_u64(given.Get("usedRing"))};
  setup.next_avail = static_cast<std::uint16_t>(to_u32(given.Get("nextAvail")));
  if (next_used >= 0) setup.next_used = static_cast<std::uint16_t>(next_used);
  setup.event_idx = (features & kEventIdx) != 0;
  setup.indirect = (features & kIndirectDesc) != 0;
  setup.used_log = address_or_none(given.Get("usedLog"));
  if (given.Get("inFlight").IsObject()) {
    const auto region = given.Get("inFlight").As<Napi::Object>();
    setup.in_flight =
        virtio::InFlightTable::Setup{.memory = MemoryObject::Unwrap(region.Get("memory").As<Napi::Object>())->memory(),
                                     .start = GuestAddress{to_u64(region.Get("start"))},
                                     .entries = static_cast<std::uint16_t>(to_u32(region.Get("entries")))};
  }
  return setup;
}

bool has_closed_in_flight_region(const virtio::QueueSetup& setup) {
  return setup.in_flight.has_value() && setup.in_flight->memory == nullptr;
}

// A duplicate, or none for -1.
Result<UniqueFd> duplicate_or_none(const Napi::Value& fd) {
  const std::int32_t number = fd.As<Napi::Number>().Int32Value();
  if (number < 0) return UniqueFd();
  return sys::duplicate(number);
}

Napi::Object state_object(Napi::Env env, virtio::QueueState state) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("nextAvail", Napi::Number::New(env, state.next_avail));
  object.Set("nextUsed", Napi::Number::New(env, state.next_used));
  return object;
}

// Remembers what was written during one pump; neighbours become one range.
class WrittenRanges final : public WriteObserver {
 public:
  void guest_memory_written(GuestRange range) override {
    if (!ranges_.empty()) {
      auto& [address, length] = ranges_.back();
      if (address + length == range.address.value) {
        length += range.length;
        return;
      }
    }
    ranges_.emplace_back(range.address.value, range.length);
  }

  Napi::Array to_array(Napi::Env env) const {
    Napi::Array array = Napi::Array::New(env, ranges_.size() * 2);
    std::uint32_t i = 0;
    for (const auto& [address, length] : ranges_) {
      array.Set(i++, Napi::BigInt::New(env, address));
      array.Set(i++, Napi::BigInt::New(env, length));
    }
    return array;
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;
};

}  // namespace

Napi::Value create_device(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const device::DeviceOptions options = device_options_from(info[0].As<Napi::Object>());
  Napi::Object object = Environment::of(env).device_class.New({});
  const Status opened = DeviceObject::Unwrap(object)->open(env, options, info[1].As<Napi::Function>());
  if (!opened.ok()) return throw_system(env, opened.error(), "open", options.share.root);
  return object;
}

Napi::Function DeviceObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeDevice",
      {InstanceMethod<&DeviceObject::start_queue>("startQueue"), InstanceMethod<&DeviceObject::stop_queue>("stopQueue"),
       InstanceMethod<&DeviceObject::set_call>("setCall"), InstanceMethod<&DeviceObject::set_err>("setErr"),
       InstanceMethod<&DeviceObject::set_memory>("setMemory"),
       InstanceMethod<&DeviceObject::set_used_log>("setUsedLog"),
       InstanceMethod<&DeviceObject::process_queue>("processQueue"),
       InstanceMethod<&DeviceObject::set_policy>("setPolicy"),
       InstanceMethod<&DeviceObject::handlers_token>("handlersToken"),
       InstanceMethod<&DeviceObject::end_session>("endSession"),
       InstanceMethod<&DeviceObject::take_tapped>("takeTapped"), InstanceMethod<&DeviceObject::stats>("stats"),
       InstanceMethod<&DeviceObject::keep_fds>("keepFds"),
       InstanceMethod<&DeviceObject::landlock_version>("landlockVersion"),
       InstanceMethod<&DeviceObject::resumed>("resumed"), InstanceMethod<&DeviceObject::close>("close")});
}

DeviceObject::DeviceObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceObject>(info) {}

DeviceObject::~DeviceObject() { shut_down(); }

Status DeviceObject::open(Napi::Env env, const device::DeviceOptions& options, Napi::Function on_event) {
  VFS_TRY(device_, device::Device::create(options, *this));
  measures_latency_ = options.measure_latency;
  events_ = Events::New(env, on_event, "virtio-fs:device", 0, 1, this);
  events_.Unref(env);
  // Hooks run last in, first out: threads are gone before the thread-safe function that they call.
  napi_add_env_cleanup_hook(env, &DeviceObject::at_exit, this);
  return Unit{};
}

void DeviceObject::at_exit(void* self) { static_cast<DeviceObject*>(self)->shut_down(); }

void DeviceObject::shut_down() {
  if (device_ == nullptr) return;
  napi_remove_env_cleanup_hook(Env(), &DeviceObject::at_exit, this);
  device_->close();
  device_.reset();
  // What is still queued is delivered to nobody: deliver() gets no environment.
  events_.Abort();
}

bool DeviceObject::usable(Napi::Env env) {
  if (device_ != nullptr) return true;
  throw_code(env, "ERR_VIRTIOFS_CLOSED", "the device has been closed");
  return false;
}

void DeviceObject::await_stop(Napi::Env env, int change) {
  const int before = std::exchange(awaited_stops_, awaited_stops_ + change);
  if (before == 0 && awaited_stops_ > 0) events_.Ref(env);
  if (before > 0 && awaited_stops_ == 0) events_.Unref(env);
}

void DeviceObject::queue_stopped(unsigned index) {
  events_.NonBlockingCall(new Event{.type = Event::Type::kStopped, .index = index});
}

void DeviceObject::queue_failed(unsigned index, Fault fault) {
  events_.NonBlockingCall(new Event{.type = Event::Type::kFailed, .index = index, .fault = fault});
}

void DeviceObject::wants_pump() { events_.NonBlockingCall(new Event{.type = Event::Type::kPump}); }
void DeviceObject::requests_tapped() { events_.NonBlockingCall(new Event{.type = Event::Type::kTapped}); }

void DeviceObject::deliver(Napi::Env env, Napi::Function callback, DeviceObject* self, Event* raw) {
  const std::unique_ptr<Event> event(raw);
  if (static_cast<napi_env>(env) == nullptr || self->device_ == nullptr) return;
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", Napi::Number::New(env, event->index));
  switch (event->type) {
    case Event::Type::kPump:
      object.Set("type", Napi::String::New(env, "pump"));
      break;
    case Event::Type::kTapped:
      object.Set("type", Napi::String::New(env, "tapped"));
      break;
    case Event::Type::kFailed:
      object.Set("type", Napi::String::New(env, "queueError"));
      object.Set("message", Napi::String::New(env, fault_message(event->fault)));
      break;
    case Event::Type::kStopped:
      object.Set("type", Napi::String::New(env, "stopped"));
      object.Set("state", state_object(env, self->device_->reap(event->index)));
      self->await_stop(env, -1);
      break;
  }
  callback.Call({object});
}

Napi::Value DeviceObject::start_queue(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  const auto given = info[0].As<Napi::Object>();
  const unsigned index = to_u32(given.Get("index"));
  const auto& memory = MemoryObject::Unwrap(info[1].As<Napi::Object>())->memory();
  if (memory == nullptr) return throw_code(env, "ERR_VIRTIOFS_MEMORY_CLOSED", "the guest memory has been closed");
  if (device_->has_queue(index)) return throw_code(env, "ERR_VIRTIOFS_QUEUE_RUNNING", "the queue is running");
  auto kick = duplicate_or_none(given.Get("kick"));
  auto call = duplicate_or_none(given.Get("call"));
  auto err = duplicate_or_none(given.Get("err"));
  for (const auto* fd : {&kick, &call, &err}) {
    if (!fd->ok()) return throw_system(env, fd->error(), "fcntl");
  }
  const virtio::QueueSetup setup = queue_setup_from(given);
  if (has_closed_in_flight_region(setup)) {
    return throw_code(env, "ERR_VIRTIOFS_MEMORY_CLOSED", "the in-flight region has been closed");
  }
  device::Device::Notifiers notifiers{std::move(kick).value(), std::move(call).value(), std::move(err).value()};
  if (!notifiers.kick.valid()) {
    device_->start_pumped(index, setup, memory);
    return env.Undefined();
  }
  const Status started = device_->start_worker(index, setup, memory, std::move(notifiers));
  if (!started.ok()) return throw_system(env, started.error(), "pthread_create");
  return env.Undefined();
}

Napi::Value DeviceObject::stop_queue(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  const bool found = device_->stop_queue(to_u32(info[0]));
  if (found) await_stop(env, 1);
  return Napi::Boolean::New(env, found);
}

Napi::Value DeviceObject::set_event(const Napi::CallbackInfo& info, void (device::Worker::*set)(UniqueFd)) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  auto event = duplicate_or_none(info[1]);
  if (!event.ok()) return throw_system(env, event.error(), "fcntl");
  device::Worker* const worker = device_->worker(to_u32(info[0]));
  if (worker != nullptr) (worker->*set)(std::move(event).value());
  return Napi::Boolean::New(env, worker != nullptr);
}

Napi::Value DeviceObject::set_call(const Napi::CallbackInfo& info) {
  return set_event(info, &device::Worker::set_call);
}

Napi::Value DeviceObject::set_err(const Napi::CallbackInfo& info) { return set_event(info, &device::Worker::set_err); }

Napi::Value DeviceObject::set_memory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  const auto& memory = MemoryObject::Unwrap(info[1].As<Napi::Object>())->memory();
  if (memory == nullptr) return throw_code(env, "ERR_VIRTIOFS_MEMORY_CLOSED", "the guest memory has been closed");
  device::Worker* const worker = device_->worker(to_u32(info[0]));
  if (worker != nullptr) worker->switch_memory(memory);
  return Napi::Boolean::New(env, worker != nullptr);
}

Napi::Value DeviceObject::set_used_log(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  device::Worker* const worker = device_->worker(to_u32(info[0]));
  if (worker != nullptr) worker->set_used_log(address_or_none(info[1]));
  return Napi::Boolean::New(env, worker != nullptr);
}

Napi::Value DeviceObject::process_queue(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  const unsigned index = to_u32(info[0]);
  device::PumpedQueue* queue = device_->pumped_queue(index);
  if (queue == nullptr) return throw_code(env, "ERR_VIRTIOFS_QUEUE_NOT_FOUND", "there is no such pumped queue");
  MutableByteSpan bytes;
  if (info[1].IsTypedArray()) {
    auto lent = info[1].As<Napi::Uint8Array>();
    bytes = {reinterpret_cast<std::byte*>(lent.Data()), lent.ByteLength()};
  }
  WrittenRanges written;
  const GuestAddress base{to_u64(info[2])};
  const std::string mode = info[3].As<Napi::String>().Utf8Value();
  const auto pumped = mode == "last"     ? queue->finish(bytes, base, &written)
                      : mode == "settle" ? queue->settle(bytes, base, &written)
                                         : queue->pump(bytes, base, &written);
  if (!pumped.ok()) queue_failed(index, pumped.error());
  Napi::Object result = Napi::Object::New(env);
  result.Set("served", Napi::Number::New(env, pumped.ok() ? static_cast<double>(pumped.value().served) : 0));
  result.Set("needsCall", Napi::Boolean::New(env, pumped.ok() && pumped.value().needs_call));
  result.Set("parked", Napi::Number::New(env, queue->parked()));
  result.Set("atGates", Napi::Number::New(env, queue->at_gates()));
  result.Set("written", written.to_array(env));
  return result;
}

Napi::Value DeviceObject::set_policy(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  return Napi::Boolean::New(env, device_->set_policy(policy_from(info[0].As<Napi::Object>())));
}

Napi::Value DeviceObject::handlers_token(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  return Napi::Number::New(env, token_of(device_->interceptor()));
}

namespace {

// What the contract calls NativeTapped.
Napi::Object tapped_object(Napi::Env env, const fuse::Tapped& record) {
  const auto number = [env](double value) { return Napi::Number::New(env, value); };
  const auto bytes = [env](const void* data, std::size_t size) {
    return Napi::Buffer<char>::Copy(env, static_cast<const char*>(data), size);
  };
  using Milliseconds = std::chrono::duration<double, std::milli>;
  Napi::Object object = Napi::Object::New(env);
  object.Set("answered", Napi::Boolean::New(env, record.answered));
  object.Set("unique", Napi::BigInt::New(env, record.unique));
  object.Set("node", Napi::BigInt::New(env, record.node));
  object.Set("opcode", number(record.opcode));
  object.Set("uid", number(record.uid));
  object.Set("gid", number(record.gid));
  object.Set("pid", number(record.pid));
  object.Set("parameters", bytes(record.parameters.data(), record.parameters.size()));
  object.Set("namesAt", number(static_cast<double>(record.names_at)));
  object.Set("path", bytes(record.path.data(), record.path.size()));
  object.Set("secondPath", bytes(record.second_path.data(), record.second_path.size()));
  object.Set("error", number(record.error));
  object.Set("movedBytes", number(static_cast<double>(record.moved_bytes)));
  object.Set("writtenBytes", number(static_cast<double>(record.written_bytes)));
  object.Set("tookNs", number(static_cast<double>(record.took.count())));
  object.Set("timeMs", number(Milliseconds(record.at.time_since_epoch()).count()));
  return object;
}

}  // namespace

Napi::Value DeviceObject::take_tapped(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  const device::RequestTap::Batch batch = device_->take_tapped();
  Napi::Array records = Napi::Array::New(env, batch.records.size());
  std::uint32_t place = 0;
  for (const fuse::Tapped& record : batch.records) {
    const Napi::HandleScope scope(env);
    records.Set(place++, tapped_object(env, record));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("records", records);
  object.Set("lost", Napi::Number::New(env, static_cast<double>(batch.lost)));
  return object;
}

Napi::Value DeviceObject::end_session(const Napi::CallbackInfo& info) {
  if (usable(info.Env())) device_->end_session();
  return info.Env().Undefined();
}

namespace {

// Pairs: number, count.
Napi::Array errors_of(Napi::Env env, const std::map<int, std::uint64_t>& errors) {
  Napi::Array pairs = Napi::Array::New(env);
  for (const auto& [error, count] : errors) {
    pairs.Set(pairs.Length(), Napi::Number::New(env, error));
    pairs.Set(pairs.Length(), Napi::Number::New(env, static_cast<double>(count)));
  }
  return pairs;
}

// What the contract calls NativeLatency.
Napi::Object latency_of(Napi::Env env, const fuse::Counters::Snapshot& counters, std::size_t slot) {
  Napi::Object latency = Napi::Object::New(env);
  latency.Set("sumNs", Napi::Number::New(env, static_cast<double>(counters.latency_sums[slot])));
  Napi::Array classes = Napi::Array::New(env, fuse::kLatencyClasses);
  for (std::uint32_t i = 0; i < fuse::kLatencyClasses; ++i) {
    classes.Set(i, Napi::Number::New(env, static_cast<double>(counters.latencies[slot][i])));
  }
  latency.Set("classes", classes);
  return latency;
}

}  // namespace

Napi::Value DeviceObject::stats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  const device::DeviceStats stats = device_->stats();
  const auto number = [env](std::uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); };
  Napi::Array operations = Napi::Array::New(env);
  const auto add = [&](const char* name, std::size_t slot) {
    if (stats.counters.operations[slot] == 0) return;
    Napi::Object operation = Napi::Object::New(env);
    operation.Set("name", Napi::String::New(env, name));
    operation.Set("opcode", number(slot));
    operation.Set("count", number(stats.counters.operations[slot]));
    operation.Set("errors", number(stats.counters.errors[slot]));
    operation.Set("errorsByNumber", errors_of(env, stats.counters.errors_by_number[slot]));
    if (measures_latency_) operation.Set("latency", latency_of(env, stats.counters, slot));
    operations.Set(operations.Length(), operation);
  };
  add("UNKNOWN", 0);
  for (const fuse::OpRow& row : fuse::op_rows()) add(row.name, fuse::op_slot(&row));
  Napi::Object object = Napi::Object::New(env);
  object.Set("operations", operations);
  object.Set("bytesRead", number(stats.counters.bytes_read));
  object.Set("bytesWritten", number(stats.counters.bytes_written));
  object.Set("chainsDropped", number(stats.counters.dropped));
  object.Set("inodes", number(stats.inodes));
  object.Set("handles", number(stats.handles));
  object.Set("recordsLost", number(stats.records_lost));
  return object;
}

Napi::Value DeviceObject::keep_fds(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  Napi::Array array = Napi::Array::New(env);
  for (const int fd : device_->keep_fds()) array.Set(array.Length(), Napi::Number::New(env, fd));
  return array;
}

Napi::Value DeviceObject::resumed(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!usable(env)) return env.Undefined();
  using Found = passthrough::SessionFile::Found;
  const passthrough::Resumed resumed = device_->resumed();
  const char* const found = resumed.found == Found::kSession    ? "session"
                            : resumed.found == Found::kUnusable ? "unusable"
                                                                : "nothing";
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, std::size_t count) {
    object.Set(name, Napi::Number::New(env, static_cast<double>(count)));
  };
  object.Set("found", Napi::String::New(env, found));
  set("inodes", resumed.inodes);
  set("handles", resumed.handles);
  set("lostInodes", resumed.lost_inodes);
  set("lostHandles", resumed.lost_handles);
  return object;
}

Napi::Value DeviceObject::landlock_version(const Napi::CallbackInfo& info) {
  if (!usable(info.Env())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), device_->landlock_version());
}

Napi::Value DeviceObject::close(const Napi::CallbackInfo& info) {
  shut_down();
  return info.Env().Undefined();
}

}  // namespace vfs::binding
