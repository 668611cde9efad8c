#include "binding/errors.h"

#include <cstring>

namespace vfs::binding {

Napi::Value throw_code(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value throw_system(Napi::Env env, Errno error, const char* syscall, const std::string& path) {
  char text[128];
  const std::string reason = ::strerror_r(error.value(), text, sizeof(text));
  Napi::Error thrown =
      Napi::Error::New(env, std::string(syscall) + ": " + reason + (path.empty() ? "" : " '" + path + "'"));
  thrown.Set("code", Napi::String::New(env, "ESYSTEM"));
  thrown.Set("errno", Napi::Number::New(env, error.value()));
  thrown.Set("syscall", Napi::String::New(env, syscall));
  if (!path.empty()) thrown.Set("path", Napi::String::New(env, path));
  thrown.ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace vfs::binding
