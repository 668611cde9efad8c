// OverlayFs: a share that stays as it is, and a directory beside it for what the guest does (docs/overlay.md).
//
// It stands on two passthrough file systems. Names are looked for in the upper directory first, then in the lower one;
// directories that are in both are merged. What is changed is copied up before. What is in the upper directory is as
// the kernel's overlayfs writes it, with redirect_dir=off, index=off and metacopy=off, and can be mounted by it.
//
// Nothing is ever written below the lower directory: its file system is made read-only, and of it this one only calls
// what reads.
//
// Locks, in this order: Node::copying of a parent, of its child; names_mutex_; what the tables have. Data is copied
// without names_mutex_.
//
// The methods are in one file per topic: overlay_fs.cc (life, attributes of whole objects), names.cc (finding),
// making.cc, removing.cc, renaming.cc, copy_up.cc, open.cc, listing.cc.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "fuse/file_system.h"
#include "overlay/format.h"
#include "overlay/node_table.h"
#include "overlay/work.h"
#include "passthrough/passthrough_fs.h"
#include "passthrough/slot_table.h"

namespace vfs::overlay {

struct OverlayOptions {
  std::string upper = {};  // a directory; the path is used once
  std::string work = {};   // an empty directory on the same file system, outside of the upper one; used once
  // None: those of overlayfs if this process may set them, and otherwise the others.
  std::optional<XattrNames> names = std::nullopt;
};

class OverlayFs final : public fuse::FileSystem {
 public:
  // `share` is how both directories are served, with the lower one as its root. Errors: of opening the directories; see
  // Work::open. EINVAL: an option of the share that does not go with an overlay.
  static Result<std::unique_ptr<OverlayFs>> create(const passthrough::PassthroughOptions& share,
                                                   const OverlayOptions& options);
  ~OverlayFs() override;

  std::size_t inode_count() const { return nodes_.size(); }
  std::size_t handle_count() const { return upper_->handle_count() + lower_->handle_count() + directories_.size(); }
  std::vector<int> keep_fds() const;
  XattrNames names() const { return names_; }

  Result<std::uint64_t> init(std::uint32_t session, std::uint64_t offered) override;
  void session_begun(const fuse::SessionTerms& terms) override;
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
  Result<abi::StatxOut> statx(const fuse::Call&, const abi::StatxIn&) override;
  Status setxattr(const fuse::Call&, const abi::SetxattrIn&, const fuse::XattrName&, ByteSpan) override;
  Result<std::size_t> getxattr(const fuse::Call&, const fuse::XattrName&, MutableByteSpan into) override;
  Result<std::size_t> listxattr(const fuse::Call&, MutableByteSpan into) override;
  Status removexattr(const fuse::Call&, const fuse::XattrName&) override;
  Result<abi::CopyFileRangeOut> copy_file_range(const fuse::Call&, const abi::CopyFileRangeIn&) override;
  Status syncfs(const fuse::Call&, const abi::SyncfsIn&) override;
  Result<abi::CreateOut> tmpfile(const fuse::Call&, const abi::CreateIn&, const fuse::IgnoredName&,
                                 const fuse::Creation&) override;
  Result<IoctlAnswer> ioctl(const fuse::Call&, const abi::IoctlIn&, ByteSpan, MutableByteSpan) override;

 private:
  using PassthroughFs = passthrough::PassthroughFs;

  // What a name stands for. Each node id in it is one lookup below.
  struct Place {
    abi::EntryOut upper{};     // node 0: nothing
    abi::EntryOut lower{};     // the same, or hidden by what is above
    bool whiteout = false;     // the upper has one by this name
    bool hides_lower = false;  // the lower directory has something by this name: removing it takes a whiteout

    bool exists() const { return upper.nodeid != 0 || lower.nodeid != 0; }
    const abi::Attr& attr() const { return upper.nodeid != 0 ? upper.attr : lower.attr; }
    bool is_directory() const { return exists() && S_ISDIR(attr().mode); }
    bool is_merged() const { return upper.nodeid != 0 && lower.nodeid != 0; }
  };
  // Gives the lookups of a Place back, unless they are handed on.
  class HeldPlace;
  struct Entry {
    std::string name;
    std::uint64_t ino;
    std::uint32_t type;
  };
  struct OpenDirectory {
    NodeRef node;
    std::mutex mutex;  // guards what follows
    bool is_listed = false;
    std::vector<Entry> entries = {};
  };
  // A file that a request names by its handle, below.
  struct File {
    PassthroughFs& fs;
    fuse::Call call;
    std::uint64_t handle;
  };

  // The bit of a handle that says that the file is open in the lower directory. Handles below are smaller, and so is
  // the sum than what JavaScript can hold.
  static constexpr std::uint64_t kLowerHandle = std::uint64_t{1} << 52;

  OverlayFs(std::unique_ptr<PassthroughFs> upper, std::unique_ptr<PassthroughFs> lower, Work work, XattrNames names,
            bool same_device);

  // --- overlay_fs.cc
  static void let_go(void* self, std::uint64_t upper, std::uint64_t lower);
  static fuse::Call call_for(const fuse::Call& call, std::uint64_t node) {
    fuse::Call there = call;
    there.nodeid = node;
    return there;
  }
  // Where an object is served from now.
  PassthroughFs& side(const Node& node) const { return node.upper.load() != 0 ? *upper_ : *lower_; }
  static std::uint64_t side_id(const Node& node) {
    const std::uint64_t upper = node.upper.load();
    return upper != 0 ? upper : node.lower;
  }
  fuse::Call side_call(const fuse::Call& call, const Node& node) const { return call_for(call, side_id(node)); }
  void show(const Node& node, abi::Attr& attr) const;
  std::uint64_t shown_ino(const Node& node, std::uint64_t ino) const;
  std::uint64_t lower_ino(std::uint64_t ino) const;
  template <typename Use>
  auto changing(const fuse::Call& call, Use use);

  // --- names.cc
  Result<Place> find(const fuse::Call& call, const Node& directory, const fuse::Name& name) const;
  Status find_upper(const fuse::Call& call, const Node& directory, const fuse::Name& name, Place& place) const;
  Status find_lower(const fuse::Call& call, const Node& directory, const fuse::Name& name, Place& place) const;
  void give_back(const Place& place) const;
  // The guest hears of it; takes over the lookups.
  Result<abi::EntryOut> admit(const fuse::Call& call, const NodeRef& directory, const std::string& name,
                              const Place& place);
  abi::EntryOut entry(const Node& node, const abi::EntryOut& below) const;

  // --- copy_up.cc
  enum class Data { kCopied, kDropped };
  // Afterwards the node is in the upper directory, with all its parents.
  Status copy_up(const fuse::Call& call, const NodeRef& node, Data data = Data::kCopied);
  Status copy_up_locked(const fuse::Call& call, const NodeRef& node, Data data);
  Result<UniqueFd> make_copy(const std::string& name, const PassthroughFs::HostObject& from, Data data) const;
  Status put_in_place(const fuse::Call& call, const NodeRef& node, const std::string& name, UniqueFd made);
  Result<UniqueFd> move_into(const fuse::Call& call, const Node& node, const std::string& name, UniqueFd made) const;

  // --- making.cc
  template <typename Make>
  Result<abi::EntryOut> make(const fuse::Call& call, const fuse::Name& name, Make make);
  // Calls make(directory) for a directory of the upper in which `name` is free; over a whiteout it is another, from
  // which what was made is moved. The names are held.
  template <typename Make>
  auto make_at(const fuse::Call& call, const Node& directory, const fuse::Name& name, const Place& place, Make make)
      -> decltype(make(call));
  Result<std::string> make_stage(const Node& directory) const;
  Status move_from_stage(int stage, const Node& directory, const fuse::Name& name, bool hides_directory) const;
  Result<abi::CreateOut> open_there(const fuse::Call& call, const abi::CreateIn& in, const abi::EntryOut& entry);

  // --- removing.cc
  Status put_whiteout(const Node& directory, const char* name) const;
  // ENOTEMPTY: something is in it.
  Status check_empty(const fuse::Call& call, const Place& place) const;
  // Takes an upper directory, in which are only whiteouts, out of its place; `with` comes there.
  Status swap_out(const Node& directory, const char* name, const std::string& with) const;
  Status remove_directory(const fuse::Call& call, const Node& directory, const fuse::Name& name, const Place& place);

  // --- renaming.cc
  struct Move;
  Status check_movable(const Move& move) const;
  Status clear_target(const Move& move) const;
  Status move_upper(const Move& move) const;
  Status rename_found(const fuse::Call& call, const Move& move);

  // --- open.cc
  Result<abi::OpenOut> open_lower(const fuse::Call& call, const Node& node, const abi::OpenIn& in) const;
  Result<File> file_of(const fuse::Call& call, std::uint64_t node, std::uint64_t handle);
  Result<File> written_file_of(const fuse::Call& call, std::uint64_t node, std::uint64_t handle) const;
  Result<IoctlAnswer> directory_ioctl(const fuse::Call& call, const NodeRef& node, const abi::IoctlIn& in,
                                      ByteSpan data, MutableByteSpan out);

  // --- listing.cc
  Result<std::vector<Entry>> list_merged(const fuse::Call& call, std::uint64_t upper, std::uint64_t lower) const;
  Result<std::vector<Entry>> list_one(PassthroughFs& fs, const fuse::Call& call, std::uint64_t node) const;
  // Whether it is a whiteout.
  static bool is_hidden(int directory, const Entry& entry);
  Status list(const fuse::Call& call, OpenDirectory& directory);
  Result<std::shared_ptr<OpenDirectory>> directory_of(const fuse::Call& call, std::uint64_t handle) const;

  const std::unique_ptr<PassthroughFs> upper_;
  const std::unique_ptr<PassthroughFs> lower_;
  mutable Work work_;
  const XattrNames names_;
  const bool same_device_;  // numbers of the two cannot collide
  NodeTable nodes_;
  passthrough::SlotTable<OpenDirectory> directories_;
  // Held, to share, while a name is looked up and its node becomes known; alone, while names change hands.
  std::shared_mutex names_mutex_;
  // Files that were open for reading in the lower directory when they were copied up: their handles in the upper one.
  std::mutex reopened_mutex_;
  std::unordered_map<std::uint64_t, std::uint64_t> reopened_;
};

class OverlayFs::HeldPlace {
 public:
  HeldPlace(const OverlayFs& fs, const Place& place) : fs_(fs), place_(place) {}
  ~HeldPlace() {
    if (held_) fs_.give_back(place_);
  }
  HeldPlace(const HeldPlace&) = delete;
  HeldPlace& operator=(const HeldPlace&) = delete;
  const Place& operator*() const { return place_; }
  const Place* operator->() const { return &place_; }
  Place hand_on() {
    held_ = false;
    return place_;
  }

 private:
  const OverlayFs& fs_;
  const Place place_;
  bool held_ = true;
};

}  // namespace vfs::overlay
