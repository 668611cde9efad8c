// NativeHandlers of src-ts/native/binding.ts: the handlers of one JavaScript environment, which may be another one than
// the device's, attached to that device's interceptor.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "device/interceptor.h"

namespace vfs::binding {

class HandlersObject : public Napi::ObjectWrap<HandlersObject>, private device::InterceptObserver {
 public:
  static Napi::Function define(Napi::Env env);
  explicit HandlersObject(const Napi::CallbackInfo& info);
  ~HandlersObject() override;

 private:
  friend Napi::Value attach_handlers(const Napi::CallbackInfo& info);
  static void deliver(Napi::Env env, Napi::Function callback, HandlersObject* self, void*);
  using Events = Napi::TypedThreadSafeFunction<HandlersObject, void, &HandlersObject::deliver>;

  // From any thread.
  void events_waiting() override;

  Status attach(Napi::Env env, std::shared_ptr<device::Interceptor> interceptor, Napi::Function on_events,
                bool referenced);
  static void at_exit(void* self);
  void shut_down();

  Napi::Value set_plan(const Napi::CallbackInfo& info);
  Napi::Value proceed(const Napi::CallbackInfo& info);
  Napi::Value refuse(const Napi::CallbackInfo& info);
  Napi::Value answer(const Napi::CallbackInfo& info);
  Napi::Value let_pass(const Napi::CallbackInfo& info);
  Napi::Value data(const Napi::CallbackInfo& info);
  Napi::Value reply(const Napi::CallbackInfo& info);
  Napi::Value detach(const Napi::CallbackInfo& info);

  std::shared_ptr<device::Interceptor> interceptor_;  // null: detached
  Events events_;
};

// A number by which other environments of this process find an interceptor, for as long as it is there; 0 of null.
double token_of(const std::shared_ptr<device::Interceptor>& interceptor);

Napi::Value attach_handlers(const Napi::CallbackInfo& info);

}  // namespace vfs::binding
