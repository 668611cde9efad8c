// Landlock: what lies outside the share cannot be opened, whatever a descriptor or a name is made to say. Of the
// calling thread and those that it starts.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vfs::sandbox {

struct Landlock {
  // 0: there is none, and nothing is restricted. Version 1 cannot be used: it forbids every rename and link between two
  // directories.
  int version = 0;
  UniqueFd ruleset;
};

// Prepares the rules for what lies below these paths. A kernel without Landlock is no error.
Result<Landlock> prepare_landlock(const std::vector<std::string>& directories);

// Needs no_new_privileges, or CAP_SYS_ADMIN.
Status restrict_to_share(const Landlock& landlock);

}  // namespace vfs::sandbox
