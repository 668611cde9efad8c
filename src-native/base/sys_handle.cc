// File handles (name_to_handle_at(2)): see sys.h.
#include <fcntl.h>

#include <array>

#include "base/sys.h"
#include "base/sys_attempt.h"

namespace vfs::sys {

namespace {

// struct file_handle with room for the longest.
struct HandleBuffer {
  alignas(struct file_handle) std::array<std::byte, sizeof(struct file_handle) + MAX_HANDLE_SZ> bytes;
  struct file_handle* get() { return reinterpret_cast<struct file_handle*>(bytes.data()); }
};

}  // namespace

Result<FileHandle> name_to_handle_at(int dir, const char* name, int flags) {
  HandleBuffer buffer{};
  buffer.get()->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;  // the old kind of number: statx(2) tells it too, and the same for all
  VFS_CHECK(attempt([&] { return ::name_to_handle_at(dir, name, buffer.get(), &mount_id, flags); }));
  return FileHandle{buffer.get()->handle_type,
                    std::string(reinterpret_cast<const char*>(buffer.get()->f_handle), buffer.get()->handle_bytes)};
}

Result<UniqueFd> open_by_handle_at(int mount, const FileHandle& handle, int flags) {
  HandleBuffer buffer{};
  buffer.get()->handle_bytes = static_cast<unsigned>(handle.bytes.size());
  buffer.get()->handle_type = handle.type;
  copy_bytes(MutableByteSpan(buffer.bytes).subspan(sizeof(struct file_handle)), std::as_bytes(std::span(handle.bytes)));
  return attempt_fd([&] { return ::open_by_handle_at(mount, buffer.get(), flags | O_CLOEXEC); });
}

}  // namespace vfs::sys
