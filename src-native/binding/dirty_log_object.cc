#include "binding/dirty_log_object.h"

#include <utility>

#include "base/sys.h"
#include "binding/environment.h"
#include "binding/errors.h"

namespace vfs::binding {

Napi::Value create_dirty_log(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).dirty_log_class.New({});
}

Napi::Function DirtyLogObject::define(Napi::Env env) {
  return DefineClass(env, "NativeDirtyLog",
                     {InstanceMethod<&DirtyLogObject::map>("map"), InstanceMethod<&DirtyLogObject::unmap>("unmap"),
                      InstanceMethod<&DirtyLogObject::set_enabled>("setEnabled"),
                      InstanceMethod<&DirtyLogObject::set_event>("setEvent")});
}

DirtyLogObject::DirtyLogObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DirtyLogObject>(info) {}

Napi::Value DirtyLogObject::map(const Napi::CallbackInfo& info) {
  const auto size = [&info](std::size_t i) {
    return static_cast<std::uint64_t>(info[i].As<Napi::Number>().Int64Value());
  };
  const Status mapped = log_->map(info[0].As<Napi::Number>().Int32Value(), size(1), size(2));
  if (!mapped.ok()) return throw_system(info.Env(), mapped.error(), "mmap");
  return info.Env().Undefined();
}

Napi::Value DirtyLogObject::unmap(const Napi::CallbackInfo& info) {
  log_->unmap();
  return info.Env().Undefined();
}

Napi::Value DirtyLogObject::set_enabled(const Napi::CallbackInfo& info) {
  log_->set_enabled(info[0].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

Napi::Value DirtyLogObject::set_event(const Napi::CallbackInfo& info) {
  const std::int32_t number = info[0].As<Napi::Number>().Int32Value();
  if (number < 0) {
    log_->set_event(UniqueFd());
    return info.Env().Undefined();
  }
  auto event = sys::duplicate(number);
  if (!event.ok()) return throw_system(info.Env(), event.error(), "fcntl");
  log_->set_event(std::move(event).value());
  return info.Env().Undefined();
}

}  // namespace vfs::binding
