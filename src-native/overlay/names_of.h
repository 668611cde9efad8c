// The names in a directory of the host, read at once.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vfs::overlay {

// Without "." and "..". `name`: in `directory`, not followed if it is a symlink; "." is `directory` itself.
Result<std::vector<std::string>> names_of(int directory, const char* name);
// Removes something of a directory, with all that is in it. Symlinks are not followed.
Status remove_tree(int directory, const char* name);

}  // namespace vfs::overlay
