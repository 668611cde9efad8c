// What one JavaScript environment (the main thread, or a worker_thread) has of this addon: the constructors of its
// classes and its watcher. Several environments in one process share nothing.
#pragma once

#include <napi.h>

#include <memory>

namespace vfs::binding {

class Watcher;

struct Environment {
  explicit Environment(Napi::Env env);
  ~Environment();

  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  Napi::FunctionReference memory_class;
  Napi::FunctionReference device_class;
  Napi::FunctionReference watch_class;
  std::unique_ptr<Watcher> watcher;  // made by the first watch()
};

}  // namespace vfs::binding
