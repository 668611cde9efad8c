#include "sandbox/syscall_lists.h"

#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>

namespace vfs::sandbox {

namespace {

constexpr std::uint32_t kAllBits = 0xffff'ffff;

constexpr SyscallRule allow(const char* name, std::uint32_t number, Condition when = {}) {
  return {name, number, Verdict::kAllow, when};
}

constexpr SyscallRule refuse(const char* name, std::uint32_t number) { return {name, number, Verdict::kRefuse, {}}; }

constexpr SyscallRule missing(const char* name, std::uint32_t number) { return {name, number, Verdict::kMissing, {}}; }

constexpr Condition argument_is(std::uint8_t argument, unsigned long value) {
  return {argument, kAllBits, static_cast<std::uint32_t>(value)};
}

// A new thread, not a new process, and in no new namespace.
constexpr std::uint32_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr Condition kThreadOnly{0, CLONE_THREAD | kNamespaces, CLONE_THREAD};
// A filter cannot see what clone3 is asked for, because that lies in memory.
constexpr SyscallRule kNoClone3 = missing("clone3", SYS_clone3);
// Its own working directory and umask.
constexpr Condition kFileSystemOnly = argument_is(0, CLONE_FS);
constexpr Condition kNotExecutable{2, PROT_EXEC, 0};

constexpr std::uint32_t kSetxattrat = 463;  // newer than the headers of many distributions
constexpr std::uint32_t kGetxattrat = 464;
constexpr std::uint32_t kListxattrat = 465;
constexpr std::uint32_t kRemovexattrat = 466;

// The most frequent first: kernels before 5.11 go through the list at each call.
constexpr auto kWorkerRules = std::to_array<SyscallRule>({
    // The ring: events, and the answer to one.
    allow("epoll_pwait", SYS_epoll_pwait),
#ifdef SYS_epoll_wait
    allow("epoll_wait", SYS_epoll_wait),
#endif
    allow("write", SYS_write),
    allow("read", SYS_read),
    allow("futex", SYS_futex),
    allow("epoll_ctl", SYS_epoll_ctl),
    allow("eventfd2", SYS_eventfd2),
// Whether an eventfd of the frontend's has room: for the error of a ring, and for one that would wait.
#ifdef SYS_poll
    allow("poll", SYS_poll),
#endif
    allow("ppoll", SYS_ppoll),
    // Data.
    allow("preadv", SYS_preadv),
    allow("preadv2", SYS_preadv2),
    allow("pwritev", SYS_pwritev),
    allow("pwritev2", SYS_pwritev2),
    allow("lseek", SYS_lseek),
    allow("ftruncate", SYS_ftruncate),
    allow("fallocate", SYS_fallocate),
    allow("copy_file_range", SYS_copy_file_range),
    allow("fsync", SYS_fsync),
    allow("fdatasync", SYS_fdatasync),
    allow("syncfs", SYS_syncfs),
    allow("sync", SYS_sync),
    // Names and attributes.
    allow("statx", SYS_statx),
    allow("openat", SYS_openat),
    allow("close", SYS_close),
    allow("close_range", SYS_close_range),
    allow("getdents64", SYS_getdents64),
    allow("readlinkat", SYS_readlinkat),
    allow("faccessat2", SYS_faccessat2),
    allow("unlinkat", SYS_unlinkat),
    allow("mkdirat", SYS_mkdirat),
    allow("mknodat", SYS_mknodat),
    allow("symlinkat", SYS_symlinkat),
    allow("linkat", SYS_linkat),
    allow("renameat2", SYS_renameat2),
    // The C library takes the older calls where they say the same.
    allow("renameat", SYS_renameat),
    allow("faccessat", SYS_faccessat),
    allow("newfstatat", SYS_newfstatat),
    allow("fchmod", SYS_fchmod),
    allow("fchmodat", SYS_fchmodat),
    allow("fchownat", SYS_fchownat),
    allow("utimensat", SYS_utimensat),
    allow("fstat", SYS_fstat),
    allow("fstatfs", SYS_fstatfs),
    allow("name_to_handle_at", SYS_name_to_handle_at),
    allow("open_by_handle_at", SYS_open_by_handle_at),
    allow("getxattr", SYS_getxattr),
    allow("setxattr", SYS_setxattr),
    allow("listxattr", SYS_listxattr),
    allow("removexattr", SYS_removexattr),
    allow("fgetxattr", SYS_fgetxattr),
    allow("fsetxattr", SYS_fsetxattr),
    allow("flistxattr", SYS_flistxattr),
    allow("fremovexattr", SYS_fremovexattr),
    allow("getxattrat", kGetxattrat),
    allow("setxattrat", kSetxattrat),
    allow("listxattrat", kListxattrat),
    allow("removexattrat", kRemovexattrat),
    allow("flock", SYS_flock),
    allow("fcntl", SYS_fcntl),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_GETFLAGS)),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_SETFLAGS)),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_FSGETXATTR)),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_FSSETXATTR)),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_GET_ENCRYPTION_POLICY_EX)),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_ENABLE_VERITY)),
    allow("ioctl", SYS_ioctl, argument_is(1, FS_IOC_MEASURE_VERITY)),
    // Identity, and what a new thread of the pool sets up.
    allow("setresuid", SYS_setresuid),
    allow("setresgid", SYS_setresgid),
    allow("getresuid", SYS_getresuid),
    allow("getresgid", SYS_getresgid),
    allow("setgroups", SYS_setgroups),
    allow("getgroups", SYS_getgroups),
    allow("capget", SYS_capget),
    allow("capset", SYS_capset),
    allow("umask", SYS_umask),
    allow("fchdir", SYS_fchdir),
    allow("unshare", SYS_unshare, kFileSystemOnly),
    allow("prctl", SYS_prctl, argument_is(0, PR_SET_NAME)),
    allow("clone", SYS_clone, kThreadOnly),
    kNoClone3,
    // The C library, and the end of the thread.
    allow("mmap", SYS_mmap, kNotExecutable),
    allow("mprotect", SYS_mprotect, kNotExecutable),
    allow("munmap", SYS_munmap),
    allow("mremap", SYS_mremap),
    allow("madvise", SYS_madvise),
    allow("brk", SYS_brk),
    allow("rt_sigprocmask", SYS_rt_sigprocmask),
    allow("rt_sigreturn", SYS_rt_sigreturn),
    allow("restart_syscall", SYS_restart_syscall),
    allow("set_robust_list", SYS_set_robust_list),
    allow("rseq", SYS_rseq),
    allow("gettid", SYS_gettid),
    allow("getrandom", SYS_getrandom),
    allow("clock_gettime", SYS_clock_gettime),
    allow("clock_nanosleep", SYS_clock_nanosleep),
    allow("sched_yield", SYS_sched_yield),
    // How many processors there are, and how much memory: what the C library's malloc goes by.
    allow("sched_getaffinity", SYS_sched_getaffinity),
    allow("sysinfo", SYS_sysinfo),
    allow("membarrier", SYS_membarrier),
    allow("exit", SYS_exit),
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    // The sanitizer's own, for each thread.
    allow("getpid", SYS_getpid),
    allow("getrlimit", SYS_getrlimit),
    allow("prlimit64", SYS_prlimit64),
    allow("sigaltstack", SYS_sigaltstack),
    allow("readlink", SYS_readlink),
#endif
});

constexpr auto kProcessRules = std::to_array<SyscallRule>({
    // Other programs and processes.
    refuse("execve", SYS_execve),
    refuse("execveat", SYS_execveat),
#ifdef SYS_fork
    refuse("fork", SYS_fork),
    refuse("vfork", SYS_vfork),
#endif
    allow("clone", SYS_clone, kThreadOnly),
    refuse("clone", SYS_clone),
    kNoClone3,
    refuse("ptrace", SYS_ptrace),
    refuse("process_vm_readv", SYS_process_vm_readv),
    refuse("process_vm_writev", SYS_process_vm_writev),
    refuse("process_madvise", SYS_process_madvise),
    refuse("pidfd_getfd", SYS_pidfd_getfd),
    refuse("kcmp", SYS_kcmp),
    refuse("personality", SYS_personality),
    // Mounts, roots and namespaces.
    refuse("mount", SYS_mount),
    refuse("umount2", SYS_umount2),
    refuse("pivot_root", SYS_pivot_root),
    refuse("chroot", SYS_chroot),
    refuse("open_tree", SYS_open_tree),
    refuse("move_mount", SYS_move_mount),
    refuse("fsopen", SYS_fsopen),
    refuse("fsconfig", SYS_fsconfig),
    refuse("fsmount", SYS_fsmount),
    refuse("fspick", SYS_fspick),
    refuse("mount_setattr", SYS_mount_setattr),
    refuse("setns", SYS_setns),
    allow("unshare", SYS_unshare, kFileSystemOnly),
    refuse("unshare", SYS_unshare),
    // Sockets: those that are served are there, or come from the listening one.
    refuse("socket", SYS_socket),
    refuse("socketpair", SYS_socketpair),
    // The kernel itself.
    refuse("bpf", SYS_bpf),
    refuse("perf_event_open", SYS_perf_event_open),
    refuse("userfaultfd", SYS_userfaultfd),
    refuse("io_uring_setup", SYS_io_uring_setup),
    refuse("io_uring_enter", SYS_io_uring_enter),
    refuse("io_uring_register", SYS_io_uring_register),
    refuse("init_module", SYS_init_module),
    refuse("finit_module", SYS_finit_module),
    refuse("delete_module", SYS_delete_module),
    refuse("kexec_load", SYS_kexec_load),
#ifdef SYS_kexec_file_load
    refuse("kexec_file_load", SYS_kexec_file_load),
#endif
    refuse("add_key", SYS_add_key),
    refuse("request_key", SYS_request_key),
    refuse("keyctl", SYS_keyctl),
    refuse("swapon", SYS_swapon),
    refuse("swapoff", SYS_swapoff),
    refuse("acct", SYS_acct),
    refuse("quotactl", SYS_quotactl),
    refuse("quotactl_fd", SYS_quotactl_fd),
    refuse("reboot", SYS_reboot),
    refuse("syslog", SYS_syslog),
    refuse("settimeofday", SYS_settimeofday),
    refuse("clock_settime", SYS_clock_settime),
    refuse("adjtimex", SYS_adjtimex),
    refuse("clock_adjtime", SYS_clock_adjtime),
    refuse("sethostname", SYS_sethostname),
    refuse("setdomainname", SYS_setdomainname),
    refuse("vhangup", SYS_vhangup),
#ifdef SYS_iopl
    refuse("iopl", SYS_iopl),
    refuse("ioperm", SYS_ioperm),
    refuse("modify_ldt", SYS_modify_ldt),
#endif
});

constexpr SyscallList kWorkerList{"worker", kWorkerRules, Verdict::kRefuse};
constexpr SyscallList kProcessList{"process", kProcessRules, Verdict::kAllow};

}  // namespace

const SyscallList& worker_calls() { return kWorkerList; }

const SyscallList& process_calls() { return kProcessList; }

}  // namespace vfs::sandbox
