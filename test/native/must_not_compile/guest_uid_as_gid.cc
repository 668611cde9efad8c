// A uid does not go through the map of gids.
#include "passthrough/id_map.h"

namespace vfs {

#ifdef VFS_MISUSE
Result<passthrough::HostGid> host_gid(const passthrough::GidMap& map, passthrough::GuestUid id) {
#else
Result<passthrough::HostGid> host_gid(const passthrough::GidMap& map, passthrough::GuestGid id) {
#endif
  return map.to_host(id);
}

}  // namespace vfs
