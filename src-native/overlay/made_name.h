// A Name of our own: what a listing told us, or what stands in the work directory, for calls that take a guest's.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "fuse/name.h"

namespace vfs::overlay {

class MadeName {
 public:
  explicit MadeName(std::string_view text) : bytes_(text.size() + 1) {
    copy_bytes(bytes_, std::as_bytes(std::span(text)));
    fuse::Decoder decoder(bytes_);
    if (const auto name = decoder.take_name(); name.ok()) name_ = name.value();
  }
  MadeName(const MadeName&) = delete;
  MadeName& operator=(const MadeName&) = delete;

  // Nothing: "." and "..", and what is too long to be looked up.
  const std::optional<fuse::Name>& name() const { return name_; }

 private:
  std::vector<std::byte> bytes_;
  std::optional<fuse::Name> name_;
};

}  // namespace vfs::overlay
