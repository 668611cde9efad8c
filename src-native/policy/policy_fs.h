// PolicyFs: a file system of which the guest sees what rules let it see (docs/policies.md).
//
// It stands in front of another file system and decides at the operations that have a name or open something. What it
// decided is kept with the node (node_table.h); READ and WRITE of an open file are passed on with nothing but a look at
// the handle's number. Whoever has no policy has no PolicyFs.
//
// What is hidden is not there: ENOENT where a name is looked for, EACCES where one would be taken. What is looked for
// is told from what is hidden by name before the file system below hears of it, where the rules do not ask for its
// type.
//
// Opening without a message (NO_OPEN_SUPPORT) is not agreed to: there would be nothing to decide at.
//
// The methods are in one file per topic: policy_fs.cc (life, attributes, what concerns one object), names.cc,
// opening.cc, listing.cc, resumption.cc.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "fuse/file_system.h"
#include "policy/hard_links.h"
#include "policy/limits.h"
#include "policy/node_table.h"
#include "policy/pace.h"
#include "policy/rules.h"

namespace vfs::policy {

inline constexpr std::uint32_t kSetidBits = S_ISUID | S_ISGID;

struct PolicyOptions {
  PolicySource policy;
  bool open_atomic = false;  // the guest may ask for it
};

// Numbers of nodes from here on are none of the share: the application has given them to what it serves itself. Those
// of the share are below 2^53.
inline constexpr std::uint64_t kFirstVirtualNode = std::uint64_t{1} << 62;

// Who knows nodes that are not the share's.
class VirtualNodes {
 public:
  // Any thread.
  virtual void virtual_forgotten(std::uint64_t id, std::uint64_t count) = 0;
  virtual void session_ended() = 0;

 protected:
  ~VirtualNodes() = default;
};

class PolicyFs final : public fuse::FileSystem {
 public:
  PolicyFs(fuse::FileSystem& below, const PolicyOptions& options);

  // Requests that begin from now on are decided by this policy, also those about known nodes. What is open stays open.
  // True: what has been said about the pace is new.
  bool replace(const PolicySource& policy);
  // Before anything is served; must outlive what is. Null: nobody.
  void set_virtual_nodes(VirtualNodes* nodes) { virtual_nodes_ = nodes; }
  // For who lets requests begin; what only their end tells is charged here.
  Pace& pace() { return pace_; }
  std::size_t node_count() const { return nodes_.size(); }
  // See NodeTable::path_of. What the policy hides has a path, too, if its directory is known.
  Result<std::string> path_of(std::uint64_t id) { return nodes_.path_of(id); }
  // EBADF, ESTALE: as there.
  Result<bool> is_directory(std::uint64_t id);

  Result<std::uint64_t> init(std::uint32_t session, std::uint64_t offered) override;
  void session_begun(const fuse::SessionTerms& terms) override;
  std::optional<fuse::SessionTerms> resume(std::uint32_t session,
                                           const std::function<bool(const fuse::SessionTerms&)>& fits) override;
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
  // Both are final, which a declaration does not say.
  friend class FilteredSink;      // NOLINT(cppcoreguidelines-virtual-class-destructor)
  friend class FilteredPlusSink;  // NOLINT(cppcoreguidelines-virtual-class-destructor)

  // What an open file of a masked path has: the content stays what it was when it was opened.
  using MaskRef = std::shared_ptr<const std::string>;
  // Handles of the file system below are smaller.
  static constexpr std::uint64_t kMaskHandle = std::uint64_t{1} << 63;
  static constexpr std::size_t kOpenMasksMax = 1U << 16;
  static bool is_mask(std::uint64_t handle) { return (handle & kMaskHandle) != 0; }

  // --- policy_fs.cc
  void let_go(std::uint64_t node, std::uint64_t count);
  // The verdict on a node that exists for the guest. ENOENT: it is hidden by now.
  Result<NodeTable::Judged> visible(const fuse::Call& call, std::uint64_t node);
  // The same, if something may be done with it.
  Result<Verdict> permitted(const fuse::Call& call, std::uint64_t node, Permission permission);
  // The directory of a listing. EBADF: it is none, and so nothing that the handle could be of.
  Result<Directory> listed(std::uint64_t node);
  // Whether a file that has several names is hidden by one of them.
  bool is_hidden_link(const fuse::Call& call, const StateRef& root, const HiddenLinks::File& file);
  StateRef root_state() const;
  // As the guest sees them.
  static void show(abi::Attr& attr, const Verdict& verdict);
  // The guest asks again each time, so that it hears of another policy at once.
  template <typename Out>
  void shorten(Out& out) const {
    if (lasting_.load(std::memory_order_relaxed)) return;
    if constexpr (requires { out.entry_valid; }) out.entry_valid = out.entry_valid_nsec = 0;
    out.attr_valid = out.attr_valid_nsec = 0;
  }
  Status check_xattr_change(const fuse::Call& call, const fuse::XattrName& name);
  Status check_path(ByteSpan data, std::size_t at, std::uint32_t permissions) const;

  // --- resumption.cc
  // Nothing is known, open or counted any more.
  void forget_session();
  void go_on_with_nodes(const fuse::Call& call);

  // --- names.cc
  Result<abi::EntryOut> look_up(const fuse::Call& call, const Directory& in, const fuse::Name& name);
  // What the file system below found or made becomes known; its lookup is undone if it is hidden or cannot be kept.
  // `reading`: of the name, if there is one already.
  Result<abi::EntryOut> admit(const fuse::Call& call, const Directory& in, std::string_view name,
                              const abi::EntryOut& entry, const Reading* reading = nullptr);
  // A name for something new. EACCES: it is one of something hidden.
  Result<Verdict> vacancy(const Directory& in, std::string_view name) const;
  // Calls what makes a new name, if there may be one more: ENOSPC.
  template <typename Make>
  auto with_name(Make make) -> decltype(make()) {
    if (const Status room = limits_.names.take(1, ENOSPC); !room.ok()) return room.error();
    auto made = make();
    if (!made.ok()) limits_.names.give_back(1);
    return made;
  }
  static Status check_creation(const Verdict& verdict, Permission permission, std::uint32_t mode);
  Status check_whiteout(const Directory& in, std::string_view name) const;
  template <typename Make>
  Result<abi::EntryOut> make(const fuse::Call& call, const fuse::Name& name, Permission permission, std::uint32_t mode,
                             Make make);
  struct Peeked {
    std::uint64_t id;
    bool is_directory;
    Verdict verdict;
    std::uint64_t linked;  // see number_if_linked
  };
  // What a name stands for, without a lookup that is counted. ENOENT: nothing, or something hidden.
  Status hidden_or_else(const fuse::Call& call, const Directory& in, const fuse::Name& name, int wrong_type);
  Result<Peeked> peek(const fuse::Call& call, const Directory& in, const fuse::Name& name);
  // The error for a name that is taken, as we heard: EACCES, if it is by something hidden under another name.
  Errno taken(const fuse::Call& call, const Directory& in, const fuse::Name& name, Errno error);
  Status check_border(const Directory& from, std::string_view name, const Directory& to, std::string_view new_name);

  // --- opening.cc
  static Status check_open(const Verdict& verdict, std::uint32_t flags);
  Result<abi::CreateOut> create_or_open(const fuse::Call& call, const abi::CreateIn& in, const fuse::Name& name,
                                        const fuse::Creation& creation, bool atomic);
  Result<abi::CreateOut> create_new(const fuse::Call& call, const Directory& in, const abi::CreateIn& how,
                                    const fuse::Name& name, const fuse::Creation& creation, bool atomic);
  Result<abi::CreateOut> open_there(const fuse::Call& call, const abi::CreateIn& in, const abi::EntryOut& entry,
                                    bool atomic);
  Result<abi::CreateOut> admit_open(const fuse::Call& call, const Directory& in, std::string_view name,
                                    const abi::CreateOut& made);
  // Calls what gives a handle out, if there may be one more: EMFILE.
  template <typename Open>
  auto with_handle(Open open) -> decltype(open()) {
    if (const Status room = limits_.handles.take(1, EMFILE); !room.ok()) return room.error();
    auto opened = open();
    if (!opened.ok()) limits_.handles.give_back(1);
    return opened;
  }
  void handle_gone(std::uint64_t handle);
  Result<abi::WriteOut> write_within_limits(const fuse::Call& call, const abi::WriteIn& in, GuestReader& from);
  Result<abi::CopyFileRangeOut> copy_within_limits(const fuse::Call& call, const abi::CopyFileRangeIn& in);
  // How much may be written from here on. EFBIG: nothing.
  Result<std::uint64_t> room_for(const fuse::Call& call, std::uint64_t offset, std::uint64_t length, bool appends);
  // The directory, where something without a name may be made in it.
  Result<Directory> nameless_in(std::uint64_t node, std::uint32_t mode);
  Result<abi::OpenOut> open_mask(const MaskRef& mask);
  Result<MaskRef> mask_of(std::uint64_t handle) const;

  fuse::FileSystem& below_;
  const bool open_atomic_;
  mutable std::mutex rules_mutex_;  // guards the two below
  std::shared_ptr<const Rules> rules_;
  StateRef root_state_;
  std::atomic<bool> lasting_;
  NodeTable nodes_;
  HiddenLinks hidden_links_;
  Limits limits_;
  Pace pace_;
  VirtualNodes* virtual_nodes_ = nullptr;
  // Held, to share, while a name is looked up or made and its node becomes known; alone, while names change hands. So a
  // node's place is never an earlier one.
  std::shared_mutex names_mutex_;
  mutable std::mutex masks_mutex_;  // guards the two below
  std::unordered_map<std::uint64_t, MaskRef> open_masks_;
  std::uint64_t next_mask_ = 0;
};

}  // namespace vfs::policy
