// Watcher: readiness of file descriptors for JavaScript: sockets of frontends, call eventfds of test guests.
//
// One thread per environment waits in epoll and wakes JavaScript by a thread-safe function (cheaper than uv_poll, and
// stable Node-API: libuv's own is neither). Each watch is one-shot: nothing is reported twice before it is re-armed.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/result.h"
#include "base/thread.h"
#include "base/unique_fd.h"

namespace vfs::binding {

class Watcher {
 public:
  static Result<std::unique_ptr<Watcher>> create(Napi::Env env);
  // Ends the thread. No callback follows.
  ~Watcher();

  // On the JavaScript thread, all of them.
  Result<std::uint64_t> add(int fd, Napi::Function callback);
  Status rearm(std::uint64_t id);
  void set_referenced(std::uint64_t id, bool referenced);
  void remove(std::uint64_t id);

 private:
  struct Watch {
    int fd;
    bool referenced;
    Napi::FunctionReference callback;
  };
  static void deliver(Napi::Env env, Napi::Function, Watcher* watcher, void* id);
  using Signal = Napi::TypedThreadSafeFunction<Watcher, void, &Watcher::deliver>;

  explicit Watcher(Napi::Env env) : env_(env) {}
  // Ends the thread and lets go of JavaScript. Idempotent. Also the environment's cleanup hook: hooks run last in,
  // first out, so the thread is gone before the thread-safe function that it calls.
  void shut_down();
  void run();
  void reference(int change);

  Napi::Env env_;
  UniqueFd epoll_;
  UniqueFd stop_;
  bool running_ = false;
  Signal signal_;
  Thread thread_;
  std::unordered_map<std::uint64_t, Watch> watches_;
  std::uint64_t last_id_ = 0;
  int referenced_ = 0;
};

// NativeWatch of src-ts/native/binding.ts.
class WatchObject : public Napi::ObjectWrap<WatchObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit WatchObject(const Napi::CallbackInfo& info);

 private:
  friend Napi::Value watch(const Napi::CallbackInfo& info);
  Napi::Value rearm(const Napi::CallbackInfo& info);
  Napi::Value ref(const Napi::CallbackInfo& info);
  Napi::Value unref(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::uint64_t id_ = 0;  // 0: closed
};

Napi::Value watch(const Napi::CallbackInfo& info);

}  // namespace vfs::binding
