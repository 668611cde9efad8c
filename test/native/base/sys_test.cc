#include "base/sys.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>

namespace vfs::sys {
namespace {

bool readable_now(int fd) {
  pollfd item{fd, POLLIN, 0};
  return ::poll(&item, 1, 0) == 1;
}

TEST(FaultInjection, nth_call_fails_and_the_others_do_not) {
  fault_injection::fail_call(2, ENFILE);
  const auto first = eventfd(0);
  EXPECT_TRUE(first.ok());
  EXPECT_FALSE(fault_injection::triggered());
  const auto second = eventfd(0);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error(), Errno(ENFILE));
  EXPECT_TRUE(fault_injection::triggered());
  EXPECT_TRUE(eventfd(0).ok());
}

TEST(FaultInjection, zero_switches_it_off) {
  fault_injection::fail_call(1, EIO);
  fault_injection::fail_call(0, 0);
  EXPECT_TRUE(eventfd(0).ok());
  EXPECT_FALSE(fault_injection::triggered());
}

TEST(FaultInjection, other_threads_are_not_concerned) {
  fault_injection::fail_call(1, EIO);
  std::thread other([] { EXPECT_TRUE(eventfd(0).ok()); });
  other.join();
  EXPECT_FALSE(fault_injection::triggered());
  EXPECT_EQ(eventfd(0).error(), Errno(EIO));
}

TEST(FaultInjection, failed_close_closes_nothing_twice) {
  auto fd = eventfd(0);
  ASSERT_TRUE(fd.ok());
  const int raw = fd.value().get();
  fault_injection::fail_call(1, EIO);
  EXPECT_EQ(close(std::move(fd).value()).error(), Errno(EIO));
  fault_injection::fail_call(0, 0);
  ::close(raw);  // injected instead of the system call, so it is still open
}

TEST(Sys, descriptors_are_close_on_exec) {
  const auto opened = openat(AT_FDCWD, "/dev/null", O_RDONLY);
  ASSERT_TRUE(opened.ok());
  const auto copy = duplicate(opened.value().get());
  ASSERT_TRUE(copy.ok());
  for (const int fd : {opened.value().get(), copy.value().get()}) {
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(Sys, missing_file_is_an_errno) {
  EXPECT_EQ(openat(AT_FDCWD, "/nonexistent/file", O_RDONLY).error(), Errno(ENOENT));
}

TEST(Sys, eventfd_signalled_twice_is_drained_once) {
  const auto event = eventfd(0);
  ASSERT_TRUE(event.ok());
  EXPECT_FALSE(readable_now(event.value().get()));
  EXPECT_TRUE(eventfd_signal(event.value().get()).ok());
  EXPECT_TRUE(eventfd_signal(event.value().get()).ok());
  EXPECT_TRUE(readable_now(event.value().get()));
  eventfd_drain(event.value().get());
  EXPECT_FALSE(readable_now(event.value().get()));
}

TEST(Sys, full_eventfd_counts_as_signalled) {
  const auto event = eventfd(0);
  ASSERT_TRUE(event.ok());
  const std::uint64_t almost_all = 0xfffffffffffffffe;
  ASSERT_TRUE(write(event.value().get(), bytes_of(almost_all)).ok());
  EXPECT_TRUE(eventfd_signal(event.value().get()).ok());
}

TEST(Sys, interrupted_call_is_repeated) {
  // A handler without SA_RESTART makes read(2) return EINTR.
  struct sigaction action{};
  action.sa_handler = [](int) {};
  struct sigaction before{};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  const pthread_t reader = ::pthread_self();
  std::thread disturber([&] {
    for (int i = 0; i < 5; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ::pthread_kill(reader, SIGUSR1);
    }
    const char byte = 'x';
    static_cast<void>(write(in.get(), bytes_of(byte)).ok());
  });
  std::array<std::byte, 8> buffer{};
  const auto got = read(out.get(), buffer);
  disturber.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got.value(), 1U);
}

TEST(Sys, memfd_has_the_size_that_was_asked_for) {
  const auto fd = memfd("sys-test", 12345);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(file_size(fd.value().get()).value(), 12345U);
}

TEST(Sys, thread_name_is_cut_not_refused) {
  std::string seen;
  std::thread named([&seen] {
    name_thread("a-name-that-is-longer-than-15-bytes");
    std::array<char, 32> name{};
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    seen = name.data();
  });
  named.join();
  EXPECT_EQ(seen, "a-name-that-is-");
}

TEST(Sys, epoll_tells_which_descriptor_is_ready) {
  const auto epoll = epoll_create();
  const auto quiet = eventfd(0);
  const auto ready = eventfd(1);
  ASSERT_TRUE(epoll.ok() && quiet.ok() && ready.ok());
  ASSERT_TRUE(epoll_add(epoll.value().get(), quiet.value().get(), EPOLLIN, 7).ok());
  ASSERT_TRUE(epoll_add(epoll.value().get(), ready.value().get(), EPOLLIN, 8).ok());
  std::array<epoll_event, 4> events{};
  ASSERT_EQ(epoll_wait(epoll.value().get(), events, 0).value(), 1U);
  EXPECT_EQ(events[0].data.u64, 8U);
  EXPECT_TRUE(epoll_remove(epoll.value().get(), ready.value().get()).ok());
  EXPECT_EQ(epoll_wait(epoll.value().get(), events, 0).value(), 0U);
}

}  // namespace
}  // namespace vfs::sys
