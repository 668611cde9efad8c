#include "binding/memory_object.h"

#include <utility>
#include <vector>

#include "binding/dirty_log_object.h"
#include "binding/environment.h"
#include "binding/errors.h"

namespace vfs::binding {

namespace {

std::uint64_t to_u64(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

GuestMemory::RegionSpec region_from(const Napi::Object& region, bool with_fd) {
  GuestMemory::RegionSpec spec{};
  spec.address = GuestAddress{to_u64(region.Get("guestAddress"))};
  spec.size = static_cast<std::uint64_t>(region.Get("size").As<Napi::Number>().Int64Value());
  spec.fd = -1;
  if (with_fd) {
    spec.fd = region.Get("fd").As<Napi::Number>().Int32Value();
    spec.offset = static_cast<std::uint64_t>(region.Get("offset").As<Napi::Number>().Int64Value());
  }
  return spec;
}

std::vector<GuestMemory::RegionSpec> regions_from(const Napi::Value& value, bool with_fds) {
  const auto array = value.As<Napi::Array>();
  std::vector<GuestMemory::RegionSpec> regions;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    regions.push_back(region_from(array.Get(i).As<Napi::Object>(), with_fds));
  }
  return regions;
}

Napi::Value created(Napi::Env env, Result<std::shared_ptr<GuestMemory>> memory) {
  if (!memory.ok()) return throw_system(env, memory.error(), "mmap");
  return MemoryObject::create(env, std::move(memory).value());
}

}  // namespace

Napi::Value memory_from_fds(const Napi::CallbackInfo& info) {
  std::shared_ptr<DirtyLog> log;
  if (info[1].IsObject()) log = DirtyLogObject::Unwrap(info[1].As<Napi::Object>())->log();
  return created(info.Env(), GuestMemory::from_fds(regions_from(info[0], true), std::move(log)));
}

Napi::Value memory_allocate(const Napi::CallbackInfo& info) {
  return created(info.Env(), GuestMemory::allocate(regions_from(info[0], false)));
}

Napi::Value memory_borrow(const Napi::CallbackInfo& info) {
  return MemoryObject::create(info.Env(), GuestMemory::borrow());
}

Napi::Function MemoryObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeMemory",
      {InstanceAccessor<&MemoryObject::region_count>("regionCount"), InstanceMethod<&MemoryObject::buffer>("buffer"),
       InstanceMethod<&MemoryObject::fd>("fd"), InstanceMethod<&MemoryObject::with_region>("withRegion"),
       InstanceMethod<&MemoryObject::without_region>("withoutRegion"),
       InstanceMethod<&MemoryObject::exclude_from_fork>("excludeFromFork"),
       InstanceMethod<&MemoryObject::release>("release")});
}

Napi::Object MemoryObject::create(Napi::Env env, std::shared_ptr<GuestMemory> memory) {
  Napi::Object object = Environment::of(env).memory_class.New({});
  Unwrap(object)->memory_ = std::move(memory);
  return object;
}

MemoryObject::MemoryObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MemoryObject>(info) {}

bool MemoryObject::usable(Napi::Env env) {
  if (memory_ != nullptr) return true;
  throw_code(env, "ERR_VIRTIOFS_MEMORY_CLOSED", "the guest memory has been closed");
  return false;
}

bool MemoryObject::usable(Napi::Env env, std::size_t region) {
  if (!usable(env)) return false;
  if (region >= memory_->region_count()) {
    throw_code(env, "ERR_VIRTIOFS_INVALID_ARGUMENT", "there is no such mapped region");
    return false;
  }
  return true;
}

Napi::Value MemoryObject::region_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), memory_ == nullptr ? 0 : static_cast<double>(memory_->region_count()));
}

Napi::Value MemoryObject::buffer(const Napi::CallbackInfo& info) {
  const std::size_t region = info[0].As<Napi::Number>().Uint32Value();
  if (!usable(info.Env(), region)) return info.Env().Undefined();
  const MutableByteSpan bytes = memory_->region_bytes(region);
  // The buffer holds a reference of its own: the mapping outlives every view on it.
  auto* reference = new std::shared_ptr<GuestMemory>(memory_);
  return Napi::ArrayBuffer::New(
      info.Env(), bytes.data(), bytes.size(), [](Napi::Env, void*, std::shared_ptr<GuestMemory>* held) { delete held; },
      reference);
}

Napi::Value MemoryObject::fd(const Napi::CallbackInfo& info) {
  const std::size_t region = info[0].As<Napi::Number>().Uint32Value();
  if (!usable(info.Env(), region)) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), memory_->region_fd(region));
}

Napi::Value MemoryObject::with_region(const Napi::CallbackInfo& info) {
  if (!usable(info.Env())) return info.Env().Undefined();
  return created(info.Env(), memory_->with_region(region_from(info[0].As<Napi::Object>(), true)));
}

Napi::Value MemoryObject::without_region(const Napi::CallbackInfo& info) {
  const std::size_t region = info[0].As<Napi::Number>().Uint32Value();
  if (!usable(info.Env(), region)) return info.Env().Undefined();
  return create(info.Env(), memory_->without_region(region));
}

Napi::Value MemoryObject::exclude_from_fork(const Napi::CallbackInfo& info) {
  if (!usable(info.Env())) return info.Env().Undefined();
  if (const Status done = memory_->exclude_from_fork(); !done.ok()) {
    return throw_system(info.Env(), done.error(), "madvise");
  }
  return info.Env().Undefined();
}

Napi::Value MemoryObject::release(const Napi::CallbackInfo& info) {
  // Views and running queues keep the mapping; nobody keeps descriptors open that nobody can ask for.
  if (memory_ != nullptr) memory_->close_descriptors();
  memory_.reset();
  return info.Env().Undefined();
}

}  // namespace vfs::binding
