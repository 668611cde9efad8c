#include "sandbox/thread_confinement.h"

#include <utility>

#include "base/thread.h"
#include "sandbox/capabilities.h"
#include "sandbox/syscall_lists.h"

namespace vfs::sandbox {

Result<ThreadConfinement> ThreadConfinement::prepare(const ConfinementOptions& options,
                                                     const std::vector<std::string>& directories) {
  ThreadConfinement confinement;
  confinement.options_ = options;
  if (options.landlock) {
    VFS_TRY(confinement.landlock_, prepare_landlock(directories));
  }
  if (options.filter.has_value()) confinement.program_ = filter_program(worker_calls(), *options.filter);
  return confinement;
}

Status ThreadConfinement::apply() const {
  if (options_ == ConfinementOptions{}) return Unit{};
  if (Thread::inherited_mark()) return Unit{};
  // In this order: what comes first is needed for what comes later, and the filter allows none of it.
  if (options_.capabilities.has_value()) VFS_CHECK(limit_capabilities(*options_.capabilities));
  VFS_CHECK(sys::set_no_new_privileges());
  VFS_CHECK(restrict_to_share(landlock_));
  if (options_.filter.has_value()) VFS_CHECK(sys::install_filter(program_, sys::FilterScope::kThread));
  Thread::set_inherited_mark();
  return Unit{};
}

}  // namespace vfs::sandbox
