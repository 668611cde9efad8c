// Sessions that go on in the next process. A file system that is dropped without destroy() has been killed.
#include <fcntl.h>
#include <sys/file.h>

#include <linux/fs.h>

#include <random>

#include "passthrough/fs_fixture.h"
#include "passthrough/session_file.h"

namespace vfs::test {
namespace {

namespace pt = passthrough;
using Found = pt::SessionFile::Found;

class ResumeTest : public PassthroughTest {
 protected:
  void SetUp() override {
    options_.session_fd = state_.get();
    begin();
  }

  void begin() {
    mount(options_);
    fs->session_begun({46, 1U << 20, kAllOffered, negotiated.flags, negotiated.flags});
  }

  // What the next process makes of it.
  const pt::Resumed& restart(std::uint32_t session = kSession) {
    fs = nullptr;
    options_.root = dir.path();
    auto made = pt::PassthroughFs::create(options_);
    EXPECT_TRUE(made.ok());
    fs = std::move(made).value();
    const auto terms = fs->resume(session, [](const auto&) { return true; });
    EXPECT_EQ(terms.has_value(), fs->resumed().found == Found::kSession);
    if (terms.has_value()) {
      EXPECT_EQ(terms->flags, negotiated.flags);
    }
    return fs->resumed();
  }

  static UniqueFd unnamed_file() {
    TempDir elsewhere;
    return UniqueFd(::open((elsewhere / "state").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }

  std::uint64_t make_directory(const std::string& name, std::uint64_t parent = abi::kRootId) {
    EXPECT_EQ(::mkdir((dir / (parent == abi::kRootId ? name : "d/" + name)).c_str(), 0755), 0);
    return node(name, parent);
  }

  UniqueFd state_ = unnamed_file();
  pt::PassthroughOptions options_;
};

TEST_F(ResumeTest, nodes_and_handles_go_on_under_their_numbers) {
  const auto act = [&] {
    begin();
    const std::uint64_t directory = node("d");
    const std::uint64_t file = node("f", directory);
    EXPECT_EQ(node("f", directory), file);  // two lookups
    const std::uint64_t handle = open(file, O_RDWR | O_TRUNC);
    ASSERT_TRUE(write(file, handle, 0, "before").ok());

    const pt::Resumed& resumed = restart();
    ASSERT_EQ(resumed.found, Found::kSession);
    EXPECT_EQ(resumed.inodes, 2U);
    EXPECT_EQ(resumed.handles, 1U);
    EXPECT_EQ(resumed.lost_inodes + resumed.lost_handles, 0U);
    EXPECT_EQ(read(file, handle, 0, 16).value(), "before");
    ASSERT_TRUE(write(file, handle, 6, " after").ok());
    EXPECT_EQ(get("d/f"), "before after");
    EXPECT_EQ(node("f", directory), file);
    fs->forget(call(file), file, 2);
    EXPECT_TRUE(fs->getattr(call(file), {}).ok());
    fs->forget(call(file), file, 1);
    EXPECT_ERRNO(fs->getattr(call(file), {}), EBADF);
    EXPECT_TRUE(fs->release(call(file), {handle, 0, 0, 0}).ok());
    fs->destroy();
  };
  ASSERT_EQ(::mkdir((dir / "d").c_str(), 0755), 0);
  put("d/f", "");
  act();
  options_.file_handles = pt::FileHandles::kPrefer;
  act();
}

TEST_F(ResumeTest, what_was_renamed_is_found_where_it_is) {
  const auto act = [&] {
    ASSERT_EQ(::mkdir((dir / "d").c_str(), 0755), 0);
    put("d/f", "one");
    put("g", "two");
    begin();
    const std::uint64_t directory = node("d");
    const std::uint64_t f = node("f", directory);
    const std::uint64_t g = node("g");
    // The directory, the file in it, and two that change places.
    ASSERT_TRUE(fs->rename(call(), {abi::kRootId, 0, 0}, NameOf("d"), NameOf("e")).ok());
    ASSERT_TRUE(fs->rename(call(directory), {directory, 0, 0}, NameOf("f"), NameOf("h")).ok());
    ASSERT_TRUE(fs->rename(call(directory), {abi::kRootId, RENAME_EXCHANGE, 0}, NameOf("h"), NameOf("g")).ok());
    EXPECT_EQ(restart().lost_inodes, 0U);
    EXPECT_EQ(read(f, open(f, O_RDONLY), 0, 9).value(), "one");
    EXPECT_EQ(read(g, open(g, O_RDONLY), 0, 9).value(), "two");
    EXPECT_EQ(node("h", node("e")), g);
    fs->destroy();
    ASSERT_EQ(::unlink((dir / "e/h").c_str()) + ::unlink((dir / "g").c_str()) + ::rmdir((dir / "e").c_str()), 0);
  };
  act();
  options_.file_handles = pt::FileHandles::kPrefer;
  act();
}

TEST_F(ResumeTest, what_is_not_found_again_is_stale_and_can_be_let_go) {
  put("gone", "x");
  put("other", "x");
  begin();
  const std::uint64_t gone = node("gone");
  const std::uint64_t other = node("other");
  const std::uint64_t handle = open(gone, O_RDWR);
  ASSERT_TRUE(fs->unlink(call(), NameOf("gone")).ok());
  put("gone", "another file");
  // The host has put something else in its place.
  ASSERT_EQ(::rename((dir / "other").c_str(), (dir / "elsewhere").c_str()), 0);

  const pt::Resumed& resumed = restart();
  EXPECT_EQ(resumed.lost_inodes, 2U);
  EXPECT_EQ(resumed.lost_handles, 1U);
  EXPECT_ERRNO(fs->getattr(call(gone), {}), ESTALE);
  EXPECT_ERRNO(fs->getattr(call(other), {}), ESTALE);
  EXPECT_ERRNO(read(gone, handle, 0, 1), ESTALE);
  EXPECT_ERRNO(fs->flush(call(gone), {handle, 0, 0, 0}), ESTALE);
  const std::uint64_t fresh = node("gone");
  EXPECT_NE(fresh, gone);
  EXPECT_EQ(read(fresh, open(fresh, O_RDONLY), 0, 99).value(), "another file");
  EXPECT_TRUE(fs->release(call(gone), {handle, 0, 0, 0}).ok());
  EXPECT_ERRNO(fs->release(call(gone), {handle, 0, 0, 0}), EBADF);
  fs->forget(call(gone), gone, 1);
  EXPECT_ERRNO(fs->getattr(call(gone), {}), EBADF);
  // And so for the process after the next.
  EXPECT_EQ(restart().lost_inodes, 1U);
}

TEST_F(ResumeTest, a_removed_file_goes_on_where_handles_can_be_opened) {
  options_.file_handles = pt::FileHandles::kPrefer;
  begin();
  // Kept alive by somebody else, because the descriptors of a process that is killed are closed.
  put("file", "kept");
  const UniqueFd holder(::open((dir / "file").c_str(), O_RDONLY | O_CLOEXEC));
  const std::uint64_t file = node("file");
  const std::uint64_t handle = open(file, O_RDWR);
  ASSERT_TRUE(fs->unlink(call(), NameOf("file")).ok());
  // On file systems whose handles lead to such a file.
  if (restart().lost_handles == 0) {
    EXPECT_EQ(read(file, handle, 0, 9).value(), "kept");
  } else {
    EXPECT_ERRNO(read(file, handle, 0, 9), ESTALE);
  }
}

TEST_F(ResumeTest, no_number_is_given_out_twice) {
  std::vector<std::uint64_t> seen;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "f" + std::to_string(i);
    put(name, "");
    seen.push_back(node(name));
    const std::uint64_t handle = open(seen.back(), O_RDONLY);
    if (i % 3 == 0) {
      ASSERT_TRUE(fs->release(call(seen.back()), {handle, 0, 0, 0}).ok());
      fs->forget(call(seen.back()), seen.back(), 1);
    }
  }
  restart();
  EXPECT_EQ(fs->inode_count(), 133U);
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t again = node("f" + std::to_string(i));
    if (i % 3 == 0) {
      EXPECT_EQ(std::count(seen.begin(), seen.end(), again), 0) << i;
    } else {
      EXPECT_EQ(again, seen[static_cast<std::size_t>(i)]);
    }
  }
}

TEST_F(ResumeTest, directory_streams_go_on_at_their_cookies) {
  for (int i = 0; i < 20; ++i) put("f" + std::to_string(i), "");
  const auto opened = fs->opendir(call(), {});
  ASSERT_TRUE(opened.ok());
  ListSink first(7);
  ASSERT_TRUE(fs->readdir(call(), {opened.value().fh, 0, 4096, 0, 0, 0, 0}, first).ok());
  restart();
  ListSink rest(100);
  const std::uint64_t cookie = first.entries.back().cookie;
  ASSERT_TRUE(fs->readdir(call(), {opened.value().fh, cookie, 4096, 0, 0, 0, 0}, rest).ok());
  EXPECT_EQ(first.entries.size() + rest.entries.size(), 22U);
  EXPECT_TRUE(fs->releasedir(call(), {opened.value().fh, 0, 0, 0}).ok());
}

TEST_F(ResumeTest, appending_and_flock_go_on_and_a_lock_that_another_took_makes_the_handle_stale) {
  options_.flock = true;
  begin();
  put("a", "1");
  const std::uint64_t file = node("a");
  const std::uint64_t appends = open(file, O_WRONLY | O_APPEND);
  const std::uint64_t locked = open(file, O_RDONLY);
  abi::LkIn lock{};
  lock.fh = locked;
  lock.lk.type = F_WRLCK;
  lock.lk_flags = abi::kLkFlock;
  ASSERT_TRUE(fs->setlk(call(file), lock).ok());
  ASSERT_EQ(restart().lost_handles, 0U);
  ASSERT_TRUE(write(file, appends, 0, "2").ok());
  EXPECT_EQ(get("a"), "12");
  const UniqueFd other(::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), -1);
  // Between two processes somebody else is faster.
  fs = nullptr;
  ASSERT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(restart().lost_handles, 1U);
  EXPECT_ERRNO(read(file, locked, 0, 1), ESTALE);
}

TEST_F(ResumeTest, a_session_that_ended_or_is_of_another_share_or_of_other_options_does_not_go_on) {
  put("f", "");
  node("f");
  fs->destroy();
  EXPECT_EQ(restart().found, Found::kNothing);
  begin();
  node("f");
  options_.posix_locks = true;  // the guest has been promised that there are none
  EXPECT_EQ(restart().found, Found::kUnusable);
  EXPECT_EQ(restart().found, Found::kNothing);
  options_.posix_locks = false;
  begin();
  const std::uint64_t file = node("f");
  fs = nullptr;
  TempDir other;
  options_.root = other.path();
  auto made = pt::PassthroughFs::create(options_);
  ASSERT_TRUE(made.ok());
  EXPECT_FALSE(made.value()->resume(kSession, [](const auto&) { return true; }).has_value());
  EXPECT_EQ(made.value()->resumed().found, Found::kUnusable);
  EXPECT_ERRNO(made.value()->getattr(call(file), {}), EBADF);
}

TEST_F(ResumeTest, whatever_stands_in_the_file_the_next_process_serves) {
  ASSERT_EQ(::mkdir((dir / "d").c_str(), 0755), 0);
  std::mt19937 random(4711);  // NOLINT(bugprone-random-generator-seed): the same each time
  const auto pick = [&](std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random); };
  std::size_t went_on = 0;
  for (int round = 0; round < 100; ++round) {
    begin();
    const std::uint64_t directory = node("d");
    put("d/f", "x");
    const std::uint64_t file = node("f", directory);
    open(file, O_RDWR);
    fs = nullptr;
    // Words of the header or of the first records: random ones, or those of another place.
    const std::array<off_t, 3> parts{0, 4096, 4096 + (off_t{1} << 22) * 384};
    for (std::size_t i = 0; i <= pick(3); ++i) {
      const off_t at = parts[pick(3)] + static_cast<off_t>(pick(64) * 8);
      std::uint64_t word = random();
      const off_t elsewhere = parts[pick(3)] + static_cast<off_t>(pick(16) * 8);
      if (pick(2) == 0) {
        ASSERT_EQ(::pread(state_.get(), &word, 8, elsewhere), 8);
      }
      ASSERT_EQ(::pwrite(state_.get(), &word, 8, at), 8);
    }
    if (restart().found == Found::kSession) ++went_on;
    static_cast<void>(fs->getattr(call(file), {}));
    static_cast<void>(fs->forget(call(file), file, 1));
    ASSERT_TRUE(fs->init(kSession + 1, kAllOffered).ok());
    fs->destroy();
  }
  EXPECT_GT(went_on, 0U);
  EXPECT_LT(went_on, 100U);
}

TEST_F(ResumeTest, directories_in_a_circle_are_stale) {
  ASSERT_EQ(::mkdir((dir / "a").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((dir / "a/b").c_str(), 0755), 0);
  begin();
  const std::uint64_t a = node("a");
  const std::uint64_t b = node("b", a);
  fs = nullptr;
  // Each is said to be in the other.
  const auto record = [](std::uint64_t id) { return 4096 + static_cast<off_t>(id & 0x3ffffff) * 384; };
  ASSERT_EQ(::pwrite(state_.get(), &b, 8, record(a) + 16), 8);
  EXPECT_EQ(restart().lost_inodes, 2U);
  EXPECT_ERRNO(fs->getattr(call(a), {}), ESTALE);
  EXPECT_ERRNO(fs->getattr(call(b), {}), ESTALE);
}

TEST_F(ResumeTest, without_room_in_the_file_nothing_is_given_out) {
  put("f", "");
  bool refused = false;
  for (unsigned nth = 1;; ++nth) {
    begin();
    sys::fault_injection::fail_call(nth, ENOSPC);
    const auto found = fs->lookup(call(), NameOf("f"));
    const bool reached = sys::fault_injection::triggered();
    sys::fault_injection::fail_call(0, 0);
    if (!found.ok()) {
      EXPECT_EQ(fs->inode_count(), 0U);
      refused = refused || found.error() == Errno(ENFILE);
    }
    fs->destroy();
    if (!reached) break;
  }
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace vfs::test
