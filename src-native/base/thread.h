// Thread: a native thread whose creation can fail. std::thread throws there, which the core cannot.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"

namespace vfs {

// For loops that wait for another processor: lets the sibling of this one run, and spares power.
inline void relax_processor() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Lets another thread have this processor, if one is waiting for it: sched_yield(2), which cannot fail on Linux.
inline void yield_processor() { sched_yield(); }

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
    auto owned = std::make_unique<Start>(Start{std::move(body), marked});
    const int error = pthread_create(&thread.handle_, nullptr, &Thread::main, owned.get());
    if (error != 0) return Errno(error);
    static_cast<void>(owned.release());  // main() owns it now
    thread.running_ = true;
    return thread;
  }

  // A mark that threads pass on to those that they start. It says that what a thread has given up for good (sandbox/)
  // was given up by the one that started it, and so here too.
  static bool inherited_mark() { return marked; }
  static void set_inherited_mark() { marked = true; }

  // Waits for its end. Idempotent.
  void join() {
    if (std::exchange(running_, false)) pthread_join(handle_, nullptr);
  }

 private:
  static void* main(void* argument) {
    const std::unique_ptr<Start> start(static_cast<Start*>(argument));
    marked = start->mark;
    start->body();
    return nullptr;
  }

  struct Start {
    std::function<void()> body;
    bool mark;
  };
  static inline thread_local bool marked = false;

  pthread_t handle_{};
  bool running_ = false;
};

}  // namespace vfs
