// Security labels (SECURITY_CTX): the attribute that a guest's SELinux or Smack gives a new object at its creation.
//
// Where the host has SELinux too, its kernel labels what a thread creates with what stands in the thread's fscreate
// attribute: the object never exists with another label. Elsewhere the label is an attribute like any other, set on the
// new object before the guest hears of it.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fuse/creation.h"
#include "passthrough/proc_fd.h"

namespace vfs::passthrough {

// Whether labels of guests can be stored, and how.
enum class LabelSupport {
  kNone,      // we may not set such attributes: the guest labels its objects by itself, where it can
  kXattr,     // after the creation
  kFsCreate,  // by the kernel of the host, if they are SELinux's; others after the creation
};
// As far as this process may. Errors: of looking.
Result<LabelSupport> label_support();

// Whether there is something to store. "unlabeled" is what a guest's SELinux says as long as it has no policy: the
// absence of a label.
bool is_label(const fuse::SecurityContext& context);

// EINVAL: something else than a security module's attribute, which no guest's kernel puts there.
Status check_labels(std::span<const fuse::SecurityContext> contexts);

// What this thread creates has the label, as long as this exists.
class ScopedCreationLabel {
 public:
  ScopedCreationLabel() = default;
  // A thread that cannot take the label back must not create anything more: the process ends.
  ~ScopedCreationLabel();
  ScopedCreationLabel(const ScopedCreationLabel&) = delete;
  ScopedCreationLabel& operator=(const ScopedCreationLabel&) = delete;

  // `proc_fd_directory`: /proc/self/fd, next to which the attributes of our threads are found.
  Status set(int proc_fd_directory, ByteSpan label);

 private:
  UniqueFd attribute_;
};

inline constexpr std::string_view kSelinuxAttribute = "security.selinux";

}  // namespace vfs::passthrough
