// The sandbox of a process that is the device alone: starting it, and what it gives up once it serves. Of the threads
// of a device, device_object.h.
#pragma once

#include <napi.h>

#include <optional>

#include "sandbox/thread_confinement.h"

namespace vfs::binding {

void define_sandbox_functions(Napi::Env env, Napi::Object exports);

// NativeConfinement of src-ts/native/binding.ts.
sandbox::ConfinementOptions confinement_from(const Napi::Object& given);

}  // namespace vfs::binding
