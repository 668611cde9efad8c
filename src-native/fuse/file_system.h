// FileSystem: what the FUSE server asks of a file system. The parameters are the wire layout, in order; the result is
// the reply. A handler never mentions lengths, unique ids, guest memory or reply headers.
//
// Threading: every method may be called from several threads at once. A method runs on the queue's own thread first
// (Call::may_wait false) if its row in op_table.h says that it tries without waiting; it then returns kWouldWait
// instead of blocking and is called again, with the same arguments, where waiting is allowed.
//
// Errors: an Errno of 1..511 goes to the guest as it is. A method that returns an error has left no trace: no lookup
// count, no handle. Unknown node ids and handles are EBADF ("ESTALE" would make a guest retry a lookup by name that
// has nothing to do with it), except where a comment says otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "fuse/abi.h"
#include "fuse/creation.h"
#include "fuse/name.h"
#include "memory/guest_io.h"

namespace vfs::fuse {

// What INIT settled between guest and server.
struct Negotiated {
  std::uint32_t minor = 0;
  std::uint64_t flags = 0;  // init_flag bits that both sides have

  bool has(std::uint64_t flag) const { return (flags & flag) != 0; }
};

// What another process must know to go on with a session: what INIT has settled, and from what.
struct SessionTerms {
  std::uint32_t minor;
  std::uint32_t write_bytes_max;
  std::uint64_t offered;  // by the guest
  std::uint64_t wanted;   // by the file system
  std::uint64_t flags;    // that both sides have
};

// Who asks, and how: the fields of the request header that a handler may look at.
struct Call {
  std::uint64_t nodeid;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t pid;
  // Which FUSE session this request belongs to: what it creates must not show up in the next one.
  std::uint32_t session;
  // False: return kWouldWait instead of waiting for a disk or a lock.
  bool may_wait;
  Negotiated negotiated;
  std::uint64_t unique = 0;  // the request's number
};

// Where READDIR and READDIRPLUS put their entries. False: no room, the entry and all after it are not taken.
class DirectorySink {
 public:
  // `cookie` is where reading goes on after this entry. `type` is a DT_ value.
  virtual bool add(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) = 0;

 protected:
  ~DirectorySink() = default;
};

class DirectoryPlusSink {
 public:
  // Whether an entry with a name of this length still fits: ask before the lookup that would have to be undone.
  virtual bool fits(std::size_t name_length) const = 0;
  // `entry.nodeid` 0: listed, but the guest must look it up itself ("." and "..", and what vanished meanwhile).
  virtual void add(const abi::EntryOut& entry, std::uint64_t ino, std::uint64_t cookie, std::uint32_t type,
                   std::string_view name) = 0;

 protected:
  ~DirectoryPlusSink() = default;
};

// Told, from any thread, that what a request waits for may have come true: it is worth another try.
class Unparker {
 public:
  // `nodeid` 0: whatever it waits for. Must not call the file system.
  virtual void unpark(std::uint64_t nodeid) = 0;

 protected:
  ~Unparker() = default;
};

// Hears of what resume() has brought back.
class ResumedObjects {
 public:
  // Where it was found last; no name: nobody knows.
  virtual void node(std::uint64_t id, std::uint64_t lookups, bool is_directory, std::uint64_t parent,
                    std::string_view name) = 0;
  virtual void handle(std::uint64_t id, bool appends) = 0;

 protected:
  ~ResumedObjects() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // A new session begins: everything of the one before is forgotten. Returns the init_flag bits that it wants of
  // those offered by the guest. EIO and the like: the session does not begin.
  virtual Result<std::uint64_t> init(std::uint32_t session, std::uint64_t offered) = 0;
  // What init() has led to; before any request of the session is served.
  virtual void session_begun(const SessionTerms&) {}
  // Goes on, as `session`, with one that a process before this one did not end, if there is one and `fits` says that
  // the server can. Before the first request.
  virtual std::optional<SessionTerms> resume([[maybe_unused]] std::uint32_t session,
                                             [[maybe_unused]] const std::function<bool(const SessionTerms&)>& fits) {
    return std::nullopt;
  }
  // After resume() has gone on with a session, and before the first request.
  virtual void list_resumed(ResumedObjects&) const {}
  // The session ends: all nodes and handles go. Also called without a request when the device is reset.
  virtual void destroy() = 0;

  virtual Result<abi::EntryOut> lookup(const Call&, const Name&) = 0;
  // LOOKUP of "." and "..", which a guest with EXPORT_SUPPORT sends: Call::nodeid itself, and the directory that it is
  // in. The parent of the root is the root.
  virtual Result<abi::EntryOut> lookup_self(const Call&) { return Errno(ENOSYS); }
  virtual Result<abi::EntryOut> lookup_parent(const Call&) { return Errno(ENOSYS); }
  virtual void forget(const Call&, std::uint64_t nodeid, std::uint64_t count) = 0;
  virtual Result<abi::AttrOut> getattr(const Call&, const abi::GetattrIn&) = 0;
  virtual Result<abi::AttrOut> setattr(const Call&, const abi::SetattrIn&) = 0;
  // Fills `into` and returns the length; no NUL is added.
  virtual Result<std::size_t> readlink(const Call&, MutableByteSpan into) = 0;
  virtual Result<abi::EntryOut> symlink(const Call&, const Name&, const LinkTarget&, const Creation&) = 0;
  virtual Result<abi::EntryOut> mknod(const Call&, const abi::MknodIn&, const Name&, const Creation&) = 0;
  virtual Result<abi::EntryOut> mkdir(const Call&, const abi::MkdirIn&, const Name&, const Creation&) = 0;
  virtual Status unlink(const Call&, const Name&) = 0;
  virtual Status rmdir(const Call&, const Name&) = 0;
  // RENAME arrives here too, with flags 0. Call::nodeid is the old directory, Rename2In::newdir the new one.
  virtual Status rename(const Call&, const abi::Rename2In&, const Name& from, const Name& to) = 0;
  // Call::nodeid is the directory.
  virtual Result<abi::EntryOut> link(const Call&, const abi::LinkIn&, const Name&) = 0;
  virtual Result<abi::OpenOut> open(const Call&, const abi::OpenIn&) = 0;
  virtual Result<abi::CreateOut> create(const Call&, const abi::CreateIn&, const Name&, const Creation&) = 0;
  // At most in.size bytes into `to`, which has at least so much room; fewer only at the end of the file.
  virtual Result<std::size_t> read(const Call&, const abi::ReadIn&, GuestWriter& to) = 0;
  // Exactly in.size bytes are in `from`. Returns how many were written. Like read, it is asked not to wait first.
  virtual Result<abi::WriteOut> write(const Call&, const abi::WriteIn&, GuestReader& from) = 0;
  virtual Result<abi::StatfsOut> statfs(const Call&) = 0;
  virtual Status release(const Call&, const abi::ReleaseIn&) = 0;
  virtual Status fsync(const Call&, const abi::FsyncIn&) = 0;
  virtual Status flush(const Call&, const abi::FlushIn&) = 0;
  virtual Result<abi::OpenOut> opendir(const Call&, const abi::OpenIn&) = 0;
  virtual Status readdir(const Call&, const abi::ReadIn&, DirectorySink&) = 0;
  // Each entry given to the sink with a node id counts as one lookup.
  virtual Status readdirplus(const Call&, const abi::ReadIn&, DirectoryPlusSink&) = 0;
  virtual Status releasedir(const Call&, const abi::ReleaseIn&) = 0;
  virtual Status fsyncdir(const Call&, const abi::FsyncIn&) = 0;
  virtual Status access(const Call&, const abi::AccessIn&) = 0;
  virtual Status fallocate(const Call&, const abi::FallocateIn&) = 0;
  virtual Result<abi::LseekOut> lseek(const Call&, const abi::LseekIn&) = 0;

  // --- What a file system may lack: ENOSYS makes Linux ask no more, and do without or by itself.
  virtual Result<abi::StatxOut> statx(const Call&, const abi::StatxIn&) { return Errno(ENOSYS); }
  virtual Status setxattr(const Call&, const abi::SetxattrIn&, const XattrName&, ByteSpan) { return Errno(ENOSYS); }
  // Fills `into` and returns the length; ERANGE if it is too small. An empty `into` asks for the length only.
  virtual Result<std::size_t> getxattr(const Call&, const XattrName&, MutableByteSpan) { return Errno(ENOSYS); }
  // Names with their NULs, like listxattr(2); the same for an empty buffer.
  virtual Result<std::size_t> listxattr(const Call&, MutableByteSpan) { return Errno(ENOSYS); }
  virtual Status removexattr(const Call&, const XattrName&) { return Errno(ENOSYS); }
  // COPY_FILE_RANGE arrives here too. Call::nodeid is the source. Short copies are answers.
  virtual Result<abi::CopyFileRangeOut> copy_file_range(const Call&, const abi::CopyFileRangeIn&) {
    return Errno(ENOSYS);
  }
  virtual Status syncfs(const Call&, const abi::SyncfsIn&) { return Errno(ENOSYS); }
  // A file without a name in the directory Call::nodeid, open.
  virtual Result<abi::CreateOut> tmpfile(const Call&, const abi::CreateIn&, const IgnoredName&, const Creation&) {
    return Errno(ENOSYS);
  }
  // A lock that is in the way of this one, or one of type F_UNLCK. SETLK takes or gives up a lock of the owner: EAGAIN
  // if it conflicts with another's. SETLKW returns kWouldWait then and is called again, whatever Call::may_wait says:
  // a file system never waits for a lock (see Wait::kPark). LkIn::lk_flags tells flock(2) from fcntl(2).
  virtual Result<abi::LkOut> getlk(const Call&, const abi::LkIn&) { return Errno(ENOSYS); }
  virtual Status setlk(const Call&, const abi::LkIn&) { return Errno(ENOSYS); }
  virtual Status setlkw(const Call&, const abi::LkIn&) { return Errno(ENOSYS); }
  // The request with this number, which may have been answered kWouldWait by setlkw, is not going to be tried again.
  virtual void stops_waiting(std::uint64_t /*unique*/) {}
  // What the ioctl itself fails with is IoctlAnswer::result; an Errno is for requests that never got so far. ENOTTY:
  // there is no such ioctl here.
  struct IoctlAnswer {
    std::int32_t result;    // what ioctl(2) returned, or a negative errno
    std::size_t out_bytes;  // of the buffer that were filled
  };
  virtual Result<IoctlAnswer> ioctl(const Call&, const abi::IoctlIn&, ByteSpan, MutableByteSpan) {
    return Errno(ENOSYS);
  }
  // LOOKUP and then OPEN or CREATE in one, and TMPFILE that does not open: of ChromeOS kernels. An entry with node 0 in
  // the first's reply: there is no such file, and that may be remembered.
  virtual Result<abi::CreateOut> open_atomic(const Call&, const abi::CreateIn&, const Name&, const Creation&) {
    return Errno(ENOSYS);
  }
  virtual Result<abi::EntryOut> chromeos_tmpfile(const Call&, const abi::ChromeosTmpfileIn&, const Creation&) {
    return Errno(ENOSYS);
  }
};

}  // namespace vfs::fuse
