#include "vhost_user.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "check.h"

namespace vfs::bench {

namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kNeedReply = 8;

constexpr int kConnectTries = 1500;
constexpr std::chrono::milliseconds kConnectPause(10);

struct Header {
  std::uint32_t request;
  std::uint32_t flags;
  std::uint32_t size;
};

}  // namespace

VhostUser::VhostUser(const std::string& socket_path)
    : socket_(check_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) die("the path of the socket is too long");
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  // The backend may still be starting. Asked in advance whether it listens, some would take that for their one
  // frontend.
  for (int tries = 0; ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == -1;) {
    if ((errno != ENOENT && errno != ECONNREFUSED) || ++tries == kConnectTries) die("connect", errno);
    std::this_thread::sleep_for(kConnectPause);
  }
}

void VhostUser::transmit(VhostRequest request, ByteSpan body, std::span<const int> fds, bool need_reply) {
  const Header header{static_cast<std::uint32_t>(request), kVersion | (need_reply ? kNeedReply : 0),
                      static_cast<std::uint32_t>(body.size())};
  std::array<std::byte, 256> message{};
  const std::size_t size = sizeof(header) + body.size();
  if (size > message.size()) die("a vhost-user message is too long");
  std::memcpy(message.data(), &header, sizeof(header));
  copy_bytes(std::span(message).subspan(sizeof(header)), body);

  iovec part{message.data(), size};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * 4)> control{};
  msghdr wrapped{};
  wrapped.msg_iov = &part;
  wrapped.msg_iovlen = 1;
  if (!fds.empty()) {
    wrapped.msg_control = control.data();
    wrapped.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&wrapped);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  const long sent =
      check_again("sendmsg to the backend", [&] { return ::sendmsg(socket_.get(), &wrapped, MSG_NOSIGNAL); });
  if (static_cast<std::size_t>(sent) != size) die("a message to the backend was cut short");
}

void VhostUser::receive_bytes(MutableByteSpan into) {
  while (!into.empty()) {
    const long got =
        check_again("recv from the backend", [&] { return ::recv(socket_.get(), into.data(), into.size(), 0); });
    if (got == 0) die("the backend has closed the connection");
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

std::uint64_t VhostUser::receive() {
  Header header{};
  receive_bytes(std::as_writable_bytes(std::span(&header, 1)));
  std::uint64_t value = 0;
  if (header.size != sizeof(value)) die("a reply of the backend has an unexpected size");
  receive_bytes(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

void VhostUser::die_refused(VhostRequest request) {
  die("the backend refused vhost-user request " + std::to_string(static_cast<std::uint32_t>(request)));
}

}  // namespace vfs::bench
