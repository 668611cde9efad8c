// NativeMemory of src-ts/native/binding.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "memory/guest_memory.h"

namespace vfs::binding {

class MemoryObject : public Napi::ObjectWrap<MemoryObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::shared_ptr<GuestMemory> memory);

  explicit MemoryObject(const Napi::CallbackInfo& info);
  // Null after release().
  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }

 private:
  Napi::Value region_count(const Napi::CallbackInfo& info);
  Napi::Value buffer(const Napi::CallbackInfo& info);
  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value with_region(const Napi::CallbackInfo& info);
  Napi::Value without_region(const Napi::CallbackInfo& info);
  Napi::Value exclude_from_fork(const Napi::CallbackInfo& info);
  Napi::Value release(const Napi::CallbackInfo& info);
  // Throws and returns false after release(), or if there is no such region.
  bool usable(Napi::Env env);
  bool usable(Napi::Env env, std::size_t region);

  std::shared_ptr<GuestMemory> memory_;
};

Napi::Value memory_from_fds(const Napi::CallbackInfo& info);
Napi::Value memory_allocate(const Napi::CallbackInfo& info);
Napi::Value memory_borrow(const Napi::CallbackInfo& info);

}  // namespace vfs::binding
