// An addon for `npm run bench -- --self --policies`: what it costs a native thread to ask JavaScript and to wait for
// the answer, with no device in it. It is what a handler cannot be cheaper than.
//
// measure(ms, handler): Promise<{ crossings, p50Us, cpuUs }>. A thread calls handler() over and over for so many
// milliseconds, each time after the last answer: a thread-safe function there, a condition variable back. p50Us is from
// the call to the answer, cpuUs the thread's own processor time for one.
#include <napi.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

class Measurement {
 public:
  Measurement(Napi::Env env, std::chrono::milliseconds time, Napi::Function handler)
      : deferred_(Napi::Promise::Deferred::New(env)),
        ask_(Napi::ThreadSafeFunction::New(env, handler, "crossing", 0, 1)),
        time_(time),
        thread_([this] { run(); }) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void run() {
    const auto until = Clock::now() + time_;
    for (auto begin = Clock::now(); begin < until;) {
      ask_.NonBlockingCall(this, [](Napi::Env, Napi::Function handler, Measurement* self) {
        handler.Call({});
        self->answer();
      });
      wait();
      const auto end = Clock::now();
      took_ns_.push_back(static_cast<double>((end - begin).count()));
      begin = end;
    }
    timespec cpu{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    cpu_ns_ = static_cast<double>(cpu.tv_sec) * 1e9 + static_cast<double>(cpu.tv_nsec);
    ask_.NonBlockingCall(this, [](Napi::Env env, Napi::Function, Measurement* self) { self->end(env); });
    ask_.Release();
  }

  void answer() {
    const std::lock_guard lock(mutex_);
    answered_ = true;
    changed_.notify_one();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return answered_; });
    answered_ = false;
  }

  // The last call of all; on the thread of JavaScript.
  void end(Napi::Env env) {
    thread_.join();
    const auto middle = took_ns_.begin() + static_cast<std::ptrdiff_t>(took_ns_.size() / 2);
    std::nth_element(took_ns_.begin(), middle, took_ns_.end());
    const auto crossings = static_cast<double>(took_ns_.size());
    Napi::Object result = Napi::Object::New(env);
    result.Set("crossings", Napi::Number::New(env, crossings));
    result.Set("p50Us", Napi::Number::New(env, *middle / 1000));
    result.Set("cpuUs", Napi::Number::New(env, cpu_ns_ / crossings / 1000));
    deferred_.Resolve(result);
    delete this;
  }

  Napi::Promise::Deferred deferred_;
  Napi::ThreadSafeFunction ask_;
  std::chrono::milliseconds time_;
  std::vector<double> took_ns_;
  double cpu_ns_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool answered_ = false;
  std::thread thread_;  // the last: it begins with everything else there
};

Napi::Value measure(const Napi::CallbackInfo& info) {
  const std::chrono::milliseconds time(info[0].As<Napi::Number>().Int64Value());
  auto* measurement = new Measurement(info.Env(), time, info[1].As<Napi::Function>());
  return measurement->promise();
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
  exports.Set("measure", Napi::Function::New(env, measure));
  return exports;
}

}  // namespace

NODE_API_MODULE(vfs_bench_crossing, start)
