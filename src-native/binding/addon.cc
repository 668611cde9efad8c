// The addon's entry: what `require` of the .node file gives. The contract is src-ts/native/binding.ts.
#include <napi.h>

#include "binding/device_object.h"
#include "binding/dirty_log_object.h"
#include "binding/environment.h"
#include "binding/handlers_object.h"
#include "binding/memory_object.h"
#include "binding/overlay_functions.h"
#include "binding/sandbox_functions.h"
#include "binding/socket_functions.h"
#include "binding/tables.h"
#include "binding/watcher.h"

namespace vfs::binding {

namespace {

// NATIVE_CONTRACT of src-ts/native/binding.ts.
constexpr int kContract = 7;

const char* sanitizer() {
#if defined(__SANITIZE_ADDRESS__)
  return "address";
#elif defined(__SANITIZE_THREAD__)
  return "thread";
#else
  return "";
#endif
}

}  // namespace

Environment::Environment(Napi::Env env)
    : memory_class(Napi::Persistent(MemoryObject::define(env))),
      dirty_log_class(Napi::Persistent(DirtyLogObject::define(env))),
      device_class(Napi::Persistent(DeviceObject::define(env))),
      watch_class(Napi::Persistent(WatchObject::define(env))),
      handlers_class(Napi::Persistent(HandlersObject::define(env))) {}

Environment::~Environment() = default;

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  exports.Set("contract", Napi::Number::New(env, kContract));
  exports.Set("sanitizer", Napi::String::New(env, sanitizer()));
  exports.Set("memoryFromFds", Napi::Function::New<memory_from_fds>(env, "memoryFromFds"));
  exports.Set("memoryAllocate", Napi::Function::New<memory_allocate>(env, "memoryAllocate"));
  exports.Set("memoryBorrow", Napi::Function::New<memory_borrow>(env, "memoryBorrow"));
  exports.Set("createDirtyLog", Napi::Function::New<create_dirty_log>(env, "createDirtyLog"));
  exports.Set("createDevice", Napi::Function::New<create_device>(env, "createDevice"));
  exports.Set("attachHandlers", Napi::Function::New<attach_handlers>(env, "attachHandlers"));
  exports.Set("watch", Napi::Function::New<watch>(env, "watch"));
  define_socket_functions(env, exports);
  define_overlay_functions(env, exports);
  define_sandbox_functions(env, exports);
  define_tables(env, exports);
  return exports;
}

}  // namespace vfs::binding

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  return vfs::binding::initialize(env, exports);
}

NODE_API_MODULE(virtio_fs, initialize_addon)
