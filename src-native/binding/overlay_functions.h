// What a guest has done to an overlay, and settling it: overlay/changes.h, for TypeScript.
#pragma once

#include <napi.h>

#include "overlay/overlay_fs.h"

namespace vfs::binding {

void define_overlay_functions(Napi::Env env, Napi::Object exports);

// NativeOverlay of src-ts/native/binding.ts.
overlay::OverlayOptions overlay_from(const Napi::Object& given);

}  // namespace vfs::binding
