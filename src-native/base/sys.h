// System calls as Results. The only place that knows `errno`; EINTR is retried here and nowhere else.
//
// Every wrapper passes a fault point: a test build can make the n-th call fail (fault_injection below), which is how
// "every system call fails in turn" is tested. A release build has no trace of it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vfs::sys {

// --- files. Names are NUL-terminated; `dir` may be AT_FDCWD only where a caller outside the share says so.
Result<UniqueFd> openat(int dir, const char* name, int flags, mode_t mode = 0);
struct OpenHow {
  std::uint64_t flags, mode, resolve;
};
Status close(UniqueFd fd);  // for callers that must see close(2)'s error; UniqueFd closes silently
Result<UniqueFd> duplicate(int fd);
Result<struct statx> statx(int dir, const char* name, int flags, unsigned mask);
Result<struct statfs> fstatfs(int fd);
Result<std::size_t> preadv2(int fd, std::span<const iovec> to, std::int64_t offset, int flags);
Result<std::size_t> pwritev2(int fd, std::span<const iovec> from, std::int64_t offset, int flags);
Result<std::size_t> read(int fd, MutableByteSpan to);
Result<std::size_t> write(int fd, ByteSpan from);
Result<std::size_t> readlinkat(int dir, const char* name, MutableByteSpan to);
Status symlinkat(const char* target, int dir, const char* name);
Status mknodat(int dir, const char* name, mode_t mode, dev_t device);
Status mkdirat(int dir, const char* name, mode_t mode);
Status unlinkat(int dir, const char* name, int flags);
Status renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags);
Status linkat(int from_dir, const char* from, int to_dir, const char* to, int flags);
Status fchmod(int fd, mode_t mode);
Status fchmodat(int dir, const char* name, mode_t mode);
Status fchownat(int dir, const char* name, uid_t uid, gid_t gid, int flags);
Status ftruncate(int fd, std::int64_t size);
Status utimensat(int dir, const char* name, const timespec times[2], int flags);
Status fsync(int fd);
Status fdatasync(int fd);
Status fallocate(int fd, int mode, std::int64_t offset, std::int64_t length);
Result<std::int64_t> lseek(int fd, std::int64_t offset, int whence);
Result<std::size_t> getdents64(int fd, MutableByteSpan to);
Status faccessat2(int dir, const char* name, int mode, int flags);
// What name_to_handle_at(2) says of an object: type and bytes.
struct FileHandle {
  std::int32_t type = 0;
  std::string bytes = {};
  friend bool operator==(const FileHandle&, const FileHandle&) = default;
};
Result<FileHandle> name_to_handle_at(int dir, const char* name, int flags);
Result<UniqueFd> open_by_handle_at(int mount, const FileHandle& handle, int flags);

// --- locks, which never wait here: EAGAIN if somebody else has one that conflicts.
// Of an open file description (F_OFD_SETLK): `type` is F_RDLCK, F_WRLCK or F_UNLCK; the range is given by l_start and
// l_len.
Status ofd_setlk(int fd, short type, std::int64_t start, std::int64_t length);
// A lock that is in the way (F_OFD_GETLK), or one of type F_UNLCK. l_pid is -1 for one of an open file description.
Result<struct flock> ofd_getlk(int fd, short type, std::int64_t start, std::int64_t length);
Status flock(int fd, int operation);  // LOCK_SH, LOCK_EX or LOCK_UN

// --- events and memory
Result<UniqueFd> eventfd(unsigned initial);
Status eventfd_signal(int fd);
void eventfd_drain(int fd);
Result<UniqueFd> epoll_create();
Status epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t data);
Status epoll_modify(int epoll, int fd, std::uint32_t events, std::uint64_t data);
Status epoll_remove(int epoll, int fd);
Result<std::size_t> epoll_wait(int epoll, std::span<epoll_event> into, int timeout_ms);
Result<UniqueFd> memfd(const char* name, std::uint64_t size);
Result<std::uint64_t> file_size(int fd);
Result<void*> map_shared(int fd, std::size_t length, std::uint64_t offset);
void unmap(void* address, std::size_t length);
Status dont_fork(void* address, std::size_t length);
std::size_t page_size();
// Bytes of a page of a mapping of this file: more than page_size() on hugetlbfs.
Result<std::size_t> mapping_page_size(int fd);
// sigaction(2); `before` gets what was there.
Status replace_signal_action(int signal, const struct sigaction& action, struct sigaction& before);
// Signals an eventfd that a peer has sent. A descriptor whose writer would have to wait is left alone.
void eventfd_signal_if_room(int fd);
// O_NONBLOCK of the open file description.
bool is_nonblocking(int fd);

// --- threads. Raw system calls: the glibc wrappers would change every thread of the process.
void name_thread(std::string_view name);  // cut to 15 bytes, as the kernel wants
// From now on the calling thread, when it wakes up, waits for a processor that is free instead of taking one from
// another thread (SCHED_BATCH, sched(7)). It has its share of a busy one all the same. Nothing happens where that is
// not allowed, or the thread has another policy than the usual one.
void wake_without_haste();
int thread_id();
Status unshare_fs();
Status fchdir(int fd);  // of the whole process, but for threads that have unshared it
mode_t umask(mode_t mask);
Status set_effective_gid(gid_t gid);
Status set_effective_uid(uid_t uid);
Status set_supplementary_groups(std::span<const gid_t> groups);
struct Capabilities {
  std::uint64_t effective;
  std::uint64_t permitted;
  std::uint64_t inheritable;
};
Result<Capabilities> capabilities();
bool has_effective_capability(int capability);
Status set_effective_capabilities(std::uint64_t mask);
Status set_capabilities(const Capabilities& to);
struct IdSet {
  std::uint32_t real;
  std::uint32_t effective;
  std::uint32_t saved;
};
// Whether the kernel changes capabilities with user ids, as it does unless told otherwise (SECBIT_NO_SETUID_FIXUP).
bool capabilities_follow_uid();
IdSet user_ids();
IdSet group_ids();
Result<std::vector<gid_t>> supplementary_groups();
// What a thread must have back after acting as somebody else.
struct ThreadCredentials : Capabilities {
  IdSet uid;
  IdSet gid;
  std::optional<std::vector<gid_t>> groups;  // none: they were not touched
  // The effective uid was changed, and of the capabilities none but the effective ones: coming back to uid 0 raises all
  // permitted ones (capabilities(7), "Effect of user ID changes on capabilities"). See capabilities_follow_uid.
  bool raised_by_uid = false;
};
Result<ThreadCredentials> thread_credentials();
// Effective ids, capabilities and groups. Not a fault point: after a failure nobody could go on.
Status restore_thread_credentials(const ThreadCredentials& to);
// The attributes of /proc/thread-self/attr are cleared by writing nothing. Not a fault point either.
Status clear_thread_attribute(int fd);
// The soft limit on open descriptors.
Result<std::uint64_t> descriptor_limit();

#ifdef VFS_TESTING
// Makes the n-th wrapper call of this thread from now on (1: the next one) fail with `error`; 0 switches it off.
// Wrappers that cannot fail (drains, closes by UniqueFd) do not count. EINTR is what a signal does: it is tried again.
namespace fault_injection {
void fail_call(unsigned nth, int error);
// True if the armed call was reached since fail_call().
bool triggered();
// Makes the n-th preadv2() or pwritev2() of this thread from now on move a part only; 0 switches it off.
void shorten_transfer(unsigned nth);
}  // namespace fault_injection
#endif

}  // namespace vfs::sys
