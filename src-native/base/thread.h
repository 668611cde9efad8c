// Thread: a native thread whose creation can fail. std::thread throws there, which the core cannot.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"

namespace vfs {

class Thread {
 public:
  Thread() = default;
  Thread(Thread&& other) noexcept : handle_(other.handle_), running_(std::exchange(other.running_, false)) {}
  Thread& operator=(Thread&& other) noexcept {
    join();
    handle_ = other.handle_;
    running_ = std::exchange(other.running_, false);
    return *this;
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() { join(); }

  // EAGAIN: no more threads or memory to be had.
  static Result<Thread> start(std::function<void()> body) {
    Thread thread;
    auto owned = std::make_unique<std::function<void()>>(std::move(body));
    const int error = pthread_create(&thread.handle_, nullptr, &Thread::main, owned.get());
    if (error != 0) return Errno(error);
    static_cast<void>(owned.release());  // main() owns it now
    thread.running_ = true;
    return thread;
  }

  // Waits for its end. Idempotent.
  void join() {
    if (std::exchange(running_, false)) pthread_join(handle_, nullptr);
  }

 private:
  static void* main(void* argument) {
    const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
    (*body)();
    return nullptr;
  }

  pthread_t handle_{};
  bool running_ = false;
};

}  // namespace vfs
