// SessionFile: the file that keeps a FUSE session when the process is killed, so that the next one goes on with it:
// what INIT has settled, the nodes and the handles. docs/decisions/0007-session-file.md says why it is a file, and of
// whom it must be safe.
//
// It is the daemon's own: neither guest nor frontend can reach it. What is in it is checked all the same when it is
// read, because a version of tomorrow or a hand with an editor may have written it; it is then begun anew.
//
// Threading: set_terms() and end() by one thread at a time; the records as records.h says.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fuse/file_system.h"
#include "passthrough/inode.h"
#include "passthrough/session_records.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

class SessionFile {
 public:
  // Of the tables that are recorded. Chosen so that the slots of a table are a power of two, and not by the limits of
  // the process: the file of a process with other limits must fit.
  static constexpr std::size_t kNodesMax = (std::size_t{1} << 22) - kSlotShards;
  static constexpr std::size_t kHandlesMax = (std::size_t{1} << 20) - kSlotShards;

  // Which object a share's root is.
  struct Root {
    std::uint64_t device;
    std::uint64_t ino;
    BirthTime born;
    friend bool operator==(const Root&, const Root&) = default;
  };

  enum class Found {
    kNothing,   // an empty file, or one whose session has ended
    kSession,   // of the same share
    kUnusable,  // it makes no sense, or is of another share
  };

  // Takes a file that is locked (flock(2)) and the caller's alone. What is in it stays if it is kSession.
  static Result<std::unique_ptr<SessionFile>> open(UniqueFd fd, const Root& root);
  ~SessionFile();
  SessionFile(const SessionFile&) = delete;
  SessionFile& operator=(const SessionFile&) = delete;

  int fd() const { return fd_.get(); }
  Found found() const { return found_; }
  // Of the session that was found.
  fuse::SessionTerms terms() const;

  // A session has begun.
  void set_terms(const fuse::SessionTerms& terms);
  // It has ended. Records are their owners' to remove.
  void end();
  // As if the file had been empty.
  Status discard();

  NodeRecords& nodes() { return *nodes_; }
  HandleRecords& files() { return *files_; }
  HandleRecords& directories() { return *directories_; }

 private:
  struct Header;
  SessionFile(UniqueFd fd, void* mapped, const Root& root);
  Header& header() const { return *static_cast<Header*>(mapped_); }
  Found examine() const;
  Status prepare();
  void make_records();

  const UniqueFd fd_;
  void* const mapped_;
  const Root root_;
  Found found_ = Found::kNothing;
  std::unique_ptr<NodeRecords> nodes_;
  std::unique_ptr<HandleRecords> files_;
  std::unique_ptr<HandleRecords> directories_;
};

}  // namespace vfs::passthrough
