// A PassthroughFs on a temporary directory, and what its callers need: names, guest buffers, sinks.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "passthrough/passthrough_fs.h"
#include "support/temp_dir.h"

namespace vfs::test {

// A Name (or LinkTarget), which only the decoder can make, together with the bytes that it stands on.
class NameOf {
 public:
  explicit NameOf(const std::string& text) : body_(text.size() + 1) {
    copy_bytes(body_, std::as_bytes(std::span(text)));
    fuse::Decoder decoder(body_);
    auto taken = decoder.take_name();
    if (taken.ok()) name_.emplace(taken.value());
  }
  NameOf(const NameOf&) = delete;
  NameOf& operator=(const NameOf&) = delete;
  operator const fuse::Name&() const { return *name_; }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<std::byte> body_;
  std::optional<fuse::Name> name_;
};

class TargetOf {
 public:
  explicit TargetOf(const std::string& text) : body_(text.size() + 1) {
    copy_bytes(body_, std::as_bytes(std::span(text)));
    fuse::Decoder decoder(body_);
    auto taken = decoder.take_link_target();
    if (taken.ok()) target_.emplace(taken.value());
  }
  TargetOf(const TargetOf&) = delete;
  TargetOf& operator=(const TargetOf&) = delete;
  operator const fuse::LinkTarget&() const { return *target_; }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<std::byte> body_;
  std::optional<fuse::LinkTarget> target_;
};

// Memory of a guest, in two pieces so that no test passes by luck of contiguity.
class GuestBuffer {
 public:
  static constexpr std::uint64_t kBase = 0x10000;
  explicit GuestBuffer(std::uint32_t size) : size_(size) {
    auto memory = GuestMemory::allocate({{GuestAddress{kBase}, 0x20000, -1, 0}});
    EXPECT_TRUE(memory.ok());
    memory_ = std::move(memory).value();
    const std::uint32_t front = size / 3;
    // The second half of the region comes first.
    ranges_ = {GuestRange{GuestAddress{kBase + 0x10000}, front}, GuestRange{GuestAddress{kBase}, size - front}};
  }
  GuestBuffer(const std::string& text) : GuestBuffer(static_cast<std::uint32_t>(text.size())) {  // NOLINT
    EXPECT_TRUE(writer().put_bytes(std::as_bytes(std::span(text))).ok());
  }
  GuestWriter writer() const { return GuestWriter(*memory_, ranges_, size_); }
  GuestReader reader() const { return GuestReader(*memory_, ranges_, size_); }
  std::string text(std::size_t length) const {
    std::string out(length, '\0');
    EXPECT_TRUE(reader().take_bytes(std::as_writable_bytes(std::span(out))).ok());
    return out;
  }

 private:
  std::uint32_t size_;
  std::shared_ptr<GuestMemory> memory_;
  std::array<GuestRange, 2> ranges_;
};

struct Listed {
  std::string name;
  std::uint64_t node;  // READDIRPLUS
  std::uint64_t ino;
  std::uint64_t cookie;
  std::uint32_t type;
};

class ListSink final : public fuse::DirectorySink {
 public:
  explicit ListSink(std::size_t room) : room_(room) {}
  bool add(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) override {
    if (entries.size() == room_) return false;
    entries.push_back({std::string(name), 0, ino, cookie, type});
    return true;
  }
  std::vector<Listed> entries;

 private:
  std::size_t room_;
};

class PlusListSink final : public fuse::DirectoryPlusSink {
 public:
  explicit PlusListSink(std::size_t room) : room_(room) {}
  bool fits(std::size_t) const override { return entries.size() < room_; }
  void add(const abi::EntryOut& entry, std::uint64_t ino, std::uint64_t cookie, std::uint32_t type,
           std::string_view name) override {
    entries.push_back({std::string(name), entry.nodeid, ino, cookie, type});
  }
  std::vector<Listed> entries;

 private:
  std::size_t room_;
};

class PassthroughTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kSession = 7;
  static constexpr std::uint64_t kAllOffered = ~std::uint64_t{0};

  void SetUp() override { mount({}); }

  void mount(passthrough::PassthroughOptions options) {
    options.root = dir.path();
    auto made = passthrough::PassthroughFs::create(options);
    ASSERT_TRUE(made.ok()) << made.error().value();
    fs = std::move(made).value();
    const auto flags = fs->init(kSession, kAllOffered);
    ASSERT_TRUE(flags.ok());
    negotiated = {46, flags.value()};
  }

  fuse::Call call(std::uint64_t node = abi::kRootId, uid_t uid = ::geteuid(), gid_t gid = ::getegid()) const {
    return {node, uid, gid, 1, kSession, true, negotiated};
  }

  std::uint64_t node(const std::string& name, std::uint64_t directory = abi::kRootId) {
    const auto found = fs->lookup(call(directory), NameOf(name));
    EXPECT_TRUE(found.ok()) << name << ": " << (found.ok() ? 0 : found.error().value());
    return found.ok() ? found.value().nodeid : 0;
  }

  std::uint64_t open(std::uint64_t file, int flags) {
    const auto opened = fs->open(call(file), {static_cast<std::uint32_t>(flags), 0});
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? 0 : opened.error().value());
    return opened.ok() ? opened.value().fh : 0;
  }

  Result<std::string> read(std::uint64_t file, std::uint64_t handle, std::uint64_t offset, std::uint32_t size,
                           bool may_wait = true) {
    const GuestBuffer buffer(size);
    GuestWriter writer = buffer.writer();
    fuse::Call asked = call(file);
    asked.may_wait = may_wait;
    VFS_TRY(const auto length, fs->read(asked, {handle, offset, size, 0, 0, 0, 0}, writer));
    return buffer.text(length);
  }

  Result<abi::WriteOut> write(std::uint64_t file, std::uint64_t handle, std::uint64_t offset, const std::string& text,
                              std::uint32_t write_flags = 0) {
    const GuestBuffer buffer(text);
    GuestReader reader = buffer.reader();
    return fs->write(call(file), {handle, offset, static_cast<std::uint32_t>(text.size()), write_flags, 0, 0, 0},
                     reader);
  }

  // The oracle: plain system calls.
  void put(const std::string& name, const std::string& text, mode_t mode = 0644) {
    std::ofstream(dir / name) << text;
    ASSERT_EQ(::chmod((dir / name).c_str(), mode), 0);
  }
  std::string get(const std::string& name) const {
    std::ifstream file(dir / name);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  struct stat host(const std::string& name) const {
    struct stat seen{};
    EXPECT_EQ(::lstat((dir / name).c_str(), &seen), 0) << name;
    return seen;
  }
  bool exists(const std::string& name) const {
    struct stat seen{};
    return ::lstat((dir / name).c_str(), &seen) == 0;
  }

  TempDir dir;
  std::unique_ptr<passthrough::PassthroughFs> fs;
  fuse::Negotiated negotiated;
};

// EXPECT that a Result or Status is an error with this errno.
#define EXPECT_ERRNO(expression, expected)                              \
  do {                                                                  \
    const auto vfs_result = (expression);                               \
    EXPECT_FALSE(vfs_result.ok()) << #expression;                       \
    if (!vfs_result.ok()) {                                             \
      EXPECT_EQ(vfs_result.error().value(), (expected)) << #expression; \
    }                                                                   \
  } while (false)

}  // namespace vfs::test
