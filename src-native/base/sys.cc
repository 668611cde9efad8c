#include "base/sys.h"

#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/closing.h"
#include "base/sys_attempt.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

namespace vfs {

void UniqueFd::reset() {
  // close(2): after EINTR on Linux the descriptor is gone, so there is nothing to retry and nobody to tell.
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  if (!ClosingBurst::takes(fd)) ::close(fd);
}

}  // namespace vfs

namespace vfs::sys {

#ifdef VFS_TESTING
namespace fault_injection {
namespace {
thread_local unsigned countdown = 0;
thread_local int error_to_return = 0;
thread_local bool was_triggered = false;
thread_local unsigned transfers_until_short = 0;
}  // namespace

void fail_call(unsigned nth, int error) {
  countdown = nth;
  error_to_return = error;
  was_triggered = false;
}

bool triggered() { return was_triggered; }

int take() {
  if (countdown == 0) return 0;
  --countdown;
  if (countdown > 0) return 0;
  was_triggered = true;
  return error_to_return;
}

void shorten_transfer(unsigned nth) { transfers_until_short = nth; }

std::span<const iovec> cut(std::span<const iovec> all, iovec& into) {
  if (transfers_until_short == 0) return all;
  --transfers_until_short;
  if (transfers_until_short > 0 || all.empty()) return all;
  into = {all.front().iov_base, (all.front().iov_len + 1) / 2};
  return {&into, 1};
}
}  // namespace fault_injection
#endif

Result<UniqueFd> openat(int dir, const char* name, int flags, mode_t mode) {
  return attempt_fd([&] { return ::openat(dir, name, flags | O_CLOEXEC, mode); });
}

Status close(UniqueFd fd) {
  // Not retried: see UniqueFd::reset. EINTR from close(2) still means closed. Before the fault point, because close(2)
  // closes also when it reports an error.
  const int result = ::close(fd.release());
  const int error = result == -1 && errno != EINTR ? errno : 0;
  return attempt_status([&] {
    errno = error;
    return error == 0 ? 0 : -1;
  });
}

Result<UniqueFd> duplicate(int fd) {
  return attempt_fd([&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); });
}

Result<struct statx> statx(int dir, const char* name, int flags, unsigned mask) {
  // In place: it is a quarter of a kilobyte, and each request asks for it.
  Result<struct statx> out(std::in_place);
  const auto made = attempt([&] { return ::statx(dir, name, flags, mask, &out.value()); });
  if (!made.ok()) out = made.error();
  return out;
}

Result<struct statfs> fstatfs(int fd) {
  struct statfs out{};
  VFS_CHECK(attempt([&] { return ::fstatfs(fd, &out); }));
  return out;
}

Result<std::size_t> preadv2(int fd, std::span<const iovec> to, std::int64_t offset, int flags) {
#ifdef VFS_TESTING
  iovec part{};
  to = fault_injection::cut(to, part);
#endif
  return attempt_size([&] { return ::preadv2(fd, to.data(), static_cast<int>(to.size()), offset, flags); });
}

Result<std::size_t> pwritev2(int fd, std::span<const iovec> from, std::int64_t offset, int flags) {
#ifdef VFS_TESTING
  iovec part{};
  from = fault_injection::cut(from, part);
#endif
  return attempt_size([&] { return ::pwritev2(fd, from.data(), static_cast<int>(from.size()), offset, flags); });
}

Result<std::size_t> read(int fd, MutableByteSpan to) {
  return attempt_size([&] { return ::read(fd, to.data(), to.size()); });
}

Result<std::size_t> write(int fd, ByteSpan from) {
  return attempt_size([&] { return ::write(fd, from.data(), from.size()); });
}

Result<std::size_t> readlinkat(int dir, const char* name, MutableByteSpan to) {
  return attempt_size([&] { return ::readlinkat(dir, name, reinterpret_cast<char*>(to.data()), to.size()); });
}

Status symlinkat(const char* target, int dir, const char* name) {
  return attempt_status([&] { return ::symlinkat(target, dir, name); });
}

Status mknodat(int dir, const char* name, mode_t mode, dev_t device) {
  return attempt_status([&] { return ::mknodat(dir, name, mode, device); });
}

Status mkdirat(int dir, const char* name, mode_t mode) {
  return attempt_status([&] { return ::mkdirat(dir, name, mode); });
}

Status unlinkat(int dir, const char* name, int flags) {
  return attempt_status([&] { return ::unlinkat(dir, name, flags); });
}

Status renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
  return attempt_status([&] { return ::renameat2(from_dir, from, to_dir, to, flags); });
}

Status linkat(int from_dir, const char* from, int to_dir, const char* to, int flags) {
  return attempt_status([&] { return ::linkat(from_dir, from, to_dir, to, flags); });
}

Status fchmod(int fd, mode_t mode) {
  return attempt_status([&] { return ::fchmod(fd, mode); });
}

Status fchmodat(int dir, const char* name, mode_t mode) {
  return attempt_status([&] { return ::fchmodat(dir, name, mode, 0); });
}

Status fchownat(int dir, const char* name, uid_t uid, gid_t gid, int flags) {
  return attempt_status([&] { return ::fchownat(dir, name, uid, gid, flags); });
}

Status ftruncate(int fd, std::int64_t size) {
  return attempt_status([&] { return ::ftruncate(fd, size); });
}

Status utimensat(int dir, const char* name, const timespec times[2], int flags) {
  return attempt_status([&] { return ::utimensat(dir, name, times, flags); });
}

Status fsync(int fd) {
  return attempt_status([&] { return ::fsync(fd); });
}

Status fdatasync(int fd) {
  return attempt_status([&] { return ::fdatasync(fd); });
}

Status fallocate(int fd, int mode, std::int64_t offset, std::int64_t length) {
  return attempt_status([&] { return ::fallocate(fd, mode, offset, length); });
}

Result<std::int64_t> lseek(int fd, std::int64_t offset, int whence) {
  VFS_TRY(const long position, attempt([&] { return ::lseek(fd, offset, whence); }));
  return static_cast<std::int64_t>(position);
}

Result<std::size_t> getdents64(int fd, MutableByteSpan to) {
  return attempt_size([&] { return ::syscall(SYS_getdents64, fd, to.data(), to.size()); });
}

Status faccessat2(int dir, const char* name, int mode, int flags) {
  // The raw call: glibc emulates flags on old kernels with racy user-space checks.
  return attempt_status([&] { return ::syscall(SYS_faccessat2, dir, name, mode, flags); });
}

Result<UniqueFd> eventfd(unsigned initial) {
  return attempt_fd([&] { return ::eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK); });
}

Status eventfd_signal(int fd) {
  const std::uint64_t one = 1;
  auto written = write(fd, bytes_of(one));
  // EAGAIN: the counter is full, so the reader has a wake-up waiting already.
  if (!written.ok() && written.error() != Errno(EAGAIN)) return written.error();
  return Unit{};
}

void eventfd_signal_if_room(int fd) {
  pollfd item{fd, POLLOUT, 0};
  if (::poll(&item, 1, 0) == 1 && (item.revents & POLLOUT) != 0) static_cast<void>(eventfd_signal(fd).ok());
}

bool is_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags != -1 && (flags & O_NONBLOCK) != 0;
}

void eventfd_drain(int fd) {
  std::uint64_t count = 0;
  // One read resets the counter. EAGAIN (somebody else drained it) is as good. The fd may be blocking when a frontend
  // made it so; callers drain only after epoll said that it is readable, and are its only reader.
  while (::read(fd, &count, sizeof(count)) == -1 && errno == EINTR) {
  }
}

Result<UniqueFd> epoll_create() {
  return attempt_fd([] { return ::epoll_create1(EPOLL_CLOEXEC); });
}

static Status epoll_control(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return attempt_status([&] { return ::epoll_ctl(epoll, operation, fd, &event); });
}

Status epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t data) {
  return epoll_control(epoll, EPOLL_CTL_ADD, fd, events, data);
}

Status epoll_modify(int epoll, int fd, std::uint32_t events, std::uint64_t data) {
  return epoll_control(epoll, EPOLL_CTL_MOD, fd, events, data);
}

Status epoll_remove(int epoll, int fd) { return epoll_control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

Result<std::size_t> epoll_wait(int epoll, std::span<epoll_event> into, int timeout_ms) {
  return attempt_size([&] { return ::epoll_wait(epoll, into.data(), static_cast<int>(into.size()), timeout_ms); });
}

Result<UniqueFd> memfd(const char* name, std::uint64_t size) {
  VFS_TRY(auto fd, attempt_fd([&] { return ::memfd_create(name, MFD_CLOEXEC); }));
  VFS_CHECK(ftruncate(fd.get(), static_cast<std::int64_t>(size)));
  return fd;
}

Result<std::uint64_t> file_size(int fd) {
  struct stat out{};
  VFS_CHECK(attempt([&] { return ::fstat(fd, &out); }));
  return static_cast<std::uint64_t>(out.st_size);
}

Result<void*> map_shared(int fd, std::size_t length, std::uint64_t offset) {
#ifdef VFS_TESTING
  if (const int injected = fault_injection::take(); injected != 0) return Errno(injected);
#endif
  void* address =
      ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(offset));
  if (address == MAP_FAILED) return Errno(errno);
  return address;
}

void unmap(void* address, std::size_t length) { ::munmap(address, length); }

Status dont_fork(void* address, std::size_t length) {
  return attempt_status([&] { return ::madvise(address, length, MADV_DONTFORK); });
}

std::size_t page_size() {
  static const std::size_t size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

Result<std::size_t> mapping_page_size(int fd) {
  VFS_TRY(const auto about, fstatfs(fd));
  const bool huge = static_cast<unsigned long>(about.f_type) == HUGETLBFS_MAGIC;
  return huge ? static_cast<std::size_t>(about.f_bsize) : page_size();
}

Status replace_signal_action(int signal, const struct sigaction& action, struct sigaction& before) {
  return attempt_status([&] { return ::sigaction(signal, &action, &before); });
}

void name_thread(std::string_view name) {
  char buffer[16] = {};
  name.copy(buffer, std::min<std::size_t>(name.size(), 15));
  ::pthread_setname_np(::pthread_self(), buffer);
}

void wake_without_haste() {
  // What the application has chosen otherwise (real time) stays.
  if (::sched_getscheduler(0) != SCHED_OTHER) return;
  const sched_param none{};
  static_cast<void>(::sched_setscheduler(0, SCHED_BATCH, &none));
}

int thread_id() { return static_cast<int>(::syscall(SYS_gettid)); }

Status fchdir(int fd) {
  return attempt_status([&] { return ::fchdir(fd); });
}

Status unshare_fs() {
  return attempt_status([] { return ::unshare(CLONE_FS); });
}

mode_t umask(mode_t mask) { return ::umask(mask); }

Status set_effective_gid(gid_t gid) {
  return attempt_status([&] { return ::syscall(SYS_setresgid, -1, gid, -1); });
}

Status set_effective_uid(uid_t uid) {
  return attempt_status([&] { return ::syscall(SYS_setresuid, -1, uid, -1); });
}

Status set_supplementary_groups(std::span<const gid_t> groups) {
  return attempt_status([&] { return ::syscall(SYS_setgroups, groups.size(), groups.data()); });
}

namespace {

std::uint64_t join_words(std::uint32_t low, std::uint32_t high) {
  return low | (static_cast<std::uint64_t>(high) << 32);
}

long capset(const Capabilities& to) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
  for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; ++word) {
    words[word].effective = static_cast<std::uint32_t>(to.effective >> (32 * word));
    words[word].permitted = static_cast<std::uint32_t>(to.permitted >> (32 * word));
    words[word].inheritable = static_cast<std::uint32_t>(to.inheritable >> (32 * word));
  }
  return ::syscall(SYS_capset, &header, words);
}

}  // namespace

Result<Capabilities> capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3] = {};
  VFS_CHECK(attempt([&] { return ::syscall(SYS_capget, &header, words); }));
  return Capabilities{join_words(words[0].effective, words[1].effective),
                      join_words(words[0].permitted, words[1].permitted),
                      join_words(words[0].inheritable, words[1].inheritable)};
}

Status set_capabilities(const Capabilities& to) {
  return attempt_status([&] { return capset(to); });
}

bool has_effective_capability(int capability) {
  const auto sets = capabilities();
  return sets.ok() && ((sets.value().effective >> capability) & 1U) != 0;
}

Status set_effective_capabilities(std::uint64_t mask) {
  VFS_TRY(auto sets, capabilities());
  sets.effective = sets.permitted & mask;
  return set_capabilities(sets);
}

bool capabilities_follow_uid() { return (::prctl(PR_GET_SECUREBITS) & SECBIT_NO_SETUID_FIXUP) == 0; }

IdSet user_ids() {
  IdSet ids{};
  ::getresuid(&ids.real, &ids.effective, &ids.saved);
  return ids;
}

IdSet group_ids() {
  IdSet ids{};
  ::getresgid(&ids.real, &ids.effective, &ids.saved);
  return ids;
}

Result<std::vector<gid_t>> supplementary_groups() {
  VFS_TRY(const long count, attempt([] { return ::getgroups(0, nullptr); }));
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  if (groups.empty()) return groups;
  VFS_TRY(const long filled, attempt([&] { return ::getgroups(static_cast<int>(groups.size()), groups.data()); }));
  groups.resize(static_cast<std::size_t>(filled));
  return groups;
}

Result<ThreadCredentials> thread_credentials() {
  VFS_TRY(const auto sets, capabilities());
  return ThreadCredentials{sets, user_ids(), group_ids(), {}};
}

namespace {

// Not a fault point: after a failure nobody could go on.
Status restore_capabilities(const Capabilities& to) {
  VFS_CHECK(retry([&] { return capset(to); }));
  return Unit{};
}

}  // namespace

Status restore_thread_credentials(const ThreadCredentials& to) {
  const auto is_own = [](const IdSet& ids) { return ids.effective == ids.real || ids.effective == ids.saved; };
  // What the kernel raises is all that there was.
  const bool raised = to.raised_by_uid && to.uid.effective == 0 && to.effective == to.permitted;
  // Capabilities first where they are what allows the rest. And last, because the kernel changes them with the uid.
  if (!raised || !is_own(to.uid) || !is_own(to.gid)) VFS_CHECK(restore_capabilities(to));
  VFS_CHECK(retry([&] { return ::syscall(SYS_setresuid, -1, to.uid.effective, -1); }));
  VFS_CHECK(retry([&] { return ::syscall(SYS_setresgid, -1, to.gid.effective, -1); }));
  if (to.groups.has_value()) {
    VFS_CHECK(retry([&] { return ::syscall(SYS_setgroups, to.groups->size(), to.groups->data()); }));
  }
  return raised ? Status(Unit{}) : restore_capabilities(to);
}

Status clear_thread_attribute(int fd) {
  VFS_CHECK(retry([&] { return ::write(fd, "", 0); }));
  return Unit{};
}

Result<std::uint64_t> descriptor_limit() {
  rlimit limit{};
  VFS_CHECK(attempt([&] { return ::getrlimit(RLIMIT_NOFILE, &limit); }));
  return static_cast<std::uint64_t>(limit.rlim_cur);
}

}  // namespace vfs::sys
