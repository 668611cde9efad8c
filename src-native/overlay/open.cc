// Open files. A file that is open for reading when it is copied up is opened in the upper directory too, as soon as it
// is read again: who has it open sees what others write, as on any file system.
#include <fcntl.h>
#include <sys/stat.h>

#include "overlay/overlay_fs.h"

namespace vfs::overlay {

namespace {

bool writes(std::uint32_t flags) {
  return (flags & std::uint32_t{O_ACCMODE}) != O_RDONLY || (flags & std::uint32_t{O_TRUNC}) != 0;
}

}  // namespace

Result<abi::OpenOut> OverlayFs::open(const fuse::Call& call, const abi::OpenIn& in) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  if (writes(in.flags) && S_ISREG(node->type)) {
    VFS_CHECK(copy_up(call, node, (in.flags & O_TRUNC) != 0 ? Data::kDropped : Data::kCopied));
  }
  const std::uint64_t upper = node->upper.load();
  return upper != 0 ? upper_->open(call_for(call, upper), in) : open_lower(call, *node, in);
}

Result<abi::OpenOut> OverlayFs::open_lower(const fuse::Call& call, const Node& node, const abi::OpenIn& in) const {
  const fuse::Call there = call_for(call, node.lower);
  auto opened = lower_->open(there, abi::OpenIn{in.flags | O_NOATIME, in.open_flags});
  // Somebody else's file.
  if (!opened.ok() && opened.error() == Errno(EPERM)) {
    opened = lower_->open(there, abi::OpenIn{in.flags & ~static_cast<std::uint32_t>(O_NOATIME), in.open_flags});
  }
  if (!opened.ok()) return opened;
  abi::OpenOut out = opened.value();
  out.fh |= kLowerHandle;
  return out;
}

Result<OverlayFs::File> OverlayFs::file_of(const fuse::Call& call, std::uint64_t number, std::uint64_t handle) {
  VFS_TRY(const NodeRef node, nodes_.get(number));
  const std::uint64_t upper = node->upper.load();
  if ((handle & kLowerHandle) == 0) {
    if (upper == 0) return Errno(EBADF);
    return File{*upper_, call_for(call, upper), handle};
  }
  const fuse::Call below = call_for(call, node->lower);
  if (upper == 0) return File{*lower_, below, handle & ~kLowerHandle};
  const fuse::Call above = call_for(call, upper);
  const std::lock_guard lock(reopened_mutex_);
  if (const auto known = reopened_.find(handle); known != reopened_.end()) return File{*upper_, above, known->second};
  // It must be a handle that we have given out.
  VFS_CHECK(lower_->flush(below, abi::FlushIn{handle & ~kLowerHandle, 0, 0, 0}));
  VFS_TRY(const auto opened, upper_->open(above, abi::OpenIn{O_RDONLY, 0}));
  reopened_.emplace(handle, opened.fh);
  return File{*upper_, above, opened.fh};
}

Result<OverlayFs::File> OverlayFs::written_file_of(const fuse::Call& call, std::uint64_t number,
                                                   std::uint64_t handle) const {
  VFS_TRY(const NodeRef node, nodes_.get(number));
  const std::uint64_t upper = node->upper.load();
  // In the lower directory nothing is open for writing.
  if ((handle & kLowerHandle) != 0 || upper == 0) return Errno(EBADF);
  return File{*upper_, call_for(call, upper), handle};
}

Result<std::size_t> OverlayFs::read(const fuse::Call& call, const abi::ReadIn& in, GuestWriter& to) {
  VFS_TRY(const File file, file_of(call, call.nodeid, in.fh));
  abi::ReadIn there = in;
  there.fh = file.handle;
  return file.fs.read(file.call, there, to);
}

Result<abi::WriteOut> OverlayFs::write(const fuse::Call& call, const abi::WriteIn& in, GuestReader& from) {
  VFS_TRY(const File file, written_file_of(call, call.nodeid, in.fh));
  return file.fs.write(file.call, in, from);
}

Status OverlayFs::release(const fuse::Call& call, const abi::ReleaseIn& in) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  const std::uint64_t upper = node->upper.load();
  if ((in.fh & kLowerHandle) == 0) {
    if (upper == 0) return Errno(EBADF);
    return upper_->release(call_for(call, upper), in);
  }
  std::uint64_t reopened = 0;
  {
    const std::lock_guard lock(reopened_mutex_);
    if (const auto known = reopened_.find(in.fh); known != reopened_.end()) {
      reopened = known->second;
      reopened_.erase(known);
    }
  }
  abi::ReleaseIn there = in;
  there.fh = reopened;
  if (reopened != 0) static_cast<void>(upper_->release(call_for(call, upper), there).ok());
  there.fh = in.fh & ~kLowerHandle;
  return lower_->release(call_for(call, node->lower), there);
}

Status OverlayFs::fsync(const fuse::Call& call, const abi::FsyncIn& in) {
  VFS_TRY(const File file, file_of(call, call.nodeid, in.fh));
  abi::FsyncIn there = in;
  there.fh = file.handle;
  return file.fs.fsync(file.call, there);
}

Status OverlayFs::flush(const fuse::Call& call, const abi::FlushIn& in) {
  VFS_TRY(const File file, file_of(call, call.nodeid, in.fh));
  abi::FlushIn there = in;
  there.fh = file.handle;
  return file.fs.flush(file.call, there);
}

Status OverlayFs::fallocate(const fuse::Call& call, const abi::FallocateIn& in) {
  VFS_TRY(const File file, written_file_of(call, call.nodeid, in.fh));
  return file.fs.fallocate(file.call, in);
}

Result<abi::LseekOut> OverlayFs::lseek(const fuse::Call& call, const abi::LseekIn& in) {
  VFS_TRY(const File file, file_of(call, call.nodeid, in.fh));
  abi::LseekIn there = in;
  there.fh = file.handle;
  return file.fs.lseek(file.call, there);
}

Result<abi::CopyFileRangeOut> OverlayFs::copy_file_range(const fuse::Call& call, const abi::CopyFileRangeIn& in) {
  VFS_TRY(const File from, file_of(call, call.nodeid, in.fh_in));
  VFS_TRY(const File to, written_file_of(call, in.nodeid_out, in.fh_out));
  // The guest copies by itself then.
  if (&from.fs != &to.fs) return Errno(EXDEV);
  abi::CopyFileRangeIn there = in;
  there.fh_in = from.handle;
  there.nodeid_out = to.call.nodeid;
  return from.fs.copy_file_range(from.call, there);
}

Result<fuse::FileSystem::IoctlAnswer> OverlayFs::ioctl(const fuse::Call& call, const abi::IoctlIn& in, ByteSpan data,
                                                       MutableByteSpan out) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  if (node->is_directory()) return directory_ioctl(call, node, in, data, out);
  VFS_TRY(const File file, file_of(call, call.nodeid, in.fh));
  abi::IoctlIn there = in;
  there.fh = file.handle;
  auto answer = file.fs.ioctl(file.call, there, data, out);
  if (answer.ok() || answer.error() != Errno(EROFS) || &file.fs != lower_.get()) return answer;
  // It changes the file.
  VFS_CHECK(copy_up(call, node));
  VFS_TRY(const File above, file_of(call, call.nodeid, in.fh));
  there.fh = above.handle;
  return above.fs.ioctl(above.call, there, data, out);
}

// Our handles of directories are none of the file systems below.
Result<fuse::FileSystem::IoctlAnswer> OverlayFs::directory_ioctl(const fuse::Call& call, const NodeRef& node,
                                                                 const abi::IoctlIn& in, ByteSpan data,
                                                                 MutableByteSpan out) {
  VFS_CHECK(directory_of(call, in.fh));
  const auto ask = [&]() -> Result<IoctlAnswer> {
    PassthroughFs& fs = side(*node);
    const fuse::Call there = side_call(call, *node);
    VFS_TRY(const auto opened, fs.opendir(there, abi::OpenIn{}));
    abi::IoctlIn asked = in;
    asked.fh = opened.fh;
    auto answer = fs.ioctl(there, asked, data, out);
    static_cast<void>(fs.releasedir(there, abi::ReleaseIn{opened.fh, 0, 0, 0}).ok());
    return answer;
  };
  auto answer = ask();
  if (answer.ok() || answer.error() != Errno(EROFS) || node->upper.load() != 0) return answer;
  VFS_CHECK(copy_up(call, node));
  return ask();
}

}  // namespace vfs::overlay
