// HardLinks: which files of the share are hidden under one of their names. A file that has several names and is looked
// up by one of them could be hidden by another, and no name tells. So what is hidden is looked for: the rules say where
// it can be, those directories are listed, and the inode numbers of what is hidden there are remembered.
//
// That is done when the first file with several names is looked up, and again only for a file that was changed after
// the last time: making another name changes a file's ctime. What the search could not see (too much, an error) counts
// as hidden.
//
// Threading: from any thread; whoever asks while a search is under way waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "fuse/file_system.h"
#include "policy/rules.h"

namespace vfs::policy {

class HiddenLinks {
 public:
  explicit HiddenLinks(fuse::FileSystem& below) : below_(below) {}

  struct File {
    std::uint64_t ino;
    std::uint64_t changed_seconds;  // ctime; 0: whenever
    std::uint32_t changed_nanoseconds;
  };
  // `root`: the State of the root, by the rules of now.
  bool contains(const fuse::Call& call, const StateRef& root, const File& file);
  // The same without a search: what the last one has found.
  bool knows(const StateRef& any, std::uint64_t ino);
  void forget();

 private:
  // What is looked at, at most; a share that has more is searched in vain.
  static constexpr std::size_t kEntriesMax = std::size_t{1} << 21;
  // Directories above each other, at most.
  static constexpr std::size_t kDepthMax = 4096;
  struct Search;

  bool search(const fuse::Call& call, const StateRef& root);

  fuse::FileSystem& below_;
  std::mutex mutex_;  // guards all below; held while searching
  std::uint64_t generation_ = 0;
  std::int64_t begun_ns_ = 0;  // when the last search began, since 1970; 0: there was none
  bool complete_ = false;
  std::unordered_set<std::uint64_t> hidden_;
};

}  // namespace vfs::policy
