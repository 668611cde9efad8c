// Launch: a program as the first process of new namespaces, with a root that it changes to when it is ready, and with
// no more capabilities than it needs from its first instruction on, in all of its threads.
//
// Who starts it writes the id maps and then says go. Three processes take part:
//   the parent    makes the maps, waits, passes signals on
//   the child     mounts, gives up what it does not need, becomes the program
//   the changer   keeps the right to change the root for as long as the program loads; changes it when it is told to,
//                 for the child too, and ends
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "sandbox/root.h"

namespace vfs::sandbox {

// What a launch needs, from its caller.
struct LaunchOptions {
  std::vector<std::string> arguments;    // the program's path first
  std::vector<std::string> environment;  // NAME=value
  std::vector<int> descriptors;          // that it keeps, besides 0, 1 and 2
  unsigned long namespaces = 0;          // CLONE_NEW…
  std::vector<std::string> shares;       // see NewRoot
  struct Ids {
    std::uint32_t uid;
    std::uint32_t gid;
  };
  std::optional<Ids> ids;                     // to become, as numbers of the new namespace
  std::optional<std::uint64_t> capabilities;  // to keep; none: all, and no_new_privileges stays off
};

// Where a launch failed, as the child tells it: the call, and its error.
struct LaunchFailure {
  std::int32_t step = 0;
  std::int32_t error = 0;
};
const char* launch_step_name(std::int32_t step);

struct Launched {
  pid_t pid = 0;
  UniqueFd watch;    // readable once it has ended
  UniqueFd go;       // one byte: the maps are written
  UniqueFd failure;  // a LaunchFailure, or the end of the file once it is the program
};

// Names the environment variable with the number of the descriptor for change_root_by().
inline constexpr const char* kChangerVariable = "VIRTIO_FS_SANDBOX_ROOT";

// Errors: those of starting a process. What the child meets, `failure` says.
Result<Launched> launch(LaunchOptions options);

// In the program: has the root changed, and waits for it.
Status change_root_by(int changer);

}  // namespace vfs::sandbox
