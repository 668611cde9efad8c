// ThreadConfinement: what the threads that serve requests give up before they take the first. It holds for one thread
// and those that it starts, so that it is fit for a process that belongs to somebody else.
//
// What it can do and what not: threads share their memory, so code that runs in one of them can make another, which is
// not confined, do its work. It takes away what a request can reach by itself: a wrong name, a wrong descriptor, a call
// that no file system makes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"

namespace vfs::sandbox {

struct ConfinementOptions {
  std::optional<Violation> filter;            // none: no filter of system calls
  std::optional<std::uint64_t> capabilities;  // that are kept, by their bits; none: all
  bool landlock = false;
  friend bool operator==(const ConfinementOptions&, const ConfinementOptions&) = default;
};

class ThreadConfinement {
 public:
  // `directories`: the paths outside of which Landlock opens nothing.
  static Result<ThreadConfinement> prepare(const ConfinementOptions& options,
                                           const std::vector<std::string>& directories);

  // Confines the calling thread, unless the thread that started it was confined: then it is so already, and the kernel
  // allows only so many layers. An error leaves a thread that must not serve.
  Status apply() const;

  // In force; 0: Landlock was not asked for, or the kernel has none.
  int landlock_version() const { return landlock_.version; }

 private:
  ConfinementOptions options_;
  Landlock landlock_;
  std::vector<sock_filter> program_;
};

}  // namespace vfs::sandbox
