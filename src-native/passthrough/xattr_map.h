// Names of extended attributes: which of the guest's names is which on the host. Rules are virtiofsd's xattrmap
// (docs/config.md), parsed in TypeScript; of the rules that are about a name the first decides. On top of them are
// blocks: names on the host that no guest name may stand for, whatever the rules say.
//
// A name that no rule is about is refused: a list of rules that forgets a case must not open it (virtiofsd panics).
// A map without rules lets every name pass as it is.
//
// What this file does not do: it makes no system call and knows no values. Two duties come with a map and are those of
// who uses it:
// - CVE-2021-20263: the kernel clears security.capability when a file changes, but not the name under which a map keeps
//   it. `moved("security.capability")` says which attribute to remove on write, truncation and change of owner.
// - A label that is set at creation (security.selinux) belongs under `moved("security.selinux")`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "passthrough/short_text.h"

namespace vfs::passthrough {

enum class XattrVerdict {
  kPrefix,       // the host's name has `prefix` before the guest's
  kOk,           // the same name
  kBad,          // EPERM, but ENODATA for a get; not listed
  kUnsupported,  // EOPNOTSUPP; not listed
  kHidden        // as if there were no such attribute, and none can be made: EPERM for a set, ENODATA; not listed
};

enum class XattrScope { kClient, kServer, kAll };

enum class XattrAccess { kGet, kSet, kRemove };

struct XattrRule {
  XattrVerdict verdict;
  XattrScope scope;
  std::string client_match = {};  // client rules are about the guest's names that begin with this
  std::string server_match = {};  // server rules are about the host's names that begin with this
  std::string prefix = {};        // of kPrefix; begins server_match
  bool exact = false;             // about the matched name alone, not about what begins with it
};

// A rule as xattrmap has it.
XattrRule xattr_rule(XattrVerdict verdict, XattrScope scope, std::string key, std::string prepend);

// rewrite_security_xattrs: security.X is kept as user.virtiofs.security.X, except for security.selinux; the guest
// reaches neither user.virtiofs.* by that name nor the host's own security.*.
std::vector<XattrRule> security_rewriting_rules();

// A name on the host that stays out of reach; the verdict is kBad, kUnsupported or kHidden.
struct XattrBlock {
  std::string host_name;
  XattrVerdict verdict;
};

class XattrMap {
 public:
  XattrMap() = default;
  explicit XattrMap(std::vector<XattrRule> rules, std::vector<XattrBlock> blocks = {});

  // The host's name of what the guest calls `name`. EPERM, ENODATA, EOPNOTSUPP: see XattrVerdict.
  // ERANGE: empty, or more than 255 bytes with its prefix, as the kernel says of such names.
  Result<ShortText> to_host(XattrAccess access, std::string_view name) const;

  // What the guest calls an attribute that the host lists, as a part of `name`; none if it is not to be listed.
  std::optional<std::string_view> to_guest(std::string_view name) const;

  // The host's name of an attribute if it is kept under another than `name`; none if it is not, or cannot be set.
  std::optional<ShortText> moved(std::string_view name) const;

 private:
  const XattrBlock* block_of(std::string_view host_name) const;

  std::vector<XattrRule> rules_;
  std::vector<XattrBlock> blocks_;
};

}  // namespace vfs::passthrough
