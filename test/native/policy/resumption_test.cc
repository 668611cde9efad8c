// Sessions that go on in the next process, with a policy. A file system that is dropped without destroy() has been
// killed.
#include <fcntl.h>

#include "passthrough/fs_fixture.h"
#include "policy/policy_fixture.h"
#include "policy/policy_fs.h"

namespace vfs::test {
namespace {

namespace pt = passthrough;
using policy::Permission;
using policy::PolicyFs;

class PolicyResumptionTest : public PassthroughTest {
 protected:
  void SetUp() override {
    options_.session_fd = state_.get();
    options_.root = dir.path();
  }

  void begin(policy::PolicySource source) {
    make(std::move(source));
    const auto flags = ruled->init(kSession, kAllOffered);
    ASSERT_TRUE(flags.ok());
    negotiated = {46, flags.value()};
    ruled->session_begun({46, 1U << 20, kAllOffered, flags.value(), flags.value()});
  }

  // Whether the next process goes on.
  bool restart(policy::PolicySource source) {
    ruled = nullptr;
    fs = nullptr;
    make(std::move(source));
    return ruled->resume(kSession, [](const auto&) { return true; }).has_value();
  }

  Result<abi::EntryOut> look(const std::string& name, std::uint64_t directory = abi::kRootId) {
    return ruled->lookup(call(directory), NameOf(name));
  }
  std::uint64_t id(const std::string& name, std::uint64_t directory = abi::kRootId) {
    const auto found = look(name, directory);
    EXPECT_TRUE(found.ok()) << name;
    return found.ok() ? found.value().nodeid : 0;
  }
  std::uint64_t open_file(std::uint64_t file, std::uint32_t flags) {
    const auto opened = ruled->open(call(file), {flags, 0});
    EXPECT_TRUE(opened.ok());
    return opened.ok() ? opened.value().fh : 0;
  }
  void make_directory(const std::string& name) { ASSERT_EQ(::mkdir((dir / name).c_str(), 0755), 0); }

  std::unique_ptr<PolicyFs> ruled;
  pt::PassthroughOptions options_;

 private:
  void make(policy::PolicySource source) {
    auto made = pt::PassthroughFs::create(options_);
    ASSERT_TRUE(made.ok());
    fs = std::move(made).value();
    ruled = std::make_unique<PolicyFs>(*fs, policy::PolicyOptions{.policy = std::move(source)});
  }
  static UniqueFd unnamed_file() {
    TempDir elsewhere;
    return UniqueFd(::open((elsewhere / "state").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  UniqueFd state_ = unnamed_file();
};

TEST_F(PolicyResumptionTest, nodes_go_on_and_are_judged_by_where_they_are) {
  make_directory("d");
  make_directory("d/e");
  put("d/e/f", "content");
  begin(policy_of({}));
  const std::uint64_t d = id("d");
  const std::uint64_t e = id("e", d);
  const std::uint64_t f = id("f", e);
  EXPECT_EQ(id("f", e), f);  // two lookups
  const std::uint64_t handle = open_file(f, O_RDONLY);
  ASSERT_TRUE(restart(policy_of({deny(bit_of(Permission::kWrite), {"/d/e"}, true)})));
  EXPECT_EQ(ruled->node_count(), 3U);
  EXPECT_TRUE(ruled->getattr(call(f), {}).ok());
  EXPECT_ERRNO(ruled->open(call(f), {O_RDWR, 0}), EROFS);
  const GuestBuffer buffer(16);
  GuestWriter writer = buffer.writer();
  EXPECT_EQ(ruled->read(call(f), {handle, 0, 16, 0, 0, 0, 0}, writer).value(), 7U);
  EXPECT_TRUE(look("f", e).ok());
  ruled->forget(call(), f, 3);
  EXPECT_ERRNO(ruled->getattr(call(f), {}), EBADF);
  ASSERT_TRUE(restart(policy_of({hide({"/d/e"})})));
  EXPECT_TRUE(ruled->getattr(call(d), {}).ok());
  EXPECT_ERRNO(ruled->getattr(call(e), {}), ENOENT);
  EXPECT_ERRNO(look("f", e), ENOENT);
  EXPECT_ERRNO(look("e", d), ENOENT);
}

TEST_F(PolicyResumptionTest, what_is_not_where_it_was_is_stale_until_it_is_found) {
  options_.file_handles = pt::FileHandles::kPrefer;
  make_directory("d");
  make_directory("vault");
  put("d/f", "content");
  begin(policy_of({}));
  const std::uint64_t d = id("d");
  const std::uint64_t f = id("f", d);
  ruled = nullptr;
  fs = nullptr;
  // The host takes it to where the guest must not see it; its handle leads there.
  ASSERT_EQ(::rename((dir / "d").c_str(), (dir / "vault/d").c_str()), 0);
  ASSERT_TRUE(restart(policy_of({hide({"/vault"})})));
  EXPECT_ERRNO(ruled->getattr(call(d), {}), ESTALE);
  EXPECT_ERRNO(ruled->getattr(call(f), {}), ESTALE);
  EXPECT_ERRNO(ruled->open(call(f), {O_RDONLY, 0}), ESTALE);
  EXPECT_ERRNO(look("f", d), ESTALE);
  EXPECT_ERRNO(ruled->lookup_self(call(d)), ESTALE);
  EXPECT_ERRNO(ruled->lookup_parent(call(d)), ESTALE);
  ASSERT_EQ(::rename((dir / "vault/d").c_str(), (dir / "again").c_str()), 0);
  EXPECT_TRUE(look("again").ok());
  EXPECT_TRUE(look("f", id("again")).ok());
  EXPECT_TRUE(ruled->getattr(call(id("f", id("again"))), {}).ok());
  ruled->forget(call(), d, 1);
  ruled->forget(call(), f, 1);
}

TEST_F(PolicyResumptionTest, hard_links_of_what_is_hidden_by_now_are_hidden) {
  make_directory("vault");
  put("vault/key", "secret");
  ASSERT_EQ(::link((dir / "vault/key").c_str(), (dir / "copy").c_str()), 0);
  begin(policy_of({}));
  const std::uint64_t copy = id("copy");
  ASSERT_TRUE(restart(policy_of({hide({"/vault"})})));
  EXPECT_ERRNO(ruled->getattr(call(copy), {}), ENOENT);
}

TEST_F(PolicyResumptionTest, open_handles_count_and_appending_ones_append) {
  put("file", "12345");
  const auto limited = [] {
    policy::PolicySource source;
    source.limits = {.open_handles = 2, .file_size = 6};
    return source;
  };
  begin(limited());
  const std::uint64_t file = id("file");
  const std::uint64_t handle = open_file(file, O_WRONLY | O_APPEND);
  ASSERT_TRUE(restart(limited()));
  EXPECT_TRUE(ruled->opendir(call(), {O_RDONLY | O_DIRECTORY, 0}).ok());
  EXPECT_ERRNO(ruled->open(call(file), {O_RDONLY, 0}), EMFILE);
  const GuestBuffer buffer("abc");
  GuestReader reader = buffer.reader();
  EXPECT_EQ(ruled->write(call(file), {handle, 0, 3, 0, 0, 0, 0}, reader).value().size, 1U);
  EXPECT_EQ(get("file"), "12345a");
  EXPECT_TRUE(ruled->release(call(file), {handle, 0, 0, 0}).ok());
  EXPECT_TRUE(ruled->open(call(file), {O_RDONLY, 0}).ok());
}

TEST_F(PolicyResumptionTest, the_number_of_a_mask_that_was_open_stands_for_no_other) {
  put("config", "secret");
  const policy::PolicySource source = mask({"/config"}, "masked");
  begin(source);
  const std::uint64_t file = id("config");
  const std::uint64_t before = open_file(file, O_RDONLY);
  ASSERT_TRUE(restart(source));
  EXPECT_NE(open_file(file, O_RDONLY), before);
  EXPECT_ERRNO(ruled->release(call(file), {before, 0, 0, 0}), EBADF);
}

TEST_F(PolicyResumptionTest, a_session_whose_guest_sends_no_open_does_not_go_on_with_a_policy) {
  options_.zero_message_open = true;
  auto made = pt::PassthroughFs::create(options_);
  ASSERT_TRUE(made.ok());
  fs = std::move(made).value();
  const auto flags = fs->init(kSession, kAllOffered);
  ASSERT_TRUE(flags.ok());
  ASSERT_NE(flags.value() & abi::init_flag::kNoOpenSupport, 0U);
  fs->session_begun({46, 1U << 20, kAllOffered, flags.value(), flags.value()});
  EXPECT_FALSE(restart(policy_of({})));
}

}  // namespace
}  // namespace vfs::test
