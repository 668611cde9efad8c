// Unix sockets that carry descriptors, eventfds and limits: what node:net and node:fs have not.
#pragma once

#include <napi.h>

namespace vfs::binding {

void define_socket_functions(Napi::Env env, Napi::Object exports);

}  // namespace vfs::binding
