#include "passthrough/dir_stream.h"

#include <climits>
#include <cstring>

#include "base/sys.h"

namespace vfs::passthrough {

namespace {

// struct linux_dirent64, which no header of the C library declares: d_ino, d_off, d_reclen, d_type, d_name.
constexpr std::size_t kInoOffset = 0;
constexpr std::size_t kOffOffset = 8;
constexpr std::size_t kReclenOffset = 16;
constexpr std::size_t kTypeOffset = 18;
constexpr std::size_t kNameOffset = 19;

std::uint16_t record_length(ByteSpan record) { return value_from<std::uint16_t>(record.subspan(kReclenOffset)); }

}  // namespace

DirBuffers::Buffer DirBuffers::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      Buffer buffer = std::move(spare_.back());
      spare_.pop_back();
      return buffer;
    }
  }
  return std::make_unique_for_overwrite<std::byte[]>(kSize);
}

void DirBuffers::give_back(Buffer buffer) {
  const std::lock_guard lock(mutex_);
  if (spare_.size() < kSpareMax) spare_.push_back(std::move(buffer));
}

void DirStream::drop_buffer() {
  begin_ = end_ = 0;
  if (buffer_ != nullptr) buffers_->give_back(std::move(buffer_));
}

Status DirStream::seek(std::uint64_t cookie) {
  // At the beginning nothing that was read before may be left: it is a listing of its own.
  if (cookie == position_ && (cookie != 0 || begin_ == end_)) return Unit{};
  if (cookie > INT64_MAX) return Errno(EINVAL);
  VFS_CHECK(sys::lseek(fd_.get(), static_cast<std::int64_t>(cookie), SEEK_SET));
  drop_buffer();
  position_ = cookie;
  return Unit{};
}

Status DirStream::refill() {
  if (buffer_ == nullptr) buffer_ = buffers_->take();
  VFS_TRY(end_, sys::getdents64(fd_.get(), MutableByteSpan(buffer_.get(), DirBuffers::kSize)));
  begin_ = 0;
  // Most streams are not read again after their end.
  if (end_ == 0) drop_buffer();
  return Unit{};
}

Result<bool> DirStream::peek(DirEntry& entry) {
  if (begin_ == end_) VFS_CHECK(refill());
  if (begin_ == end_) return false;
  const ByteSpan rest = unread();
  // A FUSE file system below us could be as wrong as any peer.
  if (rest.size() <= kNameOffset) return Errno(EIO);
  const std::size_t length = record_length(rest);
  if (length <= kNameOffset || length > rest.size()) return Errno(EIO);
  const std::string_view padded = text_of(rest.subspan(kNameOffset, length - kNameOffset));
  const std::size_t name_length = padded.find('\0');
  if (name_length == std::string_view::npos) return Errno(EIO);
  entry.ino = value_from<std::uint64_t>(rest.subspan(kInoOffset));
  entry.cookie = value_from<std::uint64_t>(rest.subspan(kOffOffset));
  entry.type = std::to_integer<std::uint32_t>(rest[kTypeOffset]);
  entry.name = padded.substr(0, name_length);
  return true;
}

void DirStream::consume(const DirEntry& entry) {
  begin_ += record_length(unread());
  position_ = entry.cookie;
}

}  // namespace vfs::passthrough
