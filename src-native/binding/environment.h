// What one JavaScript environment (the main thread, or a worker_thread) has of this addon: the constructors of its
// classes, its watcher and the descriptors that its JavaScript owns. Several environments in one process share nothing.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "base/unique_fd.h"

namespace vfs::binding {

class Watcher;

struct Environment {
  explicit Environment(Napi::Env env);
  ~Environment();

  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // Of those that JavaScript owns, by number: a worker_thread that is terminated comes to closing nothing itself.
  std::unordered_map<int, UniqueFd> fds;
  Napi::FunctionReference memory_class;
  Napi::FunctionReference dirty_log_class;
  Napi::FunctionReference device_class;
  Napi::FunctionReference watch_class;
  Napi::FunctionReference handlers_class;
  std::unique_ptr<Watcher> watcher;  // made by the first watch()
};

}  // namespace vfs::binding
