// PassthroughFs: a directory of the host as a FUSE file system.
//
// Containment: a guest names one component at a time, and every call is relative to an O_PATH descriptor of something
// that was found inside the share, without following symlinks. Only regular files and directories are ever opened.
// So no request leaves the share, with or without a sandbox. (Mounts below the share belong to it.)
//
// Identity: what is created belongs to the caller (credentials.h). Everything else runs as the daemon, because the
// guest's kernel has checked the caller's permission (default_permissions is part of every virtio-fs mount).
//
// The methods are in one file per topic: passthrough_fs.cc (life, attributes of whole objects), statx.cc, setattr.cc,
// names.cc, mounts.cc, make.cc and tmpfile.cc (what creates), file_io.cc, copy.cc, ioctl.cc, directory.cc, xattr.cc,
// lock_ops.cc, chromeos.cc, implicit_open.cc; folded_names.cc says which names are meant.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/file_system.h"
#include "passthrough/attr.h"
#include "passthrough/casefold.h"
#include "passthrough/creation_scope.h"
#include "passthrough/fd_budget.h"
#include "passthrough/handle.h"
#include "passthrough/host_name.h"
#include "passthrough/identity.h"
#include "passthrough/implicit_handles.h"
#include "passthrough/ino_map.h"
#include "passthrough/inode_table.h"
#include "passthrough/locks.h"
#include "passthrough/open_flags.h"
#include "passthrough/proc_fd.h"
#include "passthrough/security_label.h"
#include "passthrough/session_file.h"

namespace vfs::passthrough {

// How far a guest trusts its cache.
enum class CachePolicy {
  kNever,    // nothing is cached
  kAuto,     // data as long as an open finds the file unchanged, metadata as long as its timeout
  kAlways,   // everything, until it is told otherwise: only the guest changes the share
  kMetadata  // names and attributes, but no data
};

// Whether known inodes are held by handles instead of descriptors (host_handle.h).
enum class FileHandles {
  kNever,
  kPrefer,     // where the file system and our privileges allow it
  kMandatory,  // everywhere; an inode that has none is an error
};

// Who takes setuid and setgid bits away when an unprivileged process of the guest writes to a file or truncates it.
enum class KillPriv {
  // The host, unless the share is on a network file system: there it is the server that would have to, and it sees our
  // own identity.
  kAuto,
  // The guest, as far as it sees the bits: before each write it asks for attributes and for security.capability.
  kOff,
  // The host, whatever the file system (HANDLE_KILLPRIV_V2).
  kV2
};

struct PassthroughOptions {
  std::string root = {};  // a directory; the path is used once
  std::uint64_t entry_timeout_ns = 0;
  std::uint64_t attr_timeout_ns = 0;
  std::uint64_t negative_timeout_ns = 0;  // 0: "no such file" is not remembered
  CachePolicy cache = CachePolicy::kAuto;
  bool writeback = false;
  bool readdirplus = true;  // listings carry attributes, where the guest may keep them
  // Extended attributes. Without them there are no ACLs and no labels either.
  bool xattr = true;
  XattrMap xattr_map = {};  // of their names
  // POSIX ACLs, checked by the guest's kernel; if the file system of the root has them.
  bool posix_acl = true;
  // The guest sends the label of a new object with the request that creates it; if we may set such labels.
  bool security_ctx = true;
  // A session without is refused, as a guest's administrator may want it who relies on them.
  bool require_posix_acl = false;
  bool require_security_ctx = false;
  KillPriv killpriv = KillPriv::kAuto;
  bool announce_submounts = true;  // directories on other file systems become mounts of the guest
  bool allow_direct_io = false;    // O_DIRECT reaches the host, whose alignment rules then hold
  bool preserve_noatime = false;   // O_NOATIME reaches the host, which allows it to an owner only
  bool allow_mmap = false;         // shared mappings also of files that are not cached
  // Whoever serves the requests refuses what always writes (fuse::ServerOptions); what depends is refused here.
  bool read_only = false;
  // Locks of the guest's processes are locks of the host; without, the guest keeps them to itself.
  bool posix_locks = false;     // fcntl(2)
  bool flock = false;           // flock(2)
  bool ascii_casefold = false;  // names are found whatever the case of their ASCII letters
  IdentityOptions identity = {};
  std::size_t registered_xattrs_max = 0;  // attributes by path that the guest may register
  // Callers who count as the owner of a file where its project is changed; for guests that do not check that.
  std::vector<uid_t> privileged_quota_uids = {};
  bool open_atomic = false;  // the operations of ChromeOS kernels
  bool chromeos_tmpfile = false;
  // Files and directories are open without OPEN and OPENDIR, if the guest can do without. Not with file_handles, flock,
  // allow_direct_io or preserve_noatime, which all need to know what is open.
  bool zero_message_open = false;
  // For the inodes and handles of this share; 0: no bound but that of the process, which all shares have together.
  std::size_t descriptors_max = 0;
  FileHandles file_handles = FileHandles::kNever;
  // Where the session is kept for the next process (SessionFile); a duplicate is taken. -1: nowhere.
  int session_fd = -1;
};

// What became of the session of a process before this one.
struct Resumed {
  SessionFile::Found found = SessionFile::Found::kNothing;
  std::size_t inodes = 0;
  std::size_t handles = 0;
  // Of these, what could not be found again or be opened: requests get ESTALE.
  std::size_t lost_inodes = 0;
  std::size_t lost_handles = 0;
};

// Whether the next object that is looked up is expected to be none that is known: some before it were not, as in a walk
// through a tree. A guess, which requests that run at the same time may disturb.
class ExpectsUnknown {
 public:
  bool now() const { return in_a_row_.load(std::memory_order_relaxed) >= kInARow; }
  void note(bool unknown) {
    const unsigned before = in_a_row_.load(std::memory_order_relaxed);
    const unsigned after = unknown ? std::min(before + 1, kInARow) : 0;
    // Nothing is written where nothing changes: queues share it.
    if (after != before) in_a_row_.store(after, std::memory_order_relaxed);
  }

 private:
  static constexpr unsigned kInARow = 3;
  std::atomic<unsigned> in_a_row_{0};
};

class PassthroughFs final : public fuse::FileSystem {
 public:
  // Errors: of opening the root or /proc/self/fd.
  static Result<std::unique_ptr<PassthroughFs>> create(const PassthroughOptions& options);

  // What the guest holds now; the root does not count.
  std::size_t inode_count() const { return inodes_.size(); }
  std::size_t handle_count() const {
    return files_.size() + directories_.size() + implicit_files_.size() + implicit_directories_.size();
  }
  // Told whenever a lock may have been given up; before the first request, and outlives the last.
  void set_unparker(fuse::Unparker* unparker) { unparker_ = unparker; }
  // The descriptors that must stay open for new requests to work.
  std::vector<int> keep_fds() const {
    std::vector<int> fds{root_fd_, proc_.fd()};
    if (session_file_ != nullptr) fds.push_back(session_file_->fd());
    return fds;
  }
  const Resumed& resumed() const { return resumed_; }
  // For a file system that stands on this one: an O_PATH descriptor of what a node is, good as long as the result is.
  // EBADF: there is no such node.
  struct HostObject {
    std::shared_ptr<Inode> inode;
    PathFd fd;
  };
  Result<HostObject> object(std::uint64_t node) const;
  const ProcFd& proc() const { return proc_; }
  // The node of what an O_PATH descriptor holds, which counts as one lookup.
  Result<std::uint64_t> hold(const fuse::Call& call, UniqueFd path_fd);
  // Whether the guest has left it to us to take setuid and setgid bits away.
  static bool kills_priv(const fuse::Call& call) { return call.negotiated.has(abi::init_flag::kHandleKillprivV2); }

  Result<std::uint64_t> init(std::uint32_t session, std::uint64_t offered) override;
  void session_begun(const fuse::SessionTerms& terms) override;
  std::optional<fuse::SessionTerms> resume(std::uint32_t session,
                                           const std::function<bool(const fuse::SessionTerms&)>& fits) override;
  void list_resumed(fuse::ResumedObjects& into) const override;
  void destroy() override;
  Result<abi::EntryOut> lookup(const fuse::Call&, const fuse::Name&) override;
  Result<abi::EntryOut> lookup_self(const fuse::Call&) override;
  Result<abi::EntryOut> lookup_parent(const fuse::Call&) override;
  void forget(const fuse::Call&, std::uint64_t nodeid, std::uint64_t count) override;
  Result<abi::AttrOut> getattr(const fuse::Call&, const abi::GetattrIn&) override;
  Result<abi::AttrOut> setattr(const fuse::Call&, const abi::SetattrIn&) override;
  Result<std::size_t> readlink(const fuse::Call&, MutableByteSpan into) override;
  Result<abi::EntryOut> symlink(const fuse::Call&, const fuse::Name&, const fuse::LinkTarget&,
                                const fuse::Creation&) override;
  Result<abi::EntryOut> mknod(const fuse::Call&, const abi::MknodIn&, const fuse::Name&,
                              const fuse::Creation&) override;
  Result<abi::EntryOut> mkdir(const fuse::Call&, const abi::MkdirIn&, const fuse::Name&,
                              const fuse::Creation&) override;
  Status unlink(const fuse::Call&, const fuse::Name&) override;
  Status rmdir(const fuse::Call&, const fuse::Name&) override;
  Status rename(const fuse::Call&, const abi::Rename2In&, const fuse::Name& from, const fuse::Name& to) override;
  Result<abi::EntryOut> link(const fuse::Call&, const abi::LinkIn&, const fuse::Name&) override;
  Result<abi::OpenOut> open(const fuse::Call&, const abi::OpenIn&) override;
  Result<abi::CreateOut> create(const fuse::Call&, const abi::CreateIn&, const fuse::Name&,
                                const fuse::Creation&) override;
  Result<std::size_t> read(const fuse::Call&, const abi::ReadIn&, GuestWriter& to) override;
  Result<abi::WriteOut> write(const fuse::Call&, const abi::WriteIn&, GuestReader& from) override;
  Result<abi::StatfsOut> statfs(const fuse::Call&) override;
  Status release(const fuse::Call&, const abi::ReleaseIn&) override;
  Status fsync(const fuse::Call&, const abi::FsyncIn&) override;
  Status flush(const fuse::Call&, const abi::FlushIn&) override;
  Result<abi::OpenOut> opendir(const fuse::Call&, const abi::OpenIn&) override;
  Status readdir(const fuse::Call&, const abi::ReadIn&, fuse::DirectorySink&) override;
  Status readdirplus(const fuse::Call&, const abi::ReadIn&, fuse::DirectoryPlusSink&) override;
  Status releasedir(const fuse::Call&, const abi::ReleaseIn&) override;
  Status fsyncdir(const fuse::Call&, const abi::FsyncIn&) override;
  Status access(const fuse::Call&, const abi::AccessIn&) override;
  Status fallocate(const fuse::Call&, const abi::FallocateIn&) override;
  Result<abi::LseekOut> lseek(const fuse::Call&, const abi::LseekIn&) override;
  Status setxattr(const fuse::Call&, const abi::SetxattrIn&, const fuse::XattrName&, ByteSpan) override;
  Result<std::size_t> getxattr(const fuse::Call&, const fuse::XattrName&, MutableByteSpan into) override;
  Result<std::size_t> listxattr(const fuse::Call&, MutableByteSpan into) override;
  Status removexattr(const fuse::Call&, const fuse::XattrName&) override;
  Result<abi::StatxOut> statx(const fuse::Call&, const abi::StatxIn&) override;
  Result<abi::CopyFileRangeOut> copy_file_range(const fuse::Call&, const abi::CopyFileRangeIn&) override;
  Status syncfs(const fuse::Call&, const abi::SyncfsIn&) override;
  Result<abi::CreateOut> tmpfile(const fuse::Call&, const abi::CreateIn&, const fuse::IgnoredName&,
                                 const fuse::Creation&) override;
  Result<IoctlAnswer> ioctl(const fuse::Call&, const abi::IoctlIn&, ByteSpan, MutableByteSpan) override;
  Result<abi::LkOut> getlk(const fuse::Call&, const abi::LkIn&) override;
  Status setlk(const fuse::Call&, const abi::LkIn&) override;
  Status setlkw(const fuse::Call&, const abi::LkIn&) override;
  void stops_waiting(std::uint64_t unique) override;
  Result<abi::CreateOut> open_atomic(const fuse::Call&, const abi::CreateIn&, const fuse::Name&,
                                     const fuse::Creation&) override;
  Result<abi::EntryOut> chromeos_tmpfile(const fuse::Call&, const abi::ChromeosTmpfileIn&,
                                         const fuse::Creation&) override;

 private:
  // An inode that was counted as looked up, and what the host says of it.
  struct Found {
    std::shared_ptr<Inode> inode;
    struct statx attributes;
  };
  // What a creating call asked for: see complete.
  struct Created {
    int directory;     // an O_PATH descriptor
    const char* name;  // null: it has none
    mode_t mode;       // type and permissions, on the host
    const fuse::Creation* creation;
    uid_t owner = 0;        // known on threads that are not prepared, where it is needed
    mode_t guest_mode = 0;  // as the guest asked for it
    std::uint32_t rdev = 0;
  };
  // A directory in which a name is looked up, made or removed.
  struct Directory {
    std::shared_ptr<Inode> inode;
    PathFd fd;
  };
  // What PassthroughFs::create found out about the host.
  struct Host {
    bool acls;            // the root's file system has them
    LabelSupport labels;  // what we may do about labels
    bool kills_priv;      // the root's file system takes setuid and setgid bits away by itself
    bool in_memory;       // the root's file system is
  };
  using HandleId = std::uint64_t;
  // No table gives it out.
  static constexpr HandleId kNoHandle = 0;

  struct Parts {
    Host host;
    FdBudget budget;
    ProcFd proc;
    bool uses_handles;
    std::unique_ptr<SessionFile> session_file;
  };
  PassthroughFs(const PassthroughOptions& options, Parts parts, int root_fd, std::shared_ptr<Inode> root);
  std::uint64_t wanted_flags(std::uint64_t offered) const;
  void begin_session(std::uint32_t session);
  void begin_tables(std::uint32_t session);
  void record_session();
  static Result<Host> examine(const PassthroughOptions& options, const ProcFd& proc, int root);

  // As the guest sees it: with its number (InoMap) and its ids.
  abi::Attr to_guest(const struct statx& from) const;
  // The same, and what only the object itself can tell (Identity).
  abi::Attr shown(int fd, const struct statx& from) const;
  abi::EntryOut entry(const Found& found) const;
  // The same with the attributes of now: truncating on open has changed them since it was found.
  abi::EntryOut entry_now(const Found& found) const;
  Result<abi::AttrOut> attributes(const Inode& inode) const;
  Result<abi::AttrOut> attributes_of(int fd) const;
  abi::AttrOut attributes_of_gone(const Inode& inode) const;

  // mounts.cc
  bool announces_mounts(const fuse::Call& call) const;
  // The entry of something in `parent`, marked if it is a mount.
  abi::EntryOut entry_below(const fuse::Call& call, const Inode& parent, const Found& found) const;
  Status check_inside(int directory) const;

  // folded_names.cc: which name of the host is meant, and what the guest has made of the names.
  Result<Directory> directory_of(std::uint64_t node) const;
  Result<HostName> host_name(const Directory& in, const fuse::Name& name);
  Result<std::optional<ShortText>> folded_name(const Directory& in, const fuse::Name& name);
  void note_added(const Directory& in, std::string_view name);
  void note_removed(const Directory& in, std::string_view name);

  // names.cc. All of them count one lookup on success. `directory` is an O_PATH descriptor.
  Result<Found> find(const fuse::Call& call, int directory, const Whereabouts& where);
  Result<std::shared_ptr<Inode>> acquire_known(const fuse::Call& call, int directory, const Whereabouts& where,
                                               const InodeKey& key);
  Result<Found> find_opened(const fuse::Call& call, UniqueFd fd, FdBudget::Token token, const Whereabouts& where);
  Result<Found> find_unknown(const fuse::Call& call, int directory, const Whereabouts& where, FdBudget::Token token,
                             const Created* created = nullptr);
  Result<Found> adopt(const fuse::Call& call, UniqueFd fd, FdBudget::Token token, const Created* created,
                      const Whereabouts& where = {});
  // What an inode is to be held by; `handle`: of the object, if there is one.
  Result<Anchor> anchor_for(UniqueFd fd, FdBudget::Token token, const struct statx& seen,
                            const Result<sys::FileHandle>& handle);
  // An object has another name now.
  void note_moved(const fuse::Call& call, const Directory& in, const char* name);
  // The answer for a name that is not there: an entry without a node, or ENOENT where none may be remembered.
  Result<abi::EntryOut> missing_entry() const;
  Status remove(const fuse::Call& call, const fuse::Name& name, int flags);
  void undo(const Found& found) { inodes_.forget(found.inode->id(), 1); }

  // resume.cc
  class Resumption;
  Result<UniqueFd> open_kept_handle(const NodeRecord& kept) const;
  Result<std::shared_ptr<Inode>> inode_again(std::uint64_t id, UniqueFd fd);
  Result<std::shared_ptr<FileHandle>> file_again(const std::shared_ptr<Inode>& inode, const HandleRecord& kept) const;
  Result<std::shared_ptr<DirHandle>> directory_again(const std::shared_ptr<Inode>& inode) const;
  template <typename H, typename Again, typename Lose>
  void resume_handles(HandleTable<H>& table, const HandleRecords& records, Resumption& nodes, Again again, Lose lose);

  // setattr.cc: the steps, in their order.
  Status kill_priv(const fuse::Call& call, int fd, const abi::SetattrIn& in);
  Status set_owner(int fd, const abi::SetattrIn& in);
  Status set_mode(const Inode& inode, int path_fd, const abi::SetattrIn& in);
  Status set_size(const fuse::Call& call, const Inode& inode, int path_fd, const abi::SetattrIn& in);
  Status set_times(int fd, const abi::SetattrIn& in);

  // make.cc
  template <typename Make>
  Result<abi::EntryOut> make(const fuse::Call& call, const fuse::Name& name, Created created, std::uint32_t umask,
                             Make make);
  Status enter(CreationScope& scope, const fuse::Call& call, int directory, const fuse::Creation& creation,
               mode_t umask) const;
  // The mode on the host of what the guest asked for.
  Result<mode_t> prepare_mode(Created& created, mode_t umask) const;
  Result<mode_t> mode_to_create(int directory, mode_t mode, mode_t umask) const;
  Status complete(const fuse::Call& call, int fd, const Created& created, struct statx& attributes);
  Status repair_mode(int fd, const Created& created, struct statx& attributes);
  void take_back(const Created& created, const struct statx& attributes);
  Result<abi::CreateOut> create_new(const fuse::Call&, const abi::CreateIn&, const OpenFlags&, const fuse::Name&,
                                    const fuse::Creation&);
  Result<abi::CreateOut> open_existing(const fuse::Call&, const abi::CreateIn&, const OpenFlags&, const fuse::Name&);
  Result<abi::CreateOut> open_unchanged(const fuse::Call&, const abi::CreateIn&, const OpenFlags&, const fuse::Name&,
                                        bool exclusive);
  // The answer to CREATE and TMPFILE: node and handle of what has just been made.
  Result<abi::CreateOut> hand_out(const fuse::Call& call, UniqueFd fd, const OpenFlags& flags, const Created& created,
                                  FdBudget::Token inode_token, FdBudget::Token handle_token);
  Status check_access(const fuse::Call& call, const Inode& inode, int mask) const;

  // FALLOCATE and COPY_FILE_RANGE do not say whether the caller is privileged, as a WRITE does.
  static bool kills_priv_of_user(const fuse::Call& call) { return call.uid != 0 && kills_priv(call); }

  // file_io.cc
  Result<abi::OpenOut> open_file(const fuse::Call& call, const std::shared_ptr<Inode>& inode, const OpenFlags& flags,
                                 std::uint32_t open_flags);
  static Status check_openable(const Inode& inode);
  abi::OpenOut file_opened(HandleId id) const;
  // The file that a request names by its handle, to read from it or to write to it.
  Result<std::shared_ptr<FileHandle>> file_of(const fuse::Call& call, std::uint64_t node, HandleId handle) {
    return handle != kNoHandle ? files_.get(handle, node) : implicit_file(call, node, O_RDONLY);
  }
  Result<std::shared_ptr<FileHandle>> written_file_of(const fuse::Call& call, std::uint64_t node, HandleId handle) {
    return handle != kNoHandle ? files_.get(handle, node) : implicit_file(call, node, O_RDWR);
  }

  // directory.cc
  std::uint32_t shown_type(std::uint32_t type) const;
  Result<std::shared_ptr<DirHandle>> open_directory(const fuse::Call& call);

  // implicit_open.cc
  static bool opens_silently(const fuse::Call& call);
  static bool opens_directories_silently(const fuse::Call& call);
  Result<std::shared_ptr<FileHandle>> implicit_file(const fuse::Call& call, std::uint64_t node, int access);
  Result<std::shared_ptr<DirHandle>> directory_handle(const fuse::Call& call, HandleId handle);
  void forget_implicit(std::uint64_t node);
  Result<OpenFlags> open_flags(std::uint32_t guest, const fuse::Call& call) const;

  // ioctl.cc
  Result<IoctlAnswer> change_by_ioctl(const fuse::Call& call, const abi::IoctlIn& in, const Inode& inode, int fd,
                                      ByteSpan data);
  Result<IoctlAnswer> set_flags(const fuse::Call& call, const Inode& inode, int fd, ByteSpan data);
  Result<IoctlAnswer> set_extended_flags(const fuse::Call& call, const Inode& inode, int fd, ByteSpan data);
  Result<IoctlAnswer> enable_verity(const fuse::Call& call, const Inode& inode, int fd, ByteSpan data);
  // What an ioctl changes: flags that only the privileged may, and nothing but what belongs to the file's project.
  struct FlagsChange {
    bool protects;
    bool only_project;
  };
  bool is_privileged_for_quota(uid_t uid) const {
    return std::ranges::find(options_.privileged_quota_uids, uid) != options_.privileged_quota_uids.end();
  }
  Status check_flags_owner(const fuse::Call& call, const Inode& inode, FlagsChange change) const;

  // xattr.cc. An attribute's name on the host, and whether and how a guest sees a name of the host's; the latter is a
  // part of `name`.
  Result<ShortText> host_xattr_name(const fuse::Call& call, XattrAccess access, std::string_view name) const;
  std::optional<std::string_view> guest_xattr_name(const fuse::Call& call, std::string_view name) const;
  Result<bool> has_default_acl(int directory) const;
  static Result<bool> supports_acls(const ProcFd& proc, int root);
  // Whether fsync(2) waits for nothing: where the share's own file system has no disk.
  bool syncs_at_once(const Inode& inode) const {
    return host_.in_memory && inode.key().device == inodes_.root()->key().device;
  }

  Status set_labels(const fuse::Call& call, const Created& created, int fd);
  // Where a map keeps security.capability under another name, the kernel does not know what it has to take away when
  // a file changes (CVE-2021-20263).
  void drop_moved_capability(int fd) const;

  std::optional<std::string> registered_xattr(int fd, std::string_view name) const;
  std::vector<std::string> registered_xattrs(int fd) const;

  // chromeos.cc
  Result<IoctlAnswer> register_permission(const fuse::Call& call, ByteSpan data);
  Result<IoctlAnswer> register_xattr(const fuse::Call& call, ByteSpan data);
  Result<abi::CreateOut> open_found(const fuse::Call& call, const abi::CreateIn& in, const OpenFlags& flags,
                                    const Found& found, bool exclusive);

  // lock_ops.cc
  Status lock_file(const fuse::Call& call, const abi::LkIn& in);
  Status lock_whole(FileHandle& handle, std::uint64_t id, std::uint32_t type);
  void close_locks(std::uint64_t node, std::uint64_t owner);
  void locks_freed(std::uint64_t node) const {
    if (unparker_ != nullptr) unparker_->unpark(node);
  }

  const PassthroughOptions options_;
  const Host host_;
  const Timeout entry_timeout_;
  const Timeout attr_timeout_;
  const Timeout negative_timeout_;
  const int root_fd_;  // of the inode table's root
  const FdBudget budget_;
  const ProcFd proc_;
  const bool uses_handles_;
  const std::unique_ptr<SessionFile> session_file_;  // null: the session ends with the process
  Resumed resumed_;
  MountTable mounts_;
  std::shared_ptr<const Mount> root_mount_;  // most inodes need it, and not every one could open it
  mutable InoMap inos_;
  NowaitReadsSeen nowait_reads_seen_;
  ExpectsUnknown expects_unknown_;
  Identity identity_;
  PathXattrs path_xattrs_;
  const std::optional<ShortText> moved_capability_;  // the name on the host of security.capability, if it is another
  CasefoldCache casefold_;
  InodeTable inodes_;
  HandleTable<FileHandle> files_;
  const std::shared_ptr<DirBuffers> dir_buffers_ = std::make_shared<DirBuffers>();
  HandleTable<DirHandle> directories_;
  ImplicitHandles<FileHandle> implicit_files_;
  ImplicitHandles<DirHandle> implicit_directories_;
  LockTable locks_;
  fuse::Unparker* unparker_ = nullptr;
};

}  // namespace vfs::passthrough
