// NativePolicy of src-ts/native/binding.ts as the core takes it. It has been checked: src-ts/policy/compile.ts.
#pragma once

#include <napi.h>

#include <vector>

#include "binding/given.h"
#include "policy/rules.h"

namespace vfs::binding {

policy::PolicySource policy_from(const Napi::Object& object);
// The patterns of paths under `name`.
std::vector<policy::PatternSource> patterns_from(const Given& given);

}  // namespace vfs::binding
