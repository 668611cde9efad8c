// PassthroughFs: a directory of the host as a FUSE file system.
//
// Containment: a guest names one component at a time, and every call is relative to an O_PATH descriptor of something
// that was found inside the share, without following symlinks. Only regular files and directories are ever opened.
// So no request leaves the share, with or without a sandbox. (Mounts below the share belong to it.)
//
// Identity: what is created belongs to the caller (credentials.h). Everything else runs as the daemon, because the
// guest's kernel has checked the caller's permission (default_permissions is part of every virtio-fs mount).
//
// The methods are in one file per topic: passthrough_fs.cc (life, attributes of whole objects), setattr.cc, names.cc,
// make.cc (what creates), file_io.cc, directory.cc, lock_ops.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fuse/file_system.h"
#include "passthrough/attr.h"
#include "passthrough/fd_budget.h"
#include "passthrough/handle.h"
#include "passthrough/inode_table.h"
#include "passthrough/locks.h"
#include "passthrough/open_flags.h"
#include "passthrough/proc_fd.h"

namespace vfs::passthrough {

// How far a guest trusts its cache.
enum class CachePolicy {
  kNever,    // nothing is cached
  kAuto,     // data as long as an open finds the file unchanged, metadata as long as its timeout
  kAlways,   // everything, until it is told otherwise: only the guest changes the share
  kMetadata  // names and attributes, but no data
};

struct PassthroughOptions {
  std::string root = {};  // a directory; the path is used once
  std::uint64_t entry_timeout_ns = 0;
  std::uint64_t attr_timeout_ns = 0;
  std::uint64_t negative_timeout_ns = 0;  // 0: "no such file" is not remembered
  CachePolicy cache = CachePolicy::kAuto;
  bool writeback = false;
  // Locks of the guest's processes are locks of the host; without, the guest keeps them to itself.
  bool posix_locks = false;  // fcntl(2)
  bool flock = false;        // flock(2)
  // For the inodes and handles of all shares of this process together; 0: what it can spare.
  std::size_t descriptors_max = 0;
};

class PassthroughFs final : public fuse::FileSystem {
 public:
  // Errors: of opening the root or /proc/self/fd.
  static Result<std::unique_ptr<PassthroughFs>> create(const PassthroughOptions& options);

  // What the guest holds now; the root does not count.
  std::size_t inode_count() const { return inodes_.size(); }
  std::size_t handle_count() const { return files_.size() + directories_.size(); }
  // Told whenever a lock may have been given up; before the first request, and outlives the last.
  void set_unparker(fuse::Unparker* unparker) { unparker_ = unparker; }
  // The descriptors that must stay open for new requests to work.
  std::vector<int> keep_fds() const { return {root_fd_, proc_.fd()}; }

  Result<std::uint64_t> init(std::uint32_t session, std::uint64_t offered) override;
  void destroy() override;
  Result<abi::EntryOut> lookup(const fuse::Call&, const fuse::Name&) override;
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
  Result<abi::LkOut> getlk(const fuse::Call&, const abi::LkIn&) override;
  Status setlk(const fuse::Call&, const abi::LkIn&) override;
  Status setlkw(const fuse::Call&, const abi::LkIn&) override;

 private:
  // An inode that was counted as looked up, and what the host says of it.
  struct Found {
    std::shared_ptr<Inode> inode;
    struct statx attributes;
  };
  // What a creating call asked for: see repair_mode.
  struct Created {
    int directory;  // an O_PATH descriptor
    mode_t mode;    // type and permissions
    uid_t owner;    // known on threads that are not prepared, where it is needed
  };
  using HandleId = std::uint64_t;

  PassthroughFs(const PassthroughOptions& options, FdBudget budget, ProcFd proc, int root_fd,
                std::shared_ptr<Inode> root);

  abi::EntryOut entry(const Found& found) const;
  Result<abi::AttrOut> attributes(const Inode& inode) const;

  // names.cc. All of them count one lookup on success. `directory` is an O_PATH descriptor.
  Result<Found> find(const fuse::Call& call, int directory, const char* name);
  Result<Found> find_unknown(const fuse::Call& call, int directory, const char* name, FdBudget::Token token,
                             const Created* created = nullptr);
  Result<Found> adopt(const fuse::Call& call, UniqueFd fd, FdBudget::Token token, const Created* created);
  void undo(const Found& found) { inodes_.forget(found.inode->id(), 1); }

  // setattr.cc: the steps, in their order.
  Status set_owner(int fd, const abi::SetattrIn& in);
  Status set_mode(const Inode& inode, int path_fd, const abi::SetattrIn& in);
  Status set_size(const Inode& inode, int path_fd, const abi::SetattrIn& in);
  Status set_times(int fd, const abi::SetattrIn& in);

  // make.cc
  template <typename Make>
  Result<abi::EntryOut> make(const fuse::Call& call, const fuse::Name& name, mode_t mode, Make make);
  Status repair_mode(int fd, const Created& created, struct statx& attributes);
  Result<bool> has_default_acl(int directory) const;
  Result<abi::CreateOut> create_new(const fuse::Call&, const abi::CreateIn&, const OpenFlags&, const fuse::Name&);
  Result<abi::CreateOut> open_existing(const fuse::Call&, const OpenFlags&, const fuse::Name&);
  Status check_access(const fuse::Call& call, const Inode& inode, int mask) const;

  // file_io.cc
  Result<HandleId> open_file(const fuse::Call& call, const std::shared_ptr<Inode>& inode, const OpenFlags& flags);
  abi::OpenOut file_opened(HandleId id) const;

  // lock_ops.cc
  Status lock_file(const fuse::Call& call, const abi::LkIn& in);
  Status lock_whole(FileHandle& handle, std::uint32_t type);
  void close_locks(std::uint64_t node, std::uint64_t owner);
  void locks_freed(std::uint64_t node) const {
    if (unparker_ != nullptr) unparker_->unpark(node);
  }

  const PassthroughOptions options_;
  const Timeout entry_timeout_;
  const Timeout attr_timeout_;
  const Timeout negative_timeout_;
  const int root_fd_;  // of the inode table's root
  const FdBudget budget_;
  const ProcFd proc_;
  InodeTable inodes_;
  HandleTable<FileHandle> files_;
  HandleTable<DirHandle> directories_;
  LockTable locks_;
  fuse::Unparker* unparker_ = nullptr;
};

}  // namespace vfs::passthrough
