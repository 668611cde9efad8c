// Creation: what comes with a request that creates something, besides name and mode: the extensions of the request
// (SECURITY_CTX, 7.36; CREATE_SUPP_GROUP, 7.38). The bytes live as long as the request.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "fuse/abi.h"

namespace vfs::fuse {

// An extended attribute that the new object has from the beginning.
struct SecurityContext {
  std::string_view name;  // the byte after it is the NUL; 1 to XATTR_NAME_MAX bytes
  ByteSpan value;
};

class Creation {
 public:
  // More groups than Linux sends (one: the one by which the caller may write the directory) are refused above this.
  static constexpr std::size_t kGroupsMax = 32;

  Creation() = default;
  // EINVAL: sizes that do not fit, an unknown type, a kind that occurs twice, or more than there can be.
  static Result<Creation> parse(ByteSpan extensions);

  std::span<const SecurityContext> security_contexts() const { return {contexts_.data(), context_count_}; }
  std::span<const std::uint32_t> groups() const { return {groups_.data(), group_count_}; }
  std::span<std::uint32_t> mutable_groups() { return {groups_.data(), group_count_}; }

 private:
  Status take_contexts(ByteSpan record, std::uint32_t count);
  Status take_groups(ByteSpan record);

  std::array<SecurityContext, abi::kSecurityContextsMax> contexts_{};
  std::array<std::uint32_t, kGroupsMax> groups_{};
  std::size_t context_count_ = 0;
  std::size_t group_count_ = 0;
};

}  // namespace vfs::fuse
