// An id of the guest becomes one of the host by a map only.
#include "passthrough/id_map.h"

namespace vfs {

#ifdef VFS_MISUSE
Result<passthrough::HostUid> host_uid(const passthrough::UidMap&, passthrough::GuestUid uid) { return uid; }
#else
Result<passthrough::HostUid> host_uid(const passthrough::UidMap& map, passthrough::GuestUid uid) {
  return map.to_host(uid);
}
#endif

}  // namespace vfs
