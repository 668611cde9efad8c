// Extended attributes, ACLs and labels: the oracle is the l…xattr call on the path.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <thread>

#include "passthrough/credentials.h"
#include "passthrough/fs_fixture.h"
#include "passthrough/object_xattr.h"
#include "passthrough/security_label.h"
#include "support/fault_loop.h"

namespace vfs::test {
namespace {

using passthrough::ObjectXattr;
using Way = passthrough::ObjectXattr::Way;

// An XattrName together with the bytes that it stands on.
class XattrNameOf {
 public:
  explicit XattrNameOf(const std::string& text) : body_(text.size() + 1) {
    copy_bytes(body_, std::as_bytes(std::span(text)));
    fuse::Decoder decoder(body_);
    auto taken = decoder.take_xattr_name();
    if (taken.ok()) name_.emplace(taken.value());
  }
  XattrNameOf(const XattrNameOf&) = delete;
  XattrNameOf& operator=(const XattrNameOf&) = delete;
  operator const fuse::XattrName&() const { return *name_; }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<std::byte> body_;
  std::optional<fuse::XattrName> name_;
};

ByteSpan bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// The extension that carries one security context, as Linux builds it.
std::vector<std::byte> context_extension(const std::string& name, const std::string& value) {
  std::string record;
  const auto put = [&](std::uint32_t number) { record += text_of(bytes_of(number)); };
  const std::string body = name + '\0' + value;
  const std::size_t padded = (8 + body.size() + 7) / 8 * 8;
  put(static_cast<std::uint32_t>(8 + padded));
  put(1);
  put(static_cast<std::uint32_t>(value.size()));
  put(0);
  record += body;
  record.resize(8 + padded);
  std::vector<std::byte> out(record.size());
  copy_bytes(out, bytes(record));
  return out;
}

class XattrTest : public PassthroughTest {
 protected:
  void SetUp() override {
    PassthroughTest::SetUp();
    put("file", "text");
    ASSERT_EQ(::mkdir((dir / "dir").c_str(), 0755), 0);
    ASSERT_EQ(::symlink("file", (dir / "link").c_str()), 0);
    ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0644), 0);
  }
  Result<std::string> get(std::uint64_t id, const std::string& name, std::size_t room = 256) {
    std::vector<std::byte> into(room);
    VFS_TRY(const auto length, fs->getxattr(call(id), XattrNameOf(name), into));
    return std::string(text_of(ByteSpan(into).first(room == 0 ? 0 : length)));
  }
  Status set(std::uint64_t id, const std::string& name, std::string_view value, std::uint32_t flags = 0) {
    return fs->setxattr(call(id), {static_cast<std::uint32_t>(value.size()), flags, 0, 0}, XattrNameOf(name),
                        bytes(value));
  }
  bool host_has(const std::string& file, const char* name) const {
    return ::lgetxattr((dir / file).c_str(), name, nullptr, 0) >= 0;
  }
};

TEST_F(XattrTest, every_way_leads_to_the_object_itself) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for trusted attributes";
  const auto proc = passthrough::ProcFd::open();
  ASSERT_TRUE(proc.ok());
  for (const Way way : {Way::kAt, Way::kOwnDirectory, Way::kHelper}) {
    if (way == Way::kAt && !sys::has_xattrat()) continue;
    for (const char* name : {"file", "dir", "link", "fifo"}) {
      SCOPED_TRACE(std::string(name) + ", way " + std::to_string(static_cast<int>(way)));
      std::thread([&] {
        ASSERT_TRUE(passthrough::prepare_thread().ok());
        const UniqueFd fd(::open((dir / name).c_str(), O_PATH | O_NOFOLLOW));
        const ObjectXattr object(proc.value(), fd.get(), way);
        ASSERT_TRUE(object.set("trusted.test", bytes("value"), XATTR_CREATE).ok());
        EXPECT_ERRNO(object.set("trusted.test", bytes("value"), XATTR_CREATE), EEXIST);
        char seen[16] = {};
        EXPECT_EQ(::lgetxattr((dir / name).c_str(), "trusted.test", seen, sizeof(seen)), 5);
        std::array<std::byte, 16> into{};
        EXPECT_EQ(object.get("trusted.test", into).value(), 5U);
        EXPECT_EQ(text_of(ByteSpan(into).first(5)), "value");
        EXPECT_EQ(object.get("trusted.test", {}).value(), 5U);
        EXPECT_ERRNO(object.get("trusted.test", MutableByteSpan(into).first(2)), ERANGE);
        EXPECT_EQ(object.list({}).value(), static_cast<std::size_t>(::llistxattr((dir / name).c_str(), nullptr, 0)));
        ASSERT_TRUE(object.remove("trusted.test").ok());
        EXPECT_ERRNO(object.remove("trusted.test"), ENODATA);
        EXPECT_FALSE(host_has(name, "trusted.test"));
      }).join();
    }
  }
}

TEST_F(XattrTest, the_applications_directory_stays_where_it_is) {
  char before[4096];
  ASSERT_NE(::getcwd(before, sizeof(before)), nullptr);
  const auto proc = passthrough::ProcFd::open();
  const UniqueFd fd(::open((dir / "file").c_str(), O_PATH));
  EXPECT_TRUE(ObjectXattr(proc.value(), fd.get(), Way::kHelper).set("user.a", bytes("1"), 0).ok());
  EXPECT_TRUE(set(node("file"), "user.b", "2").ok());
  char after[4096];
  ASSERT_NE(::getcwd(after, sizeof(after)), nullptr);
  EXPECT_STREQ(after, before);
}

TEST_F(XattrTest, a_fault_on_the_way_is_the_answer) {
  const auto proc = passthrough::ProcFd::open();
  const UniqueFd fd(::open((dir / "file").c_str(), O_PATH));
  std::thread([&] {
    ASSERT_TRUE(passthrough::prepare_thread().ok());
    const ObjectXattr object(proc.value(), fd.get(), Way::kOwnDirectory);
    fault_loop(
        EDQUOT, [] {},
        [&] {
          const auto done = object.set("user.a", bytes("1"), 0);
          EXPECT_EQ(done.ok(), !sys::fault_injection::triggered());
        });
  }).join();
}

TEST_F(XattrTest, a_list_has_the_length_of_what_is_shown) {
  const auto id = node("file");
  ASSERT_TRUE(set(id, "user.one", "1").ok());
  ASSERT_TRUE(set(id, "user.two", "2").ok());
  std::array<std::byte, 64> into{};
  const auto listed = fs->listxattr(call(id), into);
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(listed.value(), 18U);
  EXPECT_EQ(fs->listxattr(call(id), {}).value(), 18U);
  EXPECT_ERRNO(fs->listxattr(call(id), MutableByteSpan(into).first(17)), ERANGE);
  EXPECT_EQ(fs->listxattr(call(id), MutableByteSpan(into).first(18)).value(), 18U);
}

TEST_F(XattrTest, trusted_names_are_shown_to_the_guests_root_alone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto id = node("file");
  ASSERT_TRUE(set(id, "trusted.overlay.opaque", "y").ok());
  std::array<std::byte, 64> into{};
  EXPECT_GT(fs->listxattr(call(id, 0, 0), into).value(), 0U);
  EXPECT_EQ(fs->listxattr(call(id, 1000, 1000), into).value(), 0U);
  EXPECT_EQ(fs->listxattr(call(id, 1000, 1000), {}).value(), 0U);
  // A guest that does not say who asks is trusted to have asked for its root.
  EXPECT_GT(fs->listxattr(call(id, 0xFFFFFFFF, 0xFFFFFFFF), into).value(), 0U);
}

TEST_F(XattrTest, without_the_option_there_are_none) {
  mount({.xattr = false});
  const auto id = node("file");
  EXPECT_ERRNO(get(id, "user.a"), ENOSYS);
  EXPECT_ERRNO(set(id, "user.a", "1"), ENOSYS);
  EXPECT_ERRNO(fs->listxattr(call(id), {}), ENOSYS);
  EXPECT_ERRNO(fs->removexattr(call(id), XattrNameOf("user.a")), ENOSYS);
  EXPECT_EQ(negotiated.flags & (abi::init_flag::kPosixAcl | abi::init_flag::kDontMask | abi::init_flag::kSecurityCtx),
            0U);
}

TEST_F(XattrTest, unknown_nodes) {
  EXPECT_ERRNO(get(4711, "user.a"), EBADF);
  EXPECT_ERRNO(set(4711, "user.a", "1"), EBADF);
  EXPECT_ERRNO(fs->listxattr(call(4711), {}), EBADF);
  EXPECT_ERRNO(fs->removexattr(call(4711), XattrNameOf("user.a")), EBADF);
}

TEST_F(XattrTest, flags_of_the_session) {
  using namespace abi::init_flag;
  const auto wants = [&](passthrough::PassthroughOptions options, std::uint64_t offered) {
    options.root = dir.path();
    return passthrough::PassthroughFs::create(options).value()->init(1, offered).value();
  };
  const bool acls = ::getxattr(dir.path().c_str(), "system.posix_acl_access", nullptr, 0) >= 0 || errno == ENODATA;
  const std::uint64_t acl_flags = kPosixAcl | kDontMask | kSetxattrExt;
  EXPECT_EQ(wants({}, kAllOffered) & acl_flags, acls ? acl_flags : 0U);
  EXPECT_EQ(wants({.posix_acl = false}, kAllOffered) & acl_flags, 0U);
  EXPECT_EQ(wants({}, kAllOffered & ~kPosixAcl) & acl_flags, 0U);
  for (const bool posix_acl : {true, false}) {
    // Without POSIX_ACL it would end the mount.
    EXPECT_EQ(wants({.posix_acl = posix_acl}, kAllOffered) & kAllowIdmap, 0U);
  }
  EXPECT_NE(wants({}, kAllOffered) & kCreateSuppGroup, 0U);
  EXPECT_EQ(wants({.security_ctx = false}, kAllOffered) & kSecurityCtx, 0U);
  EXPECT_NE(wants({}, kAllOffered) & kHandleKillprivV2, 0U);
  EXPECT_NE(wants({.killpriv = passthrough::KillPriv::kV2}, kAllOffered) & kHandleKillprivV2, 0U);
  EXPECT_EQ(wants({.killpriv = passthrough::KillPriv::kOff}, kAllOffered) & kHandleKillprivV2, 0U);
  EXPECT_EQ(wants({}, kAllOffered) & kHandleKillpriv, 0U);
}

TEST_F(XattrTest, a_file_system_without_acls_does_not_get_the_flag) {
  const auto made = passthrough::PassthroughFs::create({.root = "/proc"});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made.value()->init(1, kAllOffered).value() & abi::init_flag::kPosixAcl, 0U);
}

TEST_F(XattrTest, an_object_that_cannot_get_its_label_is_removed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  // Nothing that this attribute takes.
  const auto body = context_extension("security.capability", "not a capability");
  const auto creation = fuse::Creation::parse(body);
  ASSERT_TRUE(creation.ok());
  EXPECT_ERRNO(fs->mkdir(call(), {0755, 0}, NameOf("new"), creation.value()), EINVAL);
  EXPECT_FALSE(exists("new"));
  EXPECT_ERRNO(fs->mknod(call(), {S_IFREG | 0644, 0, 0, 0}, NameOf("new"), creation.value()), EINVAL);
  EXPECT_FALSE(exists("new"));
  EXPECT_ERRNO(fs->create(call(), {O_RDWR | O_CREAT, 0644, 0, 0}, NameOf("new"), creation.value()), EINVAL);
  EXPECT_FALSE(exists("new"));
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
}

TEST_F(XattrTest, labels_of_faulty_hosts) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto body = context_extension("security.selinux", "user_u:object_r:user_t:s0");
  const auto creation = fuse::Creation::parse(body);
  fault_loop(
      EDQUOT, [&] { ::rmdir((dir / "new").c_str()); },
      [&] {
        const auto made = fs->mkdir(call(abi::kRootId, 1234, 1234), {0755, 0}, NameOf("new"), creation.value());
        EXPECT_EQ(made.ok(), !sys::fault_injection::triggered());
        // Whatever failed: there is no new object that lacks its label and that somebody was told of.
        if (made.ok()) {
          EXPECT_TRUE(host_has("new", "security.selinux"));
          fs->forget(call(), made.value().nodeid, 1);
        }
        EXPECT_EQ(fs->inode_count(), 0U);
        EXPECT_EQ(::geteuid(), 0U);
      });
}

TEST_F(XattrTest, only_labels_are_taken_and_unlabeled_is_none) {
  const auto parse = [&](const std::vector<std::byte>& body) { return fuse::Creation::parse(body).value(); };
  const auto foreign = context_extension("user.name", "x");
  EXPECT_ERRNO(fs->mkdir(call(), {0755, 0}, NameOf("new"), parse(foreign)), EINVAL);
  EXPECT_FALSE(exists("new"));
  for (const std::string& value : {std::string("unlabeled"), std::string("unlabeled\0", 10)}) {
    const auto body = context_extension("security.selinux", value);
    ASSERT_TRUE(fs->mkdir(call(), {0755, 0}, NameOf("new"), parse(body)).ok());
    EXPECT_FALSE(host_has("new", "security.selinux"));
    ASSERT_EQ(::rmdir((dir / "new").c_str()), 0);
  }
}

TEST_F(XattrTest, the_label_of_a_thread_is_written_where_the_kernel_reads_it) {
  // A tree that looks like /proc/<pid>, because there need be no SELinux here.
  const std::string thread = dir / ("task/" + std::to_string(sys::thread_id()));
  ASSERT_EQ(::mkdir((dir / "task").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(thread.c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((thread + "/attr").c_str(), 0755), 0);
  std::ofstream(thread + "/attr/fscreate").flush();
  const UniqueFd directory(::open((dir / "dir").c_str(), O_PATH));
  {
    passthrough::ScopedCreationLabel label;
    ASSERT_TRUE(label.set(directory.get(), bytes("user_u:object_r:user_t:s0")).ok());
    std::ifstream file(thread + "/attr/fscreate");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "user_u:object_r:user_t:s0");
  }
  passthrough::ScopedCreationLabel elsewhere;
  const UniqueFd deeper(::open(thread.c_str(), O_PATH));
  EXPECT_ERRNO(elsewhere.set(deeper.get(), bytes("x")), ENOENT);
}

TEST_F(XattrTest, whether_labels_can_be_stored_is_found_out_by_trying) {
  const auto support = passthrough::label_support();
  ASSERT_TRUE(support.ok());
  if (support.value() == passthrough::LabelSupport::kFsCreate) GTEST_SKIP() << "the host has SELinux";
  const bool may = ::lsetxattr((dir / "file").c_str(), "security.test", "", 0, 0) == 0 || errno == EOPNOTSUPP;
  EXPECT_EQ(support.value(), may ? passthrough::LabelSupport::kXattr : passthrough::LabelSupport::kNone);
  fault_loop(
      EDQUOT, [] {},
      [] {
        const auto found = passthrough::label_support();
        EXPECT_EQ(found.ok(), !sys::fault_injection::triggered());
      });
}

TEST_F(XattrTest, a_guest_without_what_is_required_gets_no_session) {
  namespace flag = abi::init_flag;
  passthrough::PassthroughOptions options;
  options.require_posix_acl = true;
  mount(options);
  EXPECT_ERRNO(fs->init(kSession, kAllOffered & ~flag::kPosixAcl), EPROTO);
  EXPECT_ERRNO(fs->init(kSession, kAllOffered & ~flag::kSetxattrExt), EPROTO);
  EXPECT_TRUE(fs->init(kSession, kAllOffered & ~flag::kSecurityCtx).ok());
  options.require_posix_acl = false;
  options.require_security_ctx = true;
  mount(options);
  EXPECT_ERRNO(fs->init(kSession, kAllOffered & ~flag::kSecurityCtx), EPROTO);
  EXPECT_TRUE(fs->init(kSession, kAllOffered & ~flag::kPosixAcl).ok());
}

}  // namespace
}  // namespace vfs::test
