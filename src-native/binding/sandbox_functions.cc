#include "binding/sandbox_functions.h"

#include <sched.h>

#include <string>
#include <utility>
#include <vector>

#include "base/sys_process.h"
#include "base/sys_sandbox.h"
#include "binding/errors.h"
#include "sandbox/capabilities.h"
#include "sandbox/launch.h"
#include "sandbox/syscall_lists.h"

namespace vfs::binding {

namespace {

// `NativeViolation` of src-ts/native/binding.ts.
std::optional<sandbox::Violation> violation_from(const Napi::Value& name) {
  const std::string text = name.As<Napi::String>().Utf8Value();
  if (text == "kill") return sandbox::Violation::kKill;
  if (text == "errno") return sandbox::Violation::kErrno;
  if (text == "trap") return sandbox::Violation::kTrap;
  if (text == "log") return sandbox::Violation::kLog;
  return std::nullopt;  // "none"
}

// A mask from the numbers of capabilities, or none from undefined.
std::optional<std::uint64_t> capabilities_from(const Napi::Value& given) {
  if (!given.IsArray()) return std::nullopt;
  const auto numbers = given.As<Napi::Array>();
  std::uint64_t mask = 0;
  for (std::uint32_t i = 0; i < numbers.Length(); ++i) {
    mask |= std::uint64_t{1} << (numbers.Get(i).As<Napi::Number>().Uint32Value() & 63U);
  }
  return mask;
}

std::vector<std::string> texts_from(const Napi::Value& given) {
  std::vector<std::string> texts;
  const auto array = given.As<Napi::Array>();
  for (std::uint32_t i = 0; i < array.Length(); ++i) texts.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  return texts;
}

unsigned long namespaces_from(const Napi::Value& given) {
  unsigned long flags = 0;
  for (const std::string& name : texts_from(given)) {
    if (name == "user") flags |= CLONE_NEWUSER;
    if (name == "mount") flags |= CLONE_NEWNS;
    if (name == "pid") flags |= CLONE_NEWPID;
    if (name == "net") flags |= CLONE_NEWNET;
    if (name == "ipc") flags |= CLONE_NEWIPC;
  }
  return flags;
}

Napi::Value sandbox_launch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto given = info[0].As<Napi::Object>();
  sandbox::LaunchOptions options;
  options.arguments = texts_from(given.Get("arguments"));
  options.environment = texts_from(given.Get("environment"));
  const auto descriptors = given.Get("descriptors").As<Napi::Array>();
  for (std::uint32_t i = 0; i < descriptors.Length(); ++i) {
    options.descriptors.push_back(descriptors.Get(i).As<Napi::Number>().Int32Value());
  }
  options.namespaces = namespaces_from(given.Get("namespaces"));
  options.shares = texts_from(given.Get("shares"));
  if (given.Get("uid").IsNumber()) {
    options.ids = {given.Get("uid").As<Napi::Number>().Uint32Value(),
                   given.Get("gid").As<Napi::Number>().Uint32Value()};
  }
  options.capabilities = capabilities_from(given.Get("capabilities"));
  auto launched = sandbox::launch(std::move(options));
  if (!launched.ok()) return throw_system(env, launched.error(), "clone");
  sandbox::Launched started = std::move(launched).value();
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", Napi::Number::New(env, started.pid));
  object.Set("watch", Napi::Number::New(env, started.watch.release()));
  object.Set("go", Napi::Number::New(env, started.go.release()));
  object.Set("failure", Napi::Number::New(env, started.failure.release()));
  return object;
}

Napi::Value sandbox_share_paths(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const sandbox::NewRoot root(texts_from(info[0]));
  Napi::Array paths = Napi::Array::New(env);
  for (const std::string& path : root.share_paths()) paths.Set(paths.Length(), Napi::String::New(env, path));
  return paths;
}

Napi::Value sandbox_reap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto ended = sys::reap(info[0].As<Napi::Number>().Int32Value());
  if (!ended.ok()) return throw_system(env, ended.error(), "waitid");
  if (!ended.value().has_value()) return env.Undefined();
  Napi::Object object = Napi::Object::New(env);
  object.Set("code", Napi::Number::New(env, ended.value()->code));
  object.Set("signal", Napi::Number::New(env, ended.value()->signal));
  return object;
}

Napi::Value sandbox_launch_step(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), sandbox::launch_step_name(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value sandbox_change_root(const Napi::CallbackInfo& info) {
  const Status changed = sandbox::change_root_by(info[0].As<Napi::Number>().Int32Value());
  if (!changed.ok()) return throw_system(info.Env(), changed.error(), "pivot_root");
  return info.Env().Undefined();
}

Napi::Value sandbox_chroot(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  if (const Status moved = sys::change_directory(path.c_str()); !moved.ok()) {
    return throw_system(info.Env(), moved.error(), "chdir", path);
  }
  if (const Status changed = sys::change_root("."); !changed.ok()) {
    return throw_system(info.Env(), changed.error(), "chroot", path);
  }
  return info.Env().Undefined();
}

Status confine_process(std::optional<sandbox::Violation> filter, std::optional<std::uint64_t> capabilities) {
  VFS_CHECK(sys::reap_automatically());
  if (capabilities.has_value()) VFS_CHECK(sandbox::limit_capabilities(*capabilities));
  if (!filter.has_value()) return Unit{};
  VFS_CHECK(sys::set_no_new_privileges());
  return sys::install_filter(sandbox::filter_program(sandbox::process_calls(), *filter), sys::FilterScope::kProcess);
}

Napi::Value sandbox_confine_process(const Napi::CallbackInfo& info) {
  const Status confined = confine_process(violation_from(info[0]), capabilities_from(info[1]));
  if (!confined.ok()) return throw_system(info.Env(), confined.error(), "seccomp");
  return info.Env().Undefined();
}

const char* verdict_name(sandbox::Verdict verdict) {
  switch (verdict) {
    case sandbox::Verdict::kAllow:
      return "allow";
    case sandbox::Verdict::kRefuse:
      return "refuse";
    case sandbox::Verdict::kMissing:
      return "missing";
  }
  return "";
}

Napi::Value sandbox_syscalls(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const bool worker = info[0].As<Napi::String>().Utf8Value() == "worker";
  const sandbox::SyscallList& list = worker ? sandbox::worker_calls() : sandbox::process_calls();
  Napi::Array rows = Napi::Array::New(env);
  for (const sandbox::SyscallRule& rule : list.rules) {
    Napi::Object row = Napi::Object::New(env);
    row.Set("name", Napi::String::New(env, rule.name));
    row.Set("verdict", Napi::String::New(env, verdict_name(rule.verdict)));
    row.Set("conditional", Napi::Boolean::New(env, rule.when.mask != 0));
    rows.Set(rows.Length(), row);
  }
  return rows;
}

}  // namespace

sandbox::ConfinementOptions confinement_from(const Napi::Object& given) {
  return {violation_from(given.Get("seccomp")), capabilities_from(given.Get("capabilities")),
          given.Get("landlock").As<Napi::Boolean>().Value()};
}

void define_sandbox_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("sandboxLaunch", Napi::Function::New<sandbox_launch>(env, "sandboxLaunch"));
  exports.Set("sandboxSharePaths", Napi::Function::New<sandbox_share_paths>(env, "sandboxSharePaths"));
  exports.Set("sandboxReap", Napi::Function::New<sandbox_reap>(env, "sandboxReap"));
  exports.Set("sandboxLaunchStep", Napi::Function::New<sandbox_launch_step>(env, "sandboxLaunchStep"));
  exports.Set("sandboxChangeRoot", Napi::Function::New<sandbox_change_root>(env, "sandboxChangeRoot"));
  exports.Set("sandboxChroot", Napi::Function::New<sandbox_chroot>(env, "sandboxChroot"));
  exports.Set("sandboxConfineProcess", Napi::Function::New<sandbox_confine_process>(env, "sandboxConfineProcess"));
  exports.Set("sandboxSyscalls", Napi::Function::New<sandbox_syscalls>(env, "sandboxSyscalls"));
}

}  // namespace vfs::binding
