// ScannedName: a fuse::Name for what a directory of the share lists, which only the decoder can make.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "fuse/name.h"

namespace vfs::policy {

class ScannedName {
 public:
  explicit ScannedName(std::string_view text) : bytes_(text.size() + 1) {
    copy_bytes(bytes_, std::as_bytes(std::span(text)));
    fuse::Decoder decoder(bytes_);
    if (const auto name = decoder.take_name(); name.ok()) name_ = name.value();
  }
  ScannedName(const ScannedName&) = delete;
  ScannedName& operator=(const ScannedName&) = delete;

  // Nothing: "." and "..", and what is too long to be looked up.
  const std::optional<fuse::Name>& name() const { return name_; }

 private:
  std::vector<std::byte> bytes_;
  std::optional<fuse::Name> name_;
};

}  // namespace vfs::policy
