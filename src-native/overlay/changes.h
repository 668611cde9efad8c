// Changes: what an upper directory says that a guest has done, and settling it: carried to the lower directory, or
// dropped. Without a device: the work directory's lock keeps the two apart.
//
// Threading: one thread at a time. Symlinks are followed nowhere, and nothing outside of the two directories is
// touched.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "overlay/overlay_fs.h"
#include "passthrough/proc_fd.h"

namespace vfs::overlay {

enum class ChangeKind {
  kAdded,     // the lower directory has nothing by this name
  kModified,  // a file of which there is another version, or a directory with other owner or mode
  kReplaced,  // something of another type, or a directory that has nothing to do with the lower one
  kRemoved
};

struct Change {
  std::string path;  // below the share, without a leading slash
  ChangeKind kind;
  std::uint32_t type;  // S_IFMT bits: of what was removed, if it was
};

class Changes {
 public:
  // Errors: of opening the directories, and of Work::open if something is to be settled.
  static Result<Changes> open(const std::string& lower, const OverlayOptions& options, bool to_settle);

  // By path. ENAMETOOLONG: a directory deeper than kDepthMax.
  Result<std::vector<Change>> list() const;
  // What stands at each path, and below it, is made so in the lower directory, and is gone from the upper one. Files
  // are replaced as a whole. After an error what was done stays done, and the rest can be tried again.
  // EINVAL: a path that is not one below the share. ENOENT: there is no such change.
  Status apply(const std::vector<std::string>& paths);
  // It is gone from the upper directory. Errors: as above.
  Status discard(const std::vector<std::string>& paths);

  static constexpr unsigned kDepthMax = 256;

 private:
  // The directories in which a name stands.
  struct Parents {
    UniqueFd upper;
    UniqueFd lower;
    std::string name;
  };

  Changes(UniqueFd upper, UniqueFd lower, passthrough::ProcFd proc, std::vector<Work> work)
      : upper_(std::move(upper)), lower_(std::move(lower)), proc_(std::move(proc)), work_(std::move(work)) {}

  Status walk(int upper, int lower, const std::string& prefix, unsigned depth, std::vector<Change>& into) const;
  Result<Parents> find(const std::string& path, bool with_lower) const;
  Status apply_one(int upper, int lower, const std::string& name, unsigned depth) const;
  Status apply_directory(int upper, int lower, const std::string& name, unsigned depth) const;
  Status apply_file(int upper, int lower, const std::string& name, const struct statx& seen) const;

  UniqueFd upper_;
  UniqueFd lower_;
  passthrough::ProcFd proc_;
  std::vector<Work> work_;  // one, if something is to be settled
};

}  // namespace vfs::overlay
