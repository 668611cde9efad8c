// NativeDevice of src-ts/native/binding.ts: a Device, and its events as calls on the JavaScript thread.
#pragma once

#include <napi.h>

#include <memory>

#include "device/device.h"

namespace vfs::binding {

class DeviceObject : public Napi::ObjectWrap<DeviceObject>, private device::DeviceObserver {
 public:
  static Napi::Function define(Napi::Env env);
  explicit DeviceObject(const Napi::CallbackInfo& info);
  ~DeviceObject() override;

 private:
  friend Napi::Value create_device(const Napi::CallbackInfo& info);
  struct Event {
    enum class Type : std::uint8_t { kStopped, kFailed, kPump, kTapped };
    Type type;
    unsigned index = 0;
    Fault fault{};
  };
  static void deliver(Napi::Env env, Napi::Function callback, DeviceObject* self, Event* event);
  using Events = Napi::TypedThreadSafeFunction<DeviceObject, Event, &DeviceObject::deliver>;

  // From the queues' threads.
  void queue_stopped(unsigned index) override;
  void queue_failed(unsigned index, Fault fault) override;
  void wants_pump() override;
  void requests_tapped() override;

  Status open(Napi::Env env, const device::DeviceOptions& options, Napi::Function on_event);
  static void at_exit(void* self);
  void shut_down();
  bool usable(Napi::Env env);
  // A referenced thread-safe function keeps the process alive: as long as somebody waits for a queue to stop.
  void await_stop(Napi::Env env, int change);

  Napi::Value start_queue(const Napi::CallbackInfo& info);
  Napi::Value stop_queue(const Napi::CallbackInfo& info);
  Napi::Value set_event(const Napi::CallbackInfo& info, void (device::Worker::*set)(UniqueFd));
  Napi::Value set_call(const Napi::CallbackInfo& info);
  Napi::Value set_err(const Napi::CallbackInfo& info);
  Napi::Value set_memory(const Napi::CallbackInfo& info);
  Napi::Value set_used_log(const Napi::CallbackInfo& info);
  Napi::Value process_queue(const Napi::CallbackInfo& info);
  Napi::Value set_policy(const Napi::CallbackInfo& info);
  Napi::Value handlers_token(const Napi::CallbackInfo& info);
  Napi::Value take_tapped(const Napi::CallbackInfo& info);
  Napi::Value end_session(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value resumed(const Napi::CallbackInfo& info);
  Napi::Value landlock_version(const Napi::CallbackInfo& info);
  Napi::Value keep_fds(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::unique_ptr<device::Device> device_;  // null: closed
  Events events_;
  int awaited_stops_ = 0;
  bool measures_latency_ = false;
};

Napi::Value create_device(const Napi::CallbackInfo& info);

}  // namespace vfs::binding
