#include "passthrough/creation_scope.h"

#include "base/sys.h"

namespace vfs::passthrough {

CreationScope::~CreationScope() {
  if (umask_set_) sys::umask(0);
}

Status CreationScope::enter(const fuse::Call& call, const fuse::Creation& creation, mode_t umask, LabelSupport labels,
                            const ProcFd& proc) {
  VFS_CHECK(check_labels(creation.security_contexts()));
  if (labels == LabelSupport::kFsCreate) {
    for (const auto& context : creation.security_contexts()) {
      if (context.name == kSelinuxAttribute && is_label(context)) {
        VFS_CHECK(label_.set(proc.fd(), context.value));
        break;
      }
    }
  }
  VFS_CHECK(credentials_.become_creator(call.uid, call.gid, creation.groups()));
  if (umask != 0 && thread_prepared()) {
    sys::umask(umask);
    umask_set_ = true;
  }
  return Unit{};
}

}  // namespace vfs::passthrough
