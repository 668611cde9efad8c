// What opens: OPEN, CREATE and their kind, and what is done with the handles.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "policy/policy_fs.h"

namespace vfs::policy {

namespace {

// A program that is to be executed is opened with it (FMODE_EXEC of the guest's kernel).
constexpr std::uint32_t kForExecution = 0x20;

constexpr std::uint32_t kAccess = O_ACCMODE;

// How often CREATE begins anew when what was in its way is gone a moment later.
constexpr int kAttemptsMax = 3;

bool writes(std::uint32_t flags) { return (flags & kAccess) != O_RDONLY || (flags & O_TRUNC) != 0; }

}  // namespace

Status PolicyFs::check_open(const Verdict& verdict, std::uint32_t flags) {
  if (writes(flags)) {
    VFS_CHECK(verdict.check(Permission::kWrite));
    if (verdict.mask != nullptr) return Errno(EACCES);
  }
  if ((flags & kAccess) != O_WRONLY) VFS_CHECK(verdict.check(Permission::kRead));
  return (flags & kForExecution) != 0 ? verdict.check(Permission::kExecute) : ok_status();
}

Result<abi::OpenOut> PolicyFs::open(const fuse::Call& call, const abi::OpenIn& in) {
  VFS_TRY(const auto judged, visible(call, call.nodeid));
  const Verdict& verdict = judged.verdict;
  VFS_CHECK(check_open(verdict, in.flags));
  VFS_TRY(const auto out,
          with_handle([&] { return verdict.mask != nullptr ? open_mask(verdict.mask) : below_.open(call, in); }));
  if ((in.flags & O_APPEND) != 0) limits_.note_appending(out.fh);
  return out;
}

Result<abi::OpenOut> PolicyFs::open_mask(const MaskRef& mask) {
  const std::lock_guard lock(masks_mutex_);
  if (open_masks_.size() >= kOpenMasksMax) return Errno(ENFILE);
  abi::OpenOut out{};
  out.fh = kMaskHandle | ++next_mask_;
  // What the guest has cached could be the file's own content.
  out.open_flags = abi::fopen::kDirectIo;
  open_masks_.emplace(out.fh, mask);
  return out;
}

Result<PolicyFs::MaskRef> PolicyFs::mask_of(std::uint64_t handle) const {
  const std::lock_guard lock(masks_mutex_);
  const auto found = open_masks_.find(handle);
  if (found == open_masks_.end()) return Errno(EBADF);
  return found->second;
}

Result<abi::CreateOut> PolicyFs::admit_open(const fuse::Call& call, const Directory& in, std::string_view name,
                                            const abi::CreateOut& made) {
  if (made.entry.nodeid == 0) return made;
  auto entry = admit(call, in, name, made.entry);
  if (entry.ok()) return abi::CreateOut{entry.value(), made.open};
  fuse::Call there = call;
  there.nodeid = made.entry.nodeid;
  if (made.open.fh != 0) static_cast<void>(release(there, abi::ReleaseIn{made.open.fh, 0, 0, 0}).ok());
  return entry.error();
}

// What a name stands for is opened if that is allowed, and made if it is not there and that is allowed. It is made by
// itself (O_EXCL): what has been made is counted, and what is there may be hidden under another name.
Result<abi::CreateOut> PolicyFs::create_or_open(const fuse::Call& call, const abi::CreateIn& in, const fuse::Name& name,
                                                const fuse::Creation& creation, bool atomic) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory directory, nodes_.directory(call.nodeid));
  if (atomic && (in.flags & O_CREAT) == 0) {
    VFS_TRY(const auto entry, look_up(call, directory, name));
    return open_there(call, in, entry, atomic);
  }
  VFS_TRY(const Verdict verdict, vacancy(directory, name.text()));
  const Status may_create = check_creation(verdict, Permission::kCreate, S_IFREG | in.mode);
  const Status may_open = check_open(verdict, in.flags);
  abi::CreateIn how = in;
  how.mode &= ~verdict.umask;
  if (may_create.ok() && may_open.ok() && verdict.mask == nullptr && !directory.rules().guards_links()) {
    // A guest that has looked asks for what is not there, most of the time.
    auto made = create_new(call, directory, how, name, creation, atomic);
    if (made.ok() || made.error() != Errno(EEXIST) || (in.flags & O_EXCL) != 0) return made;
  }
  for (int attempt = 1;; ++attempt) {
    const auto entry = look_up(call, directory, name);
    const bool missing = entry.ok() ? entry.value().nodeid == 0 : entry.error() == Errno(ENOENT);
    if (!missing && !entry.ok()) return entry.error();
    if (!missing && (in.flags & O_EXCL) == 0) return open_there(call, in, entry.value(), atomic);
    if (!missing) {
      forget(call, entry.value().nodeid, 1);
      return Errno(EEXIST);
    }
    VFS_CHECK(may_create);
    VFS_CHECK(may_open);
    const auto made = create_new(call, directory, how, name, creation, atomic);
    // Somebody was faster; or what is there is hidden.
    if (made.ok() || made.error() != Errno(EEXIST) || attempt == kAttemptsMax) return made;
  }
}

// Nothing but a new file.
Result<abi::CreateOut> PolicyFs::create_new(const fuse::Call& call, const Directory& in, const abi::CreateIn& how,
                                            const fuse::Name& name, const fuse::Creation& creation, bool atomic) {
  abi::CreateIn exclusive = how;
  exclusive.flags |= O_CREAT | O_EXCL;
  const auto made =
      with_handle([&] { return with_name([&] { return below_.create(call, exclusive, name, creation); }); });
  if (!made.ok()) return taken(call, in, name, made.error());
  abi::CreateOut out = made.value();
  if (atomic) out.open.open_flags |= abi::fopen::kFileCreated;
  if ((how.flags & O_APPEND) != 0) limits_.note_appending(out.open.fh);
  return admit_open(call, in, name.text(), out);
}

// As the file system below opens what CREATE and OPEN_ATOMIC find.
Result<abi::CreateOut> PolicyFs::open_there(const fuse::Call& call, const abi::CreateIn& in, const abi::EntryOut& entry,
                                            bool atomic) {
  abi::CreateOut out{entry, {}};
  if (entry.nodeid == 0 || (atomic && !S_ISREG(entry.attr.mode))) return out;
  fuse::Call there = call;
  there.nodeid = entry.nodeid;
  const auto open_it = [&]() -> Result<abi::OpenOut> {
    if (S_ISDIR(entry.attr.mode)) return Errno(EISDIR);
    if (!S_ISREG(entry.attr.mode)) return Errno(ESTALE);
    VFS_TRY(const auto judged, visible(call, entry.nodeid));
    VFS_CHECK(check_open(judged.verdict, in.flags));
    // Who is asked to create checks no permission of the caller's, and a guest that must do so is made to look again.
    // After OPEN_ATOMIC it does; but that is too late for what truncating has done.
    if (!atomic || (in.flags & O_TRUNC) != 0) {
      const std::uint32_t access = (writes(in.flags) ? W_OK : 0) | ((in.flags & kAccess) != O_WRONLY ? R_OK : 0);
      const Status allowed = below_.access(there, abi::AccessIn{access, 0});
      if (!allowed.ok() && allowed.error() == Errno(EROFS)) return Errno(EROFS);
      if (!allowed.ok()) return Errno(atomic ? EACCES : ESTALE);
    }
    return open(there, abi::OpenIn{in.flags & ~static_cast<std::uint32_t>(O_CREAT | O_EXCL), in.open_flags});
  };
  const auto opened = open_it();
  if (!opened.ok()) {
    forget(call, entry.nodeid, 1);
    return opened.error();
  }
  out.open = opened.value();
  if ((in.flags & O_TRUNC) != 0) {
    if (const auto now = getattr(there, abi::GetattrIn{}); now.ok()) out.entry.attr = now.value().attr;
  }
  return out;
}

Result<abi::CreateOut> PolicyFs::create(const fuse::Call& call, const abi::CreateIn& in, const fuse::Name& name,
                                        const fuse::Creation& creation) {
  return create_or_open(call, in, name, creation, false);
}

Result<abi::CreateOut> PolicyFs::open_atomic(const fuse::Call& call, const abi::CreateIn& in, const fuse::Name& name,
                                             const fuse::Creation& creation) {
  if (!open_atomic_) return Errno(ENOSYS);
  return create_or_open(call, in, name, creation, true);
}

// What holds for a directory holds for a file in it that has no name.
Result<Directory> PolicyFs::nameless_in(std::uint64_t node, std::uint32_t mode) {
  VFS_TRY(Directory directory, nodes_.directory(node));
  if (directory.state->verdict.hidden) return Errno(ENOENT);
  VFS_CHECK(check_creation(directory.state->verdict, Permission::kCreate, S_IFREG | mode));
  return directory;
}

Result<abi::CreateOut> PolicyFs::tmpfile(const fuse::Call& call, const abi::CreateIn& in, const fuse::IgnoredName& name,
                                         const fuse::Creation& creation) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory directory, nameless_in(call.nodeid, in.mode));
  const Verdict& verdict = directory.state->verdict;
  VFS_CHECK(check_open(verdict, in.flags & kAccess));
  abi::CreateIn made = in;
  made.mode &= ~verdict.umask;
  VFS_TRY(const auto out, with_handle([&] { return below_.tmpfile(call, made, name, creation); }));
  if ((in.flags & O_APPEND) != 0) limits_.note_appending(out.open.fh);
  return admit_open(call, directory, {}, out);
}

Result<abi::EntryOut> PolicyFs::chromeos_tmpfile(const fuse::Call& call, const abi::ChromeosTmpfileIn& in,
                                                 const fuse::Creation& creation) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory directory, nameless_in(call.nodeid, in.mode));
  abi::ChromeosTmpfileIn made = in;
  made.mode &= ~directory.state->verdict.umask;
  VFS_TRY(const auto entry, below_.chromeos_tmpfile(call, made, creation));
  return admit(call, directory, {}, entry);
}

Result<std::size_t> PolicyFs::read(const fuse::Call& call, const abi::ReadIn& in, GuestWriter& to) {
  if (!is_mask(in.fh)) {
    // Files that were opened for writing can be read then, for the guest's cache, and whether this is for it nobody
    // says.
    if (call.negotiated.has(abi::init_flag::kWritebackCache)) {
      VFS_CHECK(permitted(call, call.nodeid, Permission::kRead));
    }
    return below_.read(call, in, to);
  }
  VFS_TRY(const MaskRef mask, mask_of(in.fh));
  if (in.offset >= mask->size()) return std::size_t{0};
  const auto rest = std::as_bytes(std::span(*mask)).subspan(in.offset);
  const ByteSpan part = rest.first(std::min<std::size_t>(rest.size(), in.size));
  VFS_CHECK(to.put_bytes(part));
  return part.size();
}

Result<abi::WriteOut> PolicyFs::write(const fuse::Call& call, const abi::WriteIn& in, GuestReader& from) {
  return limits_.bounds_writes() ? write_within_limits(call, in, from) : below_.write(call, in, from);
}

Result<std::uint64_t> PolicyFs::room_for(const fuse::Call& call, std::uint64_t offset, std::uint64_t length,
                                         bool appends) {
  const std::uint64_t bound = limits_.file_size();
  if (bound == kUnlimited || length == 0) return length;
  if (appends) {
    VFS_TRY(const auto now, below_.getattr(call, abi::GetattrIn{}));
    offset = now.attr.size;
  }
  if (offset >= bound) return Errno(EFBIG);
  return std::min(length, bound - offset);
}

// As much as there is room for, as write(2) does at the end of a disk; from the guest's page cache also an error then
// (PassthroughFs::write).
Result<abi::WriteOut> PolicyFs::write_within_limits(const fuse::Call& call, const abi::WriteIn& in, GuestReader& from) {
  const bool cached = (in.write_flags & abi::kWriteCache) != 0;
  const bool appends = !cached && limits_.appends(in.fh);
  VFS_TRY(const std::uint64_t room, room_for(call, in.offset, in.size, appends));
  abi::WriteIn part = in;
  part.size = static_cast<std::uint32_t>(limits_.written.take_some(room));
  if (part.size == 0 && in.size > 0) return Errno(EDQUOT);
  from.limit_to(part.size);
  const auto out = below_.write(call, part, from);
  limits_.written.give_back(part.size - (out.ok() ? out.value().size : 0));
  if (cached && out.ok() && part.size < in.size) return Errno(room < in.size ? EFBIG : EDQUOT);
  return out;
}

void PolicyFs::handle_gone(std::uint64_t handle) {
  limits_.handles.give_back(1);
  limits_.forget_handle(handle);
}

Status PolicyFs::release(const fuse::Call& call, const abi::ReleaseIn& in) {
  if (is_mask(in.fh)) {
    const std::lock_guard lock(masks_mutex_);
    if (open_masks_.erase(in.fh) == 0) return Errno(EBADF);
  } else {
    VFS_CHECK(below_.release(call, in));
  }
  handle_gone(in.fh);
  return Unit{};
}

Status PolicyFs::fsync(const fuse::Call& call, const abi::FsyncIn& in) {
  if (!is_mask(in.fh)) return below_.fsync(call, in);
  VFS_CHECK(mask_of(in.fh));
  return Unit{};
}

Status PolicyFs::flush(const fuse::Call& call, const abi::FlushIn& in) {
  if (!is_mask(in.fh)) return below_.flush(call, in);
  VFS_CHECK(mask_of(in.fh));
  return Unit{};
}

Status PolicyFs::fallocate(const fuse::Call& call, const abi::FallocateIn& in) {
  const bool shortens = (in.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE)) != 0;
  if (!shortens && limits_.file_size() != kUnlimited) {
    std::uint64_t end = in.offset;
    if ((in.mode & FALLOC_FL_INSERT_RANGE) != 0) {
      VFS_TRY(const auto now, below_.getattr(call, abi::GetattrIn{}));
      end = now.attr.size;
    }
    VFS_CHECK(limits_.check_end(end, in.length));
  }
  // What is allocated takes room as if it were written.
  if (shortens || !limits_.written.is_bounded()) return below_.fallocate(call, in);
  VFS_CHECK(limits_.written.take(in.length, EDQUOT));
  const Status allocated = below_.fallocate(call, in);
  if (!allocated.ok()) limits_.written.give_back(in.length);
  return allocated;
}

Result<abi::LseekOut> PolicyFs::lseek(const fuse::Call& call, const abi::LseekIn& in) {
  if (!is_mask(in.fh)) return below_.lseek(call, in);
  VFS_TRY(const MaskRef mask, mask_of(in.fh));
  if (in.whence != SEEK_DATA && in.whence != SEEK_HOLE) return Errno(EINVAL);
  if (in.offset >= mask->size()) return Errno(ENXIO);
  return abi::LseekOut{in.whence == SEEK_DATA ? in.offset : mask->size()};
}

Result<abi::CopyFileRangeOut> PolicyFs::copy_file_range(const fuse::Call& call, const abi::CopyFileRangeIn& in) {
  // The guest copies by itself then.
  if (is_mask(in.fh_in)) return Errno(EXDEV);
  // See read().
  if (call.negotiated.has(abi::init_flag::kWritebackCache)) {
    VFS_CHECK(permitted(call, call.nodeid, Permission::kRead));
  }
  const auto copied = limits_.bounds_writes() ? copy_within_limits(call, in) : below_.copy_file_range(call, in);
  if (copied.ok()) pace_.charge(copied.value().bytes_copied, Pace::Clock::now());
  return copied;
}

Result<abi::CopyFileRangeOut> PolicyFs::copy_within_limits(const fuse::Call& call, const abi::CopyFileRangeIn& in) {
  VFS_TRY(const std::uint64_t room, room_for(call, in.off_out, in.len, false));
  abi::CopyFileRangeIn part = in;
  part.len = limits_.written.take_some(room);
  if (part.len == 0 && in.len > 0) return Errno(EDQUOT);
  const auto out = below_.copy_file_range(call, part);
  limits_.written.give_back(part.len - (out.ok() ? out.value().bytes_copied : 0));
  return out;
}

}  // namespace vfs::policy
