// Going on with the session of a process before this one: its nodes and handles are found again, under the numbers that
// the guest knows.
//
// A node is found by the handle of its file system where inodes are known by those, else by the name that led to it,
// from its directory, which is found first. What is found must be what was known: device, number, time of birth, type.
// What is not found again keeps its number and answers ESTALE, and so does a handle that cannot be opened again.
//
// The file is ours alone (session_file.h), so that a handle in it is one that we were given for something inside the
// share. Were it not, because a guest had come to run code in the process before this one: that process could open
// handles by itself, or has recorded none. A name leads nowhere but into the share. Nothing in the file is taken on
// trust otherwise: numbers, lengths, names, flags, circles of parents.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

constexpr std::uint32_t kReopenFlags = O_ACCMODE | O_SYNC | O_NONBLOCK | O_DIRECT | O_NOATIME | O_APPEND;

// Whether each word could be a slot's of a table with so many slots.
template <typename R, typename Table>
bool fits(const Records<R>& records, std::size_t slots) {
  for (std::uint32_t slot = 0; slot < records.top(); ++slot) {
    const RecordWord word = records.word_at(slot);
    if (word.word == 0) continue;
    if (slot >= slots || !Table::could_have(slot, word.id())) return false;
    // The last number of a slot is never given out.
    if (word.in_use() && !Table::could_have(slot, Table::next_of(word.id()))) return false;
  }
  return true;
}

template <typename R>
std::uint32_t count_of(const Records<R>& records, std::size_t slots) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(records.top(), slots));
}

// A single component.
bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

bool is_same(const NodeRecord& kept, const struct statx& seen) {
  const InodeKey key = key_of(seen);
  return key.device == kept.device && key.ino == kept.ino && (seen.stx_mode & S_IFMT) == kept.type &&
         born(seen) == BirthTime{kept.born_seconds, kept.born_nanoseconds};
}

}  // namespace

// The nodes, each found when it is first asked for.
class PassthroughFs::Resumption {
 public:
  Resumption(PassthroughFs& fs, const NodeRecords& records)
      : fs_(fs),
        records_(records),
        count_(count_of(records, fs.inodes_.slots())),
        states_(count_, State::kNew),
        inodes_(count_) {}

  std::uint32_t count() const { return count_; }

  InodeTable::Restored at(std::uint32_t slot) {
    const RecordWord word = records_.word_at(slot);
    if (!word.in_use()) return {word.id()};
    resolve(slot);
    // Killed between its last FORGET and its end.
    const std::uint64_t lookups = records_.content_at(slot).lookups;
    if (lookups == 0) return {SlotTable<Inode>::next_of(word.id())};
    return {word.id(), inodes_[slot].inode, lookups, inodes_[slot].lost};
  }

  // Null: no such node.
  std::shared_ptr<Inode> inode(std::uint64_t id) {
    if (id == abi::kRootId) return fs_.inodes_.root();
    const std::uint32_t slot = SlotTable<Inode>::slot_of(id);
    if (!is_node(id)) return nullptr;
    resolve(slot);
    return inodes_[slot].inode;
  }

 private:
  enum class State : std::uint8_t { kNew, kUnderWay, kDone };
  struct FoundAgain {
    std::shared_ptr<Inode> inode;
    bool lost = true;
  };

  bool is_node(std::uint64_t id) const {
    const std::uint32_t slot = SlotTable<Inode>::slot_of(id);
    return slot < count_ && records_.word_at(slot).in_use() && records_.word_at(slot).id() == id;
  }

  // Directories first. A tree may be deeper than a stack.
  void resolve(std::uint32_t slot) {
    std::vector<std::uint32_t> way{slot};
    while (!way.empty()) {
      const std::uint32_t here = way.back();
      const NodeRecord kept = records_.content_at(here);
      const std::uint32_t parent = SlotTable<Inode>::slot_of(kept.parent);
      if (states_[here] == State::kNew && is_node(kept.parent) && states_[parent] == State::kNew) {
        states_[here] = State::kUnderWay;
        way.push_back(parent);
        continue;
      }
      if (states_[here] != State::kDone) settle(here, kept);
      way.pop_back();
    }
  }

  void settle(std::uint32_t slot, const NodeRecord& kept) {
    states_[slot] = State::kDone;
    const std::uint64_t id = records_.word_at(slot).id();
    auto opened = open(kept);
    if (opened.ok()) {
      auto made = fs_.inode_again(id, std::move(opened).value());
      if (made.ok()) {
        inodes_[slot] = {std::move(made).value(), false};
        return;
      }
    }
    // The key is nobody's.
    const InodeKey none{~std::uint64_t{0}, id, ~std::uint64_t{0}};
    inodes_[slot] = {std::make_shared<Inode>(id, none, mode_t{kept.type} & S_IFMT, Anchor{}), true};
  }

  Result<UniqueFd> open(const NodeRecord& kept) {
    if (auto by_handle = fs_.open_kept_handle(kept); by_handle.ok()) return by_handle;
    const std::string name(kept.name_text());
    if (!is_name(name)) return Errno(ESTALE);
    std::shared_ptr<Inode> parent;
    if (kept.parent == abi::kRootId) parent = fs_.inodes_.root();
    // One that is still under way is its own ancestor.
    if (is_node(kept.parent)) parent = inodes_[SlotTable<Inode>::slot_of(kept.parent)].inode;
    if (parent == nullptr || !parent->is_directory()) return Errno(ESTALE);
    VFS_TRY(const auto directory, parent->path_fd());
    VFS_TRY(auto fd, sys::openat(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW));
    VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
    if (!is_same(kept, seen)) return Errno(ESTALE);
    return fd;
  }

  PassthroughFs& fs_;
  const NodeRecords& records_;
  const std::uint32_t count_;
  std::vector<State> states_;
  std::vector<FoundAgain> inodes_;
};

// An O_PATH descriptor. Only of the file system that the share's root is on, whose handles we can open. ESTALE: inodes
// are not known by handles.
Result<UniqueFd> PassthroughFs::open_kept_handle(const NodeRecord& kept) const {
  if (root_mount_ == nullptr || kept.handle_bytes == 0 || kept.handle_bytes > NodeRecord::kHandleMax ||
      kept.device != inodes_.root()->key().device) {
    return Errno(ESTALE);
  }
  const sys::FileHandle handle{kept.handle_type, std::string(kept.handle.data(), kept.handle_bytes)};
  VFS_TRY(auto fd, sys::open_by_handle_at(root_mount_->fd.get(), handle, O_PATH | O_NOFOLLOW));
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  if (!is_same(kept, seen)) return Errno(ESTALE);
  if (S_ISDIR(seen.stx_mode)) VFS_CHECK(check_inside(fd.get()));
  return fd;
}

Result<std::shared_ptr<Inode>> PassthroughFs::inode_again(std::uint64_t id, UniqueFd fd) {
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  const auto handle =
      uses_handles_ ? sys::name_to_handle_at(fd.get(), "", AT_EMPTY_PATH) : Result<sys::FileHandle>(Errno(EOPNOTSUPP));
  VFS_TRY(auto anchor, anchor_for(std::move(fd), std::move(token), seen, handle));
  return std::make_shared<Inode>(id, key_of(seen), mode_t{seen.stx_mode} & S_IFMT, std::move(anchor));
}

Result<std::shared_ptr<FileHandle>> PassthroughFs::file_again(const std::shared_ptr<Inode>& inode,
                                                              const HandleRecord& kept) const {
  const bool bad_flags = (kept.host_flags & ~kReopenFlags) != 0 || (kept.host_flags & O_ACCMODE) == O_ACCMODE;
  if (bad_flags || (options_.read_only && kept.changes != 0)) return Errno(ESTALE);
  const OpenFlags flags{static_cast<int>(kept.host_flags), kept.appends != 0, kept.changes != 0};
  VFS_CHECK(check_openable(*inode));
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto path_fd, inode->path_fd());
  VFS_TRY(auto fd, proc_.reopen(path_fd.get(), flags.host));
  const auto operation = static_cast<int>(kept.flock);
  if (operation == LOCK_SH || operation == LOCK_EX) {
    // Somebody else may have it by now. The guest must not believe that it still has it.
    VFS_CHECK(sys::flock(fd.get(), operation));
  }
  auto handle = std::make_shared<FileHandle>(inode, std::move(fd), flags, std::move(token));
  handle->flock.store(operation == LOCK_SH || operation == LOCK_EX ? operation : LOCK_UN, std::memory_order_relaxed);
  return handle;
}

Result<std::shared_ptr<DirHandle>> PassthroughFs::directory_again(const std::shared_ptr<Inode>& inode) const {
  if (!inode->is_directory()) return Errno(ESTALE);
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto path_fd, inode->path_fd());
  VFS_TRY(auto fd, proc_.reopen(path_fd.get(), O_RDONLY | O_DIRECTORY));
  return std::make_shared<DirHandle>(inode, std::move(fd), dir_buffers_, std::move(token));
}

// `again(inode, record)` opens a handle once more, `lose(inode)` makes one that is lost.
template <typename H, typename Again, typename Lose>
void PassthroughFs::resume_handles(HandleTable<H>& table, const HandleRecords& records, Resumption& nodes, Again again,
                                   Lose lose) {
  using Slots = SlotTable<H>;
  table.restore(count_of(records, table.slots()), [&](std::uint32_t slot) -> typename Slots::Restored {
    const RecordWord word = records.word_at(slot);
    if (!word.in_use()) return {word.id(), nullptr};
    const HandleRecord kept = records.content_at(slot);
    const auto inode = nodes.inode(kept.node);
    if (inode == nullptr) return {Slots::next_of(word.id()), nullptr};
    ++resumed_.handles;
    auto opened = again(inode, kept);
    if (opened.ok()) return {word.id(), std::move(opened).value()};
    ++resumed_.lost_handles;
    return {word.id(), lose(inode)};
  });
}

std::optional<fuse::SessionTerms> PassthroughFs::resume(
    std::uint32_t session, const std::function<bool(const fuse::SessionTerms&)>& server_fits) {
  if (session_file_ == nullptr) return std::nullopt;
  resumed_.found = session_file_->found();
  if (resumed_.found != SessionFile::Found::kSession) return std::nullopt;
  const fuse::SessionTerms terms = session_file_->terms();
  NodeRecords& nodes = session_file_->nodes();
  HandleRecords& files = session_file_->files();
  HandleRecords& directories = session_file_->directories();
  const bool makes_sense = server_fits(terms) && terms.wanted == wanted_flags(terms.offered) &&
                           fits<NodeRecord, SlotTable<Inode>>(nodes, inodes_.slots()) &&
                           fits<HandleRecord, SlotTable<FileHandle>>(files, files_.slots()) &&
                           fits<HandleRecord, SlotTable<DirHandle>>(directories, directories_.slots());
  if (!makes_sense) {
    resumed_.found = SessionFile::Found::kUnusable;
    // Should that fail, the file is as good as empty: nothing is kept, and the rest works.
    static_cast<void>(session_file_->discard().ok());
    record_session();
    return std::nullopt;
  }
  begin_tables(session);
  Resumption resumption(*this, nodes);
  inodes_.restore(resumption.count(), [&](std::uint32_t slot) {
    InodeTable::Restored restored = resumption.at(slot);
    if (restored.inode != nullptr) ++resumed_.inodes;
    if (restored.lost) ++resumed_.lost_inodes;
    return restored;
  });
  resume_handles(
      files_, files, resumption, [&](const auto& inode, const HandleRecord& kept) { return file_again(inode, kept); },
      [](const auto& inode) {
        return std::make_shared<FileHandle>(inode, UniqueFd(), OpenFlags{}, FdBudget::Token());
      });
  resume_handles(
      directories_, directories, resumption, [&](const auto& inode, const auto&) { return directory_again(inode); },
      [this](const auto& inode) {
        return std::make_shared<DirHandle>(inode, UniqueFd(), dir_buffers_, FdBudget::Token());
      });
  return terms;
}

void PassthroughFs::list_resumed(fuse::ResumedObjects& into) const {
  if (session_file_ == nullptr || resumed_.found != SessionFile::Found::kSession) return;
  const NodeRecords& nodes = session_file_->nodes();
  for (std::uint32_t slot = 0; slot < count_of(nodes, inodes_.slots()); ++slot) {
    const RecordWord word = nodes.word_at(slot);
    if (!word.in_use() || !inodes_.get(word.id()).ok()) continue;
    const NodeRecord kept = nodes.content_at(slot);
    into.node(word.id(), kept.lookups, S_ISDIR(kept.type), kept.parent, kept.name_text());
  }
  const auto list_handles = [&](const auto& table, const HandleRecords& records) {
    for (std::uint32_t slot = 0; slot < count_of(records, table.slots()); ++slot) {
      const RecordWord word = records.word_at(slot);
      if (!word.in_use()) continue;
      const HandleRecord kept = records.content_at(slot);
      // One that is lost is there all the same: the guest releases it.
      const auto handle = table.get(word.id(), kept.node);
      if (handle.ok() || handle.error() == Errno(ESTALE)) into.handle(word.id(), kept.appends != 0);
    }
  };
  list_handles(files_, session_file_->files());
  list_handles(directories_, session_file_->directories());
}

}  // namespace vfs::passthrough
