// What surrounds the one system call that creates something for a guest's process: the caller's identity and groups,
// its umask, and the label of the new object. All of it ends with the scope.
#pragma once

#include "fuse/file_system.h"
#include "passthrough/credentials.h"
#include "passthrough/security_label.h"

namespace vfs::passthrough {

// The caller's umask as far as it is ours to apply: without DONT_MASK the guest has applied it itself.
inline mode_t umask_of(const fuse::Call& call, std::uint32_t umask) {
  return call.negotiated.has(abi::init_flag::kDontMask) ? umask & mode_t{0777} : 0;
}

class CreationScope {
 public:
  CreationScope() = default;
  ~CreationScope();
  CreationScope(const CreationScope&) = delete;
  CreationScope& operator=(const CreationScope&) = delete;

  // `umask`: the caller's, for the kernel to apply (DONT_MASK), because it leaves it out where a default ACL says what
  // the permissions are. On a thread whose umask is not ours it is not touched: see PassthroughFs::mode_to_create.
  Status enter(const fuse::Call& call, const fuse::Creation& creation, mode_t umask, LabelSupport labels,
               const ProcFd& proc);

 private:
  ScopedCreationLabel label_;
  ScopedCredentials credentials_;
  bool umask_set_ = false;
};

}  // namespace vfs::passthrough
