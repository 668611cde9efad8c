// Several threads on one share: nothing is lost and nothing is left over. Run under ThreadSanitizer too.
#include <fcntl.h>

#include <atomic>
#include <thread>

#include "passthrough/credentials.h"
#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

class StressTest : public PassthroughTest {
 protected:
  template <typename Body>
  static void on_threads(int count, Body body) {
    std::vector<std::thread> threads;
    for (int t = 0; t < count; ++t) {
      threads.emplace_back([&body, t] {
        EXPECT_TRUE(passthrough::prepare_thread().ok());
        body(t);
      });
    }
    for (auto& thread : threads) thread.join();
  }
};

TEST_F(StressTest, creators_do_not_take_each_others_identity) {
  const bool root = ::geteuid() == 0;
  on_threads(4, [&](int t) {
    const uid_t user = root ? 1000 + static_cast<uid_t>(t) : ::geteuid();
    const gid_t group = root ? 1000 + static_cast<gid_t>(t) : ::getegid();
    for (int i = 0; i < 50; ++i) {
      const std::string name = std::to_string(t) + "-" + std::to_string(i);
      const auto made = fs->create(call(abi::kRootId, user, group), {O_RDWR | O_CREAT, 0666, 0, 0}, NameOf(name), {});
      ASSERT_TRUE(made.ok());
      EXPECT_EQ(made.value().entry.attr.uid, user);
      EXPECT_EQ(made.value().entry.attr.gid, group);
      EXPECT_EQ(made.value().entry.attr.mode, S_IFREG | 0666U);
      const auto id = made.value().entry.nodeid;
      EXPECT_TRUE(fs->unlink(call(), NameOf(name)).ok());
      EXPECT_TRUE(fs->release(call(id), {made.value().open.fh, 0, 0, 0}).ok());
      fs->forget(call(), id, 1);
    }
  });
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
}

TEST_F(StressTest, lookups_of_the_same_name_share_a_node) {
  put("file", "");
  on_threads(4, [&](int) {
    for (int i = 0; i < 500; ++i) {
      const auto found = fs->lookup(call(), NameOf("file"));
      ASSERT_TRUE(found.ok());
      EXPECT_TRUE(fs->getattr(call(found.value().nodeid), {}).ok());
      fs->forget(call(), found.value().nodeid, 1);
    }
  });
  EXPECT_EQ(fs->inode_count(), 0U);
}

TEST_F(StressTest, requests_that_outlive_their_session_leave_nothing_in_the_next) {
  for (int i = 0; i < 20; ++i) put("f" + std::to_string(i), "");
  std::atomic<std::uint32_t> session{kSession};
  std::atomic<bool> stop{false};
  std::thread resetting([&] {
    for (std::uint32_t next = kSession + 1; next < kSession + 100; ++next) {
      fs->destroy();
      EXPECT_TRUE(fs->init(next, 0).ok());
      session.store(next);
    }
    stop.store(true);
  });
  on_threads(2, [&](int t) {
    for (int i = t; !stop.load(); ++i) {
      fuse::Call asked = call();
      asked.session = session.load();
      const auto found = fs->lookup(asked, NameOf("f" + std::to_string(i % 20)));
      if (!found.ok()) continue;
      asked.nodeid = found.value().nodeid;
      const auto opened = fs->open(asked, {O_RDONLY, 0});
      if (opened.ok()) {
        const auto released = fs->release(asked, {opened.value().fh, 0, 0, 0});
        EXPECT_TRUE(released.ok() || released.error() == Errno(EBADF));
      }
    }
  });
  resetting.join();
  fs->destroy();
  EXPECT_EQ(fs->inode_count(), 0U);
  EXPECT_EQ(fs->handle_count(), 0U);
  EXPECT_EQ(passthrough::FdBudget::used(), 0U);
}

}  // namespace
}  // namespace vfs::test
