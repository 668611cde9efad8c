#include "binding/overlay_functions.h"

#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "binding/errors.h"
#include "binding/given.h"
#include "overlay/changes.h"

namespace vfs::binding {

namespace {

const char* kind_name(overlay::ChangeKind kind) {
  switch (kind) {
    case overlay::ChangeKind::kAdded:
      return "added";
    case overlay::ChangeKind::kModified:
      return "modified";
    case overlay::ChangeKind::kReplaced:
      return "replaced";
    case overlay::ChangeKind::kRemoved:
      return "removed";
  }
  return "";
}

const char* type_name(std::uint32_t type) {
  if (S_ISREG(type)) return "file";
  if (S_ISDIR(type)) return "directory";
  if (S_ISLNK(type)) return "symlink";
  return "special";
}

// Runs on a thread of libuv's: trees can be large.
class OverlayWork final : public Napi::AsyncWorker {
 public:
  OverlayWork(Napi::Env env, const Given& given)
      : Napi::AsyncWorker(env, "virtio-fs:overlay"),
        deferred_(Napi::Promise::Deferred::New(env)),
        lower_(given.text("lower")),
        action_(given.text("action")),
        paths_(given.texts("paths")),
        options_{.upper = given.text("upper"), .work = given.text("work"), .names = std::nullopt} {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override { done_ = run(); }

  Status run() {
    VFS_TRY(auto changes, overlay::Changes::open(lower_, options_, action_ != "list"));
    if (action_ == "apply") return changes.apply(paths_);
    if (action_ == "discard") return changes.discard(paths_);
    VFS_TRY(listed_, changes.list());
    return Unit{};
  }

  void OnOK() override {
    const Napi::Env env = Env();
    if (!done_.ok()) {
      throw_system(env, done_.error(), action_.c_str(), options_.upper);
      deferred_.Reject(env.GetAndClearPendingException().Value());
      return;
    }
    Napi::Array list = Napi::Array::New(env);
    for (const overlay::Change& change : listed_) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("path", Napi::String::New(env, change.path));
      object.Set("kind", Napi::String::New(env, kind_name(change.kind)));
      object.Set("type", Napi::String::New(env, type_name(change.type)));
      list.Set(list.Length(), object);
    }
    deferred_.Resolve(list);
  }

  const Napi::Promise::Deferred deferred_;
  const std::string lower_;
  const std::string action_;
  const std::vector<std::string> paths_;
  const overlay::OverlayOptions options_;
  Status done_ = Unit{};
  std::vector<overlay::Change> listed_;
};

Napi::Value overlay_work(const Napi::CallbackInfo& info) {
  // It deletes itself when it is done.
  auto* const work = new OverlayWork(info.Env(), Given(info[0].As<Napi::Object>()));
  Napi::Promise promise = work->promise();
  work->Queue();
  return promise;
}

}  // namespace

overlay::OverlayOptions overlay_from(const Napi::Object& object) {
  const Given given(object);
  return {.upper = given.text("upper"), .work = given.text("work"), .names = std::nullopt};
}

void define_overlay_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("overlayWork", Napi::Function::New<overlay_work>(env, "overlayWork"));
}

}  // namespace vfs::binding
