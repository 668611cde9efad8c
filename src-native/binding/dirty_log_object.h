// NativeDirtyLog of src-ts/native/binding.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "memory/dirty_log.h"

namespace vfs::binding {

class DirtyLogObject : public Napi::ObjectWrap<DirtyLogObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit DirtyLogObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<DirtyLog>& log() const { return log_; }

 private:
  Napi::Value map(const Napi::CallbackInfo& info);
  Napi::Value unmap(const Napi::CallbackInfo& info);
  Napi::Value set_enabled(const Napi::CallbackInfo& info);
  Napi::Value set_event(const Napi::CallbackInfo& info);

  // Shared with the memories whose writes it logs.
  const std::shared_ptr<DirtyLog> log_ = std::make_shared<DirtyLog>();
};

Napi::Value create_dirty_log(const Napi::CallbackInfo& info);

}  // namespace vfs::binding
