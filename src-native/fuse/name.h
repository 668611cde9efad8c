// What a guest calls things by, parsed once. A Name that exists is safe to hand to an *at() call: one component, not
// empty, not "." or "..", no '/', no NUL inside, at most NAME_MAX bytes. Names are bytes: UTF-8 is not asked for.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace vfs::fuse {

// One path component. The bytes live as long as the request that they came with.
class Name {
 public:
  const char* c_str() const { return text_.data(); }
  std::string_view text() const { return text_; }

 private:
  friend class Decoder;
  explicit Name(std::string_view text) : text_(text) {}
  std::string_view text_;  // the byte after it is the NUL
};

// The contents of a symlink: any bytes but NUL, 1 to PATH_MAX - 1 of them. Never resolved by us.
class LinkTarget {
 public:
  const char* c_str() const { return text_.data(); }
  std::string_view text() const { return text_; }

 private:
  friend class Decoder;
  explicit LinkTarget(std::string_view text) : text_(text) {}
  std::string_view text_;
};

// The name of an extended attribute: 1 to XATTR_NAME_MAX bytes but NUL. '/' means nothing in it.
class XattrName {
 public:
  const char* c_str() const { return text_.data(); }
  std::string_view text() const { return text_; }

 private:
  friend class Decoder;
  explicit XattrName(std::string_view text) : text_(text) {}
  std::string_view text_;
};

// Stands on the wire and means nothing (TMPFILE carries the name "/" of a nameless dentry).
struct IgnoredName {};

// The names that LOOKUP alone may have, for file handles of a guest's NFS server (EXPORT_SUPPORT).
enum class Dots : std::uint8_t { kNone, kSelf, kParent };

// Reads the parameters of a request, front to back, from its body: our own copy, which the guest can no longer change.
class Decoder {
 public:
  // `extensions`: what the header says stands behind the parameters.
  explicit Decoder(ByteSpan body, ByteSpan extensions = {}) : rest_(body), extensions_(extensions) {}

  // EINVAL: the body is shorter than the structure.
  template <WireValue T>
  Result<T> take() {
    if (rest_.size() < sizeof(T)) return Errno(EINVAL);
    const T value = value_from<T>(rest_);
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }

  // EINVAL: not terminated, empty, ".", "..", or with a '/'. ENAMETOOLONG: more than NAME_MAX bytes.
  Result<Name> take_name();

  // EINVAL: not terminated. ENOENT: empty, as symlink(2) says. ENAMETOOLONG: PATH_MAX bytes or more.
  Result<LinkTarget> take_link_target();

  // ERANGE, as setxattr(2) says: empty or too long. EINVAL: not terminated.
  Result<XattrName> take_xattr_name();

  // EINVAL: not terminated.
  Result<IgnoredName> take_ignored_name();

  // Takes "." or ".." if that is what comes.
  Dots take_dots();

  // The next `length` bytes. EINVAL: there are not so many.
  Result<ByteSpan> take_bytes(std::size_t length);

  ByteSpan rest() const { return rest_; }
  // Extensions of the request: where the header gives no length for them (before 7.38) they are what is left.
  ByteSpan extensions() const { return extensions_.empty() ? rest_ : extensions_; }

 private:
  Result<std::string_view> take_text();
  ByteSpan rest_;
  ByteSpan extensions_;
};

}  // namespace vfs::fuse
