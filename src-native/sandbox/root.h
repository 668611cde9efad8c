// The new root of a process that serves shares: the one share itself, or a directory with nothing in it but the shares.
//
// The shares are bound before the program is loaded, so that it opens them where their parent directories do not exist:
// from such a descriptor ".." leads nowhere. The root changes when everything is loaded (RootChanger).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vfs::sandbox {

// Made before the process is copied: the copy must not allocate.
// As many as one root has room for.
inline constexpr std::size_t kSharesMax = 256;

class NewRoot {
 public:
  // Absolute paths of directories. None: the root stays, as it does for the one share "/".
  explicit NewRoot(std::vector<std::string> shares);

  bool changes() const { return !place_.empty(); }
  // Where each share is to be opened before the root changes.
  const std::vector<std::string>& share_paths() const { return targets_; }

  // In a mount namespace of one's own. Mounts that the host makes below a share later appear in it.
  Status assemble() const;
  // Of every process that has the present root in this mount namespace.
  Status change() const;

 private:
  Status bind_one() const;
  Status bind_all() const;

  std::vector<std::string> shares_;
  std::vector<std::string> targets_;
  std::string place_;  // becomes the root
};

}  // namespace vfs::sandbox
