// The extended attributes of an object that an O_PATH descriptor holds: of a file or directory as well as of a symlink
// or a special file, which nobody may open. The f…xattr calls refuse such descriptors, and the l…xattr calls want a
// path that nobody could have changed; what is left is /proc/self/fd/N, by which the kernel goes to exactly that
// object.
//
// That name must be reached from ProcFd, because /proc may be out of reach by now. Three ways, best first:
//   kAt            the …xattrat calls of Linux 6.13 take a directory, like every other call here. Also the fastest: on
//                  one machine 0.8 of kOwnDirectory, 0.6 of opening the object and fgetxattr.
//   kOwnDirectory  before that the name is relative to the current directory. Our own threads have one for themselves
//                  (prepare_thread) and need none, so it becomes /proc/self/fd once and stays.
//   kHelper        a thread of the application (pumped queues) keeps its directory, which is that of the whole process:
//                  a thread is made for the call. Twenty times dearer, but right on every kernel and in every sandbox.
#pragma once

#include "base/result.h"
#include "base/sys_xattr.h"
#include "passthrough/proc_fd.h"

namespace vfs::passthrough {

class ObjectXattr {
 public:
  enum class Way { kAt, kOwnDirectory, kHelper };
  // What this thread can take.
  static Way best_way();

  // Borrows both.
  ObjectXattr(const ProcFd& proc, int fd, Way way = best_way()) : directory_(proc.fd()), name_(fd), way_(way) {}

  // As getxattr(2), setxattr(2), listxattr(2) and removexattr(2) say. An empty `into`: the size only.
  Result<std::size_t> get(const char* name, MutableByteSpan into) const;
  Status set(const char* name, ByteSpan value, int flags) const;
  Result<std::size_t> list(MutableByteSpan into) const;
  Status remove(const char* name) const;

 private:
  template <typename Call>
  auto in_proc_directory(Call call) const -> decltype(call());

  const int directory_;
  const FdName name_;
  const Way way_;
};

}  // namespace vfs::passthrough
