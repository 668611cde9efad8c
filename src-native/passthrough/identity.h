// Identity: whose an object is and what may be done to it, where guest and host see that differently. Three ways, none
// of them on by default, and not to be combined (src-ts/config/combinations.ts):
//   - ids are translated (translate_uid, translate_gid);
//   - owner, mode and type are kept in an extended attribute, because an unprivileged device can set no others
//     (override_stat);
//   - rules by path say what the guest sees and who creates (ugid_map).
//
// Threading: every method from any thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fuse/file_system.h"
#include "passthrough/id_map.h"
#include "passthrough/override_stat.h"
#include "passthrough/path_rules.h"
#include "passthrough/proc_fd.h"

namespace vfs::passthrough {

struct IdentityOptions {
  UidMap uids = {};
  GidMap gids = {};
  bool override_stat = false;
  std::vector<PathRules::Rule> rules = {};
  std::size_t registered_rules_max = 0;  // how many more the guest may add
};

class Identity {
 public:
  explicit Identity(IdentityOptions options);

  bool overrides() const { return override_stat_; }
  // Whether show() needs the object: without it the attributes alone are enough.
  bool looks_at_objects() const { return override_stat_ || !rules_.empty(); }

  // Rules of the guest's own, which last as long as its session. Errors: of PathRules::add.
  Status add_rule(PathRules::Rule rule) { return rules_.add(std::move(rule)); }
  void forget_rules_of_guest() { rules_.reset(); }

  // What a guest is shown of ids.
  void translate(abi::Attr& attr) const;
  // The rest, from the object itself: `fd` is an O_PATH descriptor of it, `root` of the share's root.
  void show(abi::Attr& attr, const ProcFd& proc, int root, int fd) const;

  // Who creates in a directory when `call` asks: the same call with ids of the host. EPERM: a forbidden id.
  Result<fuse::Call> creator(const fuse::Call& call, const ProcFd& proc, int root, int directory) const;
  // Groups of the caller, translated in place.
  Status translate_groups(fuse::Creation& creation) const;

  // The mode with which something is made on the host: its own, or, where the attribute has it, one that needs no
  // privilege and that we can work with.
  mode_t host_mode(mode_t guest_mode) const;
  // Notes what was made, and for whom. `fd`: an O_PATH descriptor.
  Status created(const fuse::Call& call, mode_t mode, std::uint32_t rdev, const ProcFd& proc, int fd) const;

  // The ids of a SETATTR on the host; none stays none. EPERM: a forbidden id.
  struct Owner {
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
  };
  Result<Owner> host_owner(const Owner& guest) const;
  // Sets owner or mode in the attribute. Only where overrides().
  Status override_owner(const Owner& guest, const ProcFd& proc, int fd) const;
  Status override_mode(mode_t permissions, const ProcFd& proc, int fd) const;

 private:
  std::optional<OverrideStat> read(const ProcFd& proc, int fd) const;
  // What is in the attribute, or what the host says.
  Result<OverrideStat> current(const ProcFd& proc, int fd, mode_t& real_mode) const;
  static Status write(const OverrideStat& value, const ProcFd& proc, int fd);

  const UidMap uids_;
  const GidMap gids_;
  const bool override_stat_;
  PathRules rules_;
};

}  // namespace vfs::passthrough
