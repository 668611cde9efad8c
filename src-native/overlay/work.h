// Work: the work directory, on the file system of the upper one. Everything that appears in the upper directory is
// made here and renamed into its place when it is whole.
//
// Threading: every method from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "overlay/format.h"
#include "passthrough/proc_fd.h"

namespace vfs::overlay {

class Work {
 public:
  // What a process before left half done is removed. EBUSY: another device works here. EXDEV: it is not on the upper
  // directory's file system. EOPNOTSUPP: that file system has not what overlayfs needs: whiteouts, and renaming that
  // leaves one.
  static Result<Work> open(const std::string& path, int upper, const passthrough::ProcFd& proc);
  Work(Work&& other) noexcept
      : path_(std::move(other.path_)), locked_(std::move(other.locked_)), next_(other.next_.load()) {}
  Work& operator=(Work&&) = delete;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  ~Work() = default;

  int fd() const { return path_.get(); }
  // That nothing has here.
  std::string fresh_name();
  Status make_whiteout(const std::string& name) const;
  // Removes something of ours, with all that is in it. Nobody hears of a failure: the next start tries again.
  void drop(const std::string& name) const;
  // Which attributes can be set there: with our privilege those of overlayfs.
  Result<XattrNames> usable_names(const passthrough::ProcFd& proc);

 private:
  Work(UniqueFd path, UniqueFd locked) : path_(std::move(path)), locked_(std::move(locked)) {}
  Status probe();

  UniqueFd path_;    // O_PATH
  UniqueFd locked_;  // the lock is its open file's
  std::atomic<std::uint64_t> next_{0};
};

}  // namespace vfs::overlay
