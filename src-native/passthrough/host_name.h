// HostName: what a name that a guest gave is called in a directory of the host. The same as a rule; with ascii_casefold
// the name of what is there under another spelling.
#pragma once

#include "fuse/name.h"
#include "passthrough/short_text.h"

namespace vfs::passthrough {

class HostName {
 public:
  // The guest's own spelling; borrowed.
  explicit HostName(const fuse::Name& name) : spelt_(name.c_str()) {}
  explicit HostName(const ShortText& found) : folded_(found) {}

  const char* c_str() const { return spelt_ != nullptr ? spelt_ : folded_.c_str(); }
  std::string_view text() const { return c_str(); }

 private:
  const char* spelt_ = nullptr;
  ShortText folded_;  // if spelt_ is null
};

}  // namespace vfs::passthrough
