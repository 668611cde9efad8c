// What each thread of a device does first: an identity of its own, and what it gives up.
#pragma once

#include <functional>

#include "base/result.h"

namespace vfs::device {

// An error: the thread must not serve.
using PrepareThread = std::function<Status()>;

// Before a thread serves what has come.
using BeforeBatch = void (*)();

}  // namespace vfs::device
