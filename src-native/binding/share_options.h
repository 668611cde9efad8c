// The options of a share as TypeScript gives them: NativeShareOptions of src-ts/native/binding.ts, checked there.
#pragma once

#include <napi.h>

#include "device/device.h"

namespace vfs::binding {

device::DeviceOptions device_options_from(const Napi::Object& given);

}  // namespace vfs::binding
