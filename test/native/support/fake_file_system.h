// FakeFileSystem: a FileSystem that remembers how it was called and answers what the test has put into its fields.
//
// Threading: methods may run in several threads; the fields are set before they do.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/file_system.h"

namespace vfs::test {

// One call of a method: which, by whom, and the parameters as they were on the wire.
struct Recorded {
  std::string method;
  fuse::Call call{};
  std::vector<std::byte> structures;  // one after the other
  std::vector<std::string> names;

  template <WireValue T>
  T as() const {
    VFS_ASSERT(structures.size() == sizeof(T));
    return value_from<T>(structures);
  }
};

class FakeFileSystem : public fuse::FileSystem {
 public:
  using Call = fuse::Call;
  using Name = fuse::Name;

  // --- what the test sets
  // First of all in every method, before it has looked at its parameters.
  std::function<void(std::string_view method)> at_entry = [](std::string_view) {};
  // Before any method answers, on its thread, with no lock held. An error becomes the method's.
  std::function<Status(const Recorded&)> before = [](const Recorded&) { return ok_status(); };
  std::function<Result<std::uint64_t>(std::uint32_t session, std::uint64_t offered)> on_init =
      [](std::uint32_t, std::uint64_t offered) -> Result<std::uint64_t> { return offered; };
  // What a process before this one has left.
  std::optional<fuse::SessionTerms> kept;
  std::function<Result<std::size_t>(const Call&, const abi::ReadIn&, GuestWriter&)> on_read =
      [](const Call&, const abi::ReadIn&, GuestWriter&) -> Result<std::size_t> { return std::size_t{0}; };
  std::function<Result<std::uint32_t>(const Call&, const abi::WriteIn&, GuestReader&)> on_write =
      [](const Call&, const abi::WriteIn& in, GuestReader&) -> Result<std::uint32_t> { return in.size; };
  std::function<Status(const abi::ReadIn&, fuse::DirectorySink&)> on_readdir =
      [](const abi::ReadIn&, fuse::DirectorySink&) { return ok_status(); };
  std::function<Status(const abi::ReadIn&, fuse::DirectoryPlusSink&)> on_readdirplus =
      [](const abi::ReadIn&, fuse::DirectoryPlusSink&) { return ok_status(); };
  abi::EntryOut entry{};
  abi::AttrOut attr{};
  abi::OpenOut opened{};
  abi::StatfsOut stats{};
  std::uint64_t position = 0;
  std::string target = "target";
  abi::StatxOut extended{};
  std::string xattr = "value";  // GETXATTR's value, and LISTXATTR's names
  fuse::FileSystem::IoctlAnswer ioctl_answer{0, 0};
  std::uint64_t copied = 0;

  // --- what the test asks
  std::vector<Recorded> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::size_t count(std::string_view method) const {
    const std::lock_guard lock(mutex_);
    std::size_t n = 0;
    for (const Recorded& call : calls_) n += call.method == method ? 1U : 0U;
    return n;
  }
  Recorded last() const {
    const std::lock_guard lock(mutex_);
    VFS_ASSERT(!calls_.empty());
    return calls_.back();
  }
  void forget_calls() {
    const std::lock_guard lock(mutex_);
    calls_.clear();
  }

  // --- FileSystem
  Result<std::uint64_t> init(std::uint32_t session, std::uint64_t offered) override {
    VFS_CHECK(record("init", {}, session));
    return on_init(session, offered);
  }
  std::optional<fuse::SessionTerms> resume(std::uint32_t session,
                                           const std::function<bool(const fuse::SessionTerms&)>& fits) override {
    static_cast<void>(record("resume", {}, session));
    return kept.has_value() && fits(*kept) ? kept : std::nullopt;
  }
  void destroy() override { static_cast<void>(record("destroy", {}).ok()); }
  Result<abi::EntryOut> lookup(const Call& call, const Name& name) override {
    return after(record("lookup", call, name), entry);
  }
  void forget(const Call& call, std::uint64_t nodeid, std::uint64_t count) override {
    static_cast<void>(record("forget", call, nodeid, count).ok());
  }
  Result<abi::AttrOut> getattr(const Call& call, const abi::GetattrIn& in) override {
    return after(record("getattr", call, in), attr);
  }
  Result<abi::AttrOut> setattr(const Call& call, const abi::SetattrIn& in) override {
    return after(record("setattr", call, in), attr);
  }
  Result<std::size_t> readlink(const Call& call, MutableByteSpan into) override {
    VFS_CHECK(record("readlink", call));
    return copy_bytes(into, std::as_bytes(std::span(target)));
  }
  Result<abi::EntryOut> symlink(const Call& call, const Name& name, const fuse::LinkTarget& to,
                                const fuse::Creation& creation) override {
    return after(record("symlink", call, name, to, creation), entry);
  }
  Result<abi::EntryOut> mknod(const Call& call, const abi::MknodIn& in, const Name& name,
                              const fuse::Creation& creation) override {
    return after(record("mknod", call, in, name, creation), entry);
  }
  Result<abi::EntryOut> mkdir(const Call& call, const abi::MkdirIn& in, const Name& name,
                              const fuse::Creation& creation) override {
    return after(record("mkdir", call, in, name, creation), entry);
  }
  Status unlink(const Call& call, const Name& name) override { return record("unlink", call, name); }
  Status rmdir(const Call& call, const Name& name) override { return record("rmdir", call, name); }
  Status rename(const Call& call, const abi::Rename2In& in, const Name& from, const Name& to) override {
    return record("rename", call, in, from, to);
  }
  Result<abi::EntryOut> link(const Call& call, const abi::LinkIn& in, const Name& name) override {
    return after(record("link", call, in, name), entry);
  }
  Result<abi::OpenOut> open(const Call& call, const abi::OpenIn& in) override {
    return after(record("open", call, in), opened);
  }
  Result<abi::CreateOut> create(const Call& call, const abi::CreateIn& in, const Name& name,
                                const fuse::Creation& creation) override {
    return after(record("create", call, in, name, creation), abi::CreateOut{entry, opened});
  }
  Result<std::size_t> read(const Call& call, const abi::ReadIn& in, GuestWriter& to) override {
    VFS_CHECK(record("read", call, in));
    return on_read(call, in, to);
  }
  Result<abi::WriteOut> write(const Call& call, const abi::WriteIn& in, GuestReader& from) override {
    VFS_CHECK(record("write", call, in));
    VFS_TRY(const std::uint32_t written, on_write(call, in, from));
    return abi::WriteOut{written, 0};
  }
  Result<abi::StatfsOut> statfs(const Call& call) override { return after(record("statfs", call), stats); }
  Status release(const Call& call, const abi::ReleaseIn& in) override { return record("release", call, in); }
  // As on a disk.
  Status fsync(const Call& call, const abi::FsyncIn& in) override {
    return call.may_wait ? record("fsync", call, in) : Status(kWouldWait);
  }
  Status flush(const Call& call, const abi::FlushIn& in) override { return record("flush", call, in); }
  Result<abi::OpenOut> opendir(const Call& call, const abi::OpenIn& in) override {
    return after(record("opendir", call, in), opened);
  }
  Status readdir(const Call& call, const abi::ReadIn& in, fuse::DirectorySink& sink) override {
    VFS_CHECK(record("readdir", call, in));
    return on_readdir(in, sink);
  }
  Status readdirplus(const Call& call, const abi::ReadIn& in, fuse::DirectoryPlusSink& sink) override {
    VFS_CHECK(record("readdirplus", call, in));
    return on_readdirplus(in, sink);
  }
  Status releasedir(const Call& call, const abi::ReleaseIn& in) override { return record("releasedir", call, in); }
  // As on a disk.
  Status fsyncdir(const Call& call, const abi::FsyncIn& in) override {
    return call.may_wait ? record("fsyncdir", call, in) : Status(kWouldWait);
  }
  Status access(const Call& call, const abi::AccessIn& in) override { return record("access", call, in); }
  Status fallocate(const Call& call, const abi::FallocateIn& in) override { return record("fallocate", call, in); }
  Result<abi::LseekOut> lseek(const Call& call, const abi::LseekIn& in) override {
    return after(record("lseek", call, in), abi::LseekOut{position});
  }
  Result<abi::EntryOut> lookup_self(const Call& call) override { return after(record("lookup_self", call), entry); }
  Result<abi::EntryOut> lookup_parent(const Call& call) override { return after(record("lookup_parent", call), entry); }
  Result<abi::StatxOut> statx(const Call& call, const abi::StatxIn& in) override {
    return after(record("statx", call, in), extended);
  }
  Status setxattr(const Call& call, const abi::SetxattrIn& in, const fuse::XattrName& name, ByteSpan value) override {
    return record("setxattr", call, in, name, value);
  }
  Result<std::size_t> getxattr(const Call& call, const fuse::XattrName& name, MutableByteSpan into) override {
    VFS_CHECK(record("getxattr", call, name));
    return give_xattr(into);
  }
  Result<std::size_t> listxattr(const Call& call, MutableByteSpan into) override {
    VFS_CHECK(record("listxattr", call));
    return give_xattr(into);
  }
  Status removexattr(const Call& call, const fuse::XattrName& name) override {
    return record("removexattr", call, name);
  }
  Result<abi::CopyFileRangeOut> copy_file_range(const Call& call, const abi::CopyFileRangeIn& in) override {
    return after(record("copy_file_range", call, in), abi::CopyFileRangeOut{copied});
  }
  Status syncfs(const Call& call, const abi::SyncfsIn& in) override { return record("syncfs", call, in); }
  Result<abi::CreateOut> tmpfile(const Call& call, const abi::CreateIn& in, const fuse::IgnoredName&,
                                 const fuse::Creation& creation) override {
    return after(record("tmpfile", call, in, creation), abi::CreateOut{entry, opened});
  }
  Result<abi::LkOut> getlk(const Call& call, const abi::LkIn& in) override {
    return after(record("getlk", call, in), abi::LkOut{in.lk});
  }
  Status setlk(const Call& call, const abi::LkIn& in) override { return record("setlk", call, in); }
  Status setlkw(const Call& call, const abi::LkIn& in) override { return record("setlkw", call, in); }
  void stops_waiting(std::uint64_t unique) override { static_cast<void>(record("stops_waiting", {}, unique).ok()); }
  Result<IoctlAnswer> ioctl(const Call& call, const abi::IoctlIn& in, ByteSpan data, MutableByteSpan out) override {
    VFS_CHECK(record("ioctl", call, in, data));
    copy_bytes(out.first(ioctl_answer.out_bytes), data);
    return ioctl_answer;
  }
  Result<abi::CreateOut> open_atomic(const Call& call, const abi::CreateIn& in, const Name& name,
                                     const fuse::Creation& creation) override {
    return after(record("open_atomic", call, in, name, creation), abi::CreateOut{entry, opened});
  }
  Result<abi::EntryOut> chromeos_tmpfile(const Call& call, const abi::ChromeosTmpfileIn& in,
                                         const fuse::Creation& creation) override {
    return after(record("chromeos_tmpfile", call, in, creation), entry);
  }

 private:
  static void note(Recorded& into, const Name& name) { into.names.emplace_back(name.text()); }
  static void note(Recorded& into, const fuse::LinkTarget& target) { into.names.emplace_back(target.text()); }
  static void note(Recorded& into, const fuse::XattrName& name) { into.names.emplace_back(name.text()); }
  static void note(Recorded& into, ByteSpan data) { into.names.emplace_back(text_of(data)); }
  static void note(Recorded& into, const fuse::Creation& creation) {
    for (const auto& context : creation.security_contexts()) {
      into.names.emplace_back(context.name);
      into.names.emplace_back(text_of(context.value));
    }
    for (const std::uint32_t group : creation.groups()) into.names.push_back("group " + std::to_string(group));
  }
  Result<std::size_t> give_xattr(MutableByteSpan into) const {
    if (!into.empty() && into.size() < xattr.size()) return Errno(ERANGE);
    copy_bytes(into, std::as_bytes(std::span(xattr)));
    return xattr.size();
  }
  template <WireValue T>
  static void note(Recorded& into, const T& value) {
    const ByteSpan bytes = bytes_of(value);
    into.structures.insert(into.structures.end(), bytes.begin(), bytes.end());
  }

  template <typename... Parameters>
  Status record(const char* method, const Call& call, const Parameters&... parameters) {
    at_entry(method);
    Recorded recorded{method, call, {}, {}};
    (note(recorded, parameters), ...);
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(recorded);
    }
    return before(recorded);
  }

  template <typename Reply>
  static Result<Reply> after(const Status& status, const Reply& reply) {
    VFS_CHECK(status);
    return reply;
  }

  mutable std::mutex mutex_;  // guards calls_; `before` runs without it
  std::vector<Recorded> calls_;
};

}  // namespace vfs::test
