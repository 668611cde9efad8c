#include "binding/watcher.h"

#include <sys/epoll.h>

#include <array>
#include <utility>

#include "base/sys.h"
#include "binding/environment.h"
#include "binding/errors.h"

namespace vfs::binding {

namespace {

constexpr std::uint64_t kStopId = 0;
constexpr std::uint32_t kInterest = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;

}  // namespace

Result<std::unique_ptr<Watcher>> Watcher::create(Napi::Env env) {
  std::unique_ptr<Watcher> watcher(new Watcher(env));
  VFS_TRY(watcher->epoll_, sys::epoll_create());
  VFS_TRY(watcher->stop_, sys::eventfd(0));
  VFS_CHECK(sys::epoll_add(watcher->epoll_.get(), watcher->stop_.get(), EPOLLIN, kStopId));
  watcher->signal_ = Signal::New(env, "virtio-fs:watch", 0, 1, watcher.get());
  watcher->signal_.Unref(env);
  auto thread = Thread::start([raw = watcher.get()] { raw->run(); });
  if (!thread.ok()) {
    watcher->signal_.Abort();
    return thread.error();
  }
  watcher->thread_ = std::move(thread).value();
  watcher->running_ = true;
  env.AddCleanupHook([](Watcher* raw) { raw->shut_down(); }, watcher.get());
  return watcher;
}

Watcher::~Watcher() { shut_down(); }

void Watcher::shut_down() {
  if (!std::exchange(running_, false)) return;
  static_cast<void>(sys::eventfd_signal(stop_.get()).ok());
  thread_.join();
  watches_.clear();
  // What is still queued is delivered to nobody: deliver() gets no environment.
  signal_.Abort();
}

void Watcher::run() {
  sys::name_thread("v_fs:watch");
  std::array<epoll_event, 32> events;
  for (;;) {
    const auto ready = sys::epoll_wait(epoll_.get(), events, -1);
    VFS_ASSERT(ready.ok());
    for (std::size_t i = 0; i < ready.value(); ++i) {
      const std::uint64_t id = events[i].data.u64;
      if (id == kStopId) return;
      // The id travels in the pointer: nothing to free if it is never delivered.
      signal_.NonBlockingCall(reinterpret_cast<void*>(static_cast<std::uintptr_t>(id)));
    }
  }
}

void Watcher::deliver(Napi::Env env, Napi::Function, Watcher* watcher, void* id) {
  if (static_cast<napi_env>(env) == nullptr || !watcher->running_) return;
  const auto found = watcher->watches_.find(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(id)));
  if (found == watcher->watches_.end()) return;  // closed meanwhile
  found->second.callback.Call({});
}

Result<std::uint64_t> Watcher::add(int fd, Napi::Function callback) {
  const std::uint64_t id = ++last_id_;
  // Known before it can fire: delivery happens on this thread, later.
  watches_.emplace(id, Watch{fd, true, Napi::Persistent(callback)});
  if (const Status added = sys::epoll_add(epoll_.get(), fd, kInterest, id); !added.ok()) {
    watches_.erase(id);
    return added.error();
  }
  reference(1);
  return id;
}

Status Watcher::rearm(std::uint64_t id) { return sys::epoll_modify(epoll_.get(), watches_.at(id).fd, kInterest, id); }

void Watcher::set_referenced(std::uint64_t id, bool referenced) {
  Watch& watch = watches_.at(id);
  if (std::exchange(watch.referenced, referenced) != referenced) reference(referenced ? 1 : -1);
}

void Watcher::remove(std::uint64_t id) {
  const auto found = watches_.find(id);
  if (found->second.referenced) reference(-1);
  // The caller closes the watch before the fd; if not, the kernel has removed it already.
  static_cast<void>(sys::epoll_remove(epoll_.get(), found->second.fd).ok());
  watches_.erase(found);
}

void Watcher::reference(int change) {
  const int before = std::exchange(referenced_, referenced_ + change);
  if (before == 0 && referenced_ > 0) signal_.Ref(env_);
  if (before > 0 && referenced_ == 0) signal_.Unref(env_);
}

Napi::Function WatchObject::define(Napi::Env env) {
  return DefineClass(env, "NativeWatch",
                     {InstanceMethod<&WatchObject::rearm>("rearm"), InstanceMethod<&WatchObject::ref>("ref"),
                      InstanceMethod<&WatchObject::unref>("unref"), InstanceMethod<&WatchObject::close>("close")});
}

WatchObject::WatchObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<WatchObject>(info) {}

Napi::Value watch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Environment& environment = Environment::of(env);
  if (environment.watcher == nullptr) {
    auto watcher = Watcher::create(env);
    if (!watcher.ok()) return throw_system(env, watcher.error(), "epoll_create");
    environment.watcher = std::move(watcher).value();
  }
  const auto id = environment.watcher->add(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Function>());
  if (!id.ok()) return throw_system(env, id.error(), "epoll_ctl");
  Napi::Object object = environment.watch_class.New({});
  WatchObject::Unwrap(object)->id_ = id.value();
  return object;
}

Napi::Value WatchObject::rearm(const Napi::CallbackInfo& info) {
  if (id_ == 0) return info.Env().Undefined();
  if (const Status armed = Environment::of(info.Env()).watcher->rearm(id_); !armed.ok()) {
    return throw_system(info.Env(), armed.error(), "epoll_ctl");
  }
  return info.Env().Undefined();
}

Napi::Value WatchObject::ref(const Napi::CallbackInfo& info) {
  if (id_ != 0) Environment::of(info.Env()).watcher->set_referenced(id_, true);
  return info.Env().Undefined();
}

Napi::Value WatchObject::unref(const Napi::CallbackInfo& info) {
  if (id_ != 0) Environment::of(info.Env()).watcher->set_referenced(id_, false);
  return info.Env().Undefined();
}

Napi::Value WatchObject::close(const Napi::CallbackInfo& info) {
  if (const std::uint64_t id = std::exchange(id_, 0); id != 0) Environment::of(info.Env()).watcher->remove(id);
  return info.Env().Undefined();
}

}  // namespace vfs::binding
