// Failures on their way to TypeScript: an Error with `code`, and for system calls `errno`, `syscall` and `path`
// (see src-ts/native/binding.ts, "Conventions").
#pragma once

#include <napi.h>

#include <string>

#include "base/result.h"

namespace vfs::binding {

// Both leave a pending exception and return undefined, so that `return throw_…` ends a method.
Napi::Value throw_code(Napi::Env env, const char* code, const std::string& message);
Napi::Value throw_system(Napi::Env env, Errno error, const char* syscall, const std::string& path = {});

}  // namespace vfs::binding
