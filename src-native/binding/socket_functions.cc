#include "binding/socket_functions.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/sys.h"
#include "base/sys_sandbox.h"
#include "binding/environment.h"
#include "binding/errors.h"

namespace vfs::binding {

namespace {

// vhost-user allows at most 32 descriptors in the messages that we take (8 regions, or one per ring); more are refused
// by the kernel's truncation, which the caller is told.
constexpr std::size_t kDescriptorsMax = 32;

constexpr int kSocketFlags = SOCK_CLOEXEC | SOCK_NONBLOCK;

int int_of(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

// False: the path does not fit (107 bytes) and ENAMETOOLONG has been thrown.
bool socket_address(Napi::Env env, const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    throw_system(env, Errno(ENAMETOOLONG), "bind", path);
    return false;
  }
  path.copy(address.sun_path, path.size());
  return true;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

Napi::Value socket_listen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  sockaddr_un address;
  if (!socket_address(env, path, address)) return env.Undefined();
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | kSocketFlags, 0));
  if (!fd.valid()) return throw_system(env, Errno(errno), "socket", path);
  // Mode 0600 from the start: fchmod before bind decides the mode of the socket file on Linux.
  if (::fchmod(fd.get(), 0600) != 0) return throw_system(env, Errno(errno), "fchmod", path);
  if (::bind(fd.get(), generic(address), sizeof(address)) != 0) return throw_system(env, Errno(errno), "bind", path);
  if (::listen(fd.get(), SOMAXCONN) != 0) {
    const Errno error(errno);
    ::unlink(path.c_str());
    return throw_system(env, error, "listen", path);
  }
  return Napi::Number::New(env, fd.release());
}

Napi::Value socket_accept(const Napi::CallbackInfo& info) {
  const int listener = int_of(info[0]);
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, kSocketFlags);
    if (fd >= 0) return Napi::Number::New(info.Env(), fd);
    // A peer that gave up while it waited is no error of ours.
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return Napi::Number::New(info.Env(), -1);
    return throw_system(info.Env(), Errno(errno), "accept");
  }
}

Napi::Value socket_connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  sockaddr_un address;
  if (!socket_address(env, path, address)) return env.Undefined();
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | kSocketFlags, 0));
  if (!fd.valid()) return throw_system(env, Errno(errno), "socket", path);
  // unix(7): a stream connect does not go on in the background; it succeeds, or EAGAIN says that the backlog is full.
  if (::connect(fd.get(), generic(address), sizeof(address)) != 0) {
    return throw_system(env, Errno(errno), "connect", path);
  }
  return Napi::Number::New(env, fd.release());
}

Napi::Value socket_pair(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fds[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | kSocketFlags, 0, fds) != 0) {
    return throw_system(env, Errno(errno), "socketpair");
  }
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0U, Napi::Number::New(env, fds[0]));
  pair.Set(1U, Napi::Number::New(env, fds[1]));
  return pair;
}

// One of the integers that getsockopt knows of a socket; nothing if `fd` is none.
std::optional<int> socket_property(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) return std::nullopt;
  return value;
}

Napi::Value socket_adopt(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = int_of(info[0]);
  const bool is_ours = socket_property(fd, SO_DOMAIN) == AF_UNIX && socket_property(fd, SO_TYPE) == SOCK_STREAM;
  if (!is_ours) return env.Undefined();
  // Whoever made it may have left it inheritable, or blocking: an accept would then stop the JavaScript thread.
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
    return throw_system(env, Errno(errno), "fcntl");
  }
  const bool listens = socket_property(fd, SO_ACCEPTCONN).value_or(0) != 0;
  return Napi::String::New(env, listens ? "listening" : "connected");
}

Napi::Value datagram_connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  sockaddr_un address;
  if (!socket_address(env, path, address)) return env.Undefined();
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  if (path.front() == '@') {
    // An abstract address has a NUL there, and ends where its size says.
    address.sun_path[0] = '\0';
    size -= 1;
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | kSocketFlags, 0));
  if (!fd.valid()) return throw_system(env, Errno(errno), "socket", path);
  if (::connect(fd.get(), generic(address), size) != 0) return throw_system(env, Errno(errno), "connect", path);
  return Napi::Number::New(env, fd.release());
}

// The descriptors of a received message, for the caller to own.
std::vector<int> descriptors_of(msghdr& message) {
  std::vector<int> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.push_back(fd);
    }
  }
  return fds;
}

Napi::Value socket_receive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto into = info[1].As<Napi::Uint8Array>();
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
  iovec data{into.Data(), into.ByteLength()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t length = 0;
  do {
    length = ::recvmsg(int_of(info[0]), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (length == -1 && errno == EINTR);
  if (length == -1 && errno == EAGAIN) return env.Undefined();
  if (length == -1) return throw_system(env, Errno(errno), "recvmsg");
  Napi::Array fds = Napi::Array::New(env);
  for (const int fd : descriptors_of(message)) fds.Set(fds.Length(), Napi::Number::New(env, fd));
  Napi::Object received = Napi::Object::New(env);
  received.Set("length", Napi::Number::New(env, static_cast<double>(length)));
  received.Set("fds", fds);
  received.Set("truncated", Napi::Boolean::New(env, (message.msg_flags & MSG_CTRUNC) != 0));
  return received;
}

Napi::Value socket_send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto bytes = info[1].As<Napi::Uint8Array>();
  const auto given = info[2].As<Napi::Array>();
  if (given.Length() > kDescriptorsMax) return throw_system(env, Errno(EINVAL), "sendmsg");
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
  iovec data{bytes.Data(), bytes.ByteLength()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (given.Length() > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(given.Length() * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(given.Length() * sizeof(int));
    for (std::uint32_t i = 0; i < given.Length(); ++i) {
      const int fd = int_of(given.Get(i));
      std::memcpy(CMSG_DATA(part) + i * sizeof(int), &fd, sizeof(int));
    }
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(int_of(info[0]), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent == -1 && errno == EINTR);
  if (sent == -1 && errno == EAGAIN) return Napi::Number::New(env, -1);
  if (sent == -1) return throw_system(env, Errno(errno), "sendmsg");
  return Napi::Number::New(env, static_cast<double>(sent));
}

Napi::Value eventfd(const Napi::CallbackInfo& info) {
  auto fd = sys::eventfd(info[0].As<Napi::Number>().Uint32Value());
  if (!fd.ok()) return throw_system(info.Env(), fd.error(), "eventfd");
  return Napi::Number::New(info.Env(), std::move(fd).value().release());
}

Napi::Value duplicate_fd(const Napi::CallbackInfo& info) {
  auto fd = sys::duplicate(int_of(info[0]));
  if (!fd.ok()) return throw_system(info.Env(), fd.error(), "fcntl");
  return Napi::Number::New(info.Env(), std::move(fd).value().release());
}

// flock(2) for writing, without waiting. False: somebody else has it.
Napi::Value lock_file(const Napi::CallbackInfo& info) {
  const Status locked = sys::flock(int_of(info[0]), LOCK_EX);
  if (!locked.ok() && locked.error() != Errno(EAGAIN)) return throw_system(info.Env(), locked.error(), "flock");
  return Napi::Boolean::New(info.Env(), locked.ok());
}

Napi::Value own_fd(const Napi::CallbackInfo& info) {
  const int number = int_of(info[0]);
  UniqueFd& owned = Environment::of(info.Env()).fds[number];
  // One that somebody else has closed is the new owner's, under the same number.
  static_cast<void>(owned.release());
  owned = UniqueFd(number);
  return info.Env().Undefined();
}

Napi::Value close_fd(const Napi::CallbackInfo& info) {
  auto& owned = Environment::of(info.Env()).fds;
  const auto found = owned.find(int_of(info[0]));
  UniqueFd fd = found == owned.end() ? UniqueFd(int_of(info[0])) : std::move(found->second);
  if (found != owned.end()) owned.erase(found);
  const Status closed = sys::close(std::move(fd));
  if (!closed.ok()) return throw_system(info.Env(), closed.error(), "close");
  return info.Env().Undefined();
}

Napi::Value set_file_limit(const Napi::CallbackInfo& info) {
  const Status set = sys::set_descriptor_limit(static_cast<std::uint64_t>(info[0].As<Napi::Number>().Int64Value()));
  if (!set.ok()) return throw_system(info.Env(), set.error(), "setrlimit");
  return info.Env().Undefined();
}

Napi::Value group_id(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  // A group with many members needs much room.
  constexpr std::size_t kRoomMax = 1U << 20;
  std::vector<char> room(4096);
  group entry{};
  group* found = nullptr;
  int error = 0;
  while ((error = ::getgrnam_r(name.c_str(), &entry, room.data(), room.size(), &found)) == ERANGE) {
    if (room.size() >= kRoomMax) break;
    room.resize(room.size() * 2);
  }
  if (found != nullptr) return Napi::Number::New(env, found->gr_gid);
  // What some name services say instead of "there is no such group" (getgrnam(3)).
  if (error == 0 || error == ENOENT || error == ESRCH) return env.Undefined();
  return throw_system(env, Errno(error), "getgrnam_r", name);
}

Napi::Value raise_file_limit(const Napi::CallbackInfo& info) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return throw_system(info.Env(), Errno(errno), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  const std::uint32_t wanted = info[0].As<Napi::Number>().Uint32Value();
  const rlimit more{wanted, wanted};
  // EPERM: it takes CAP_SYS_RESOURCE, and is no more than fs.nr_open.
  if (limit.rlim_max < wanted && ::setrlimit(RLIMIT_NOFILE, &more) == 0) return Napi::Number::New(info.Env(), wanted);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return throw_system(info.Env(), Errno(errno), "setrlimit");
  return Napi::Number::New(info.Env(), static_cast<double>(limit.rlim_cur));
}

}  // namespace

void define_socket_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("socketListen", Napi::Function::New<socket_listen>(env, "socketListen"));
  exports.Set("socketAccept", Napi::Function::New<socket_accept>(env, "socketAccept"));
  exports.Set("socketConnect", Napi::Function::New<socket_connect>(env, "socketConnect"));
  exports.Set("socketPair", Napi::Function::New<socket_pair>(env, "socketPair"));
  exports.Set("socketReceive", Napi::Function::New<socket_receive>(env, "socketReceive"));
  exports.Set("socketSend", Napi::Function::New<socket_send>(env, "socketSend"));
  exports.Set("eventfd", Napi::Function::New<eventfd>(env, "eventfd"));
  exports.Set("duplicateFd", Napi::Function::New<duplicate_fd>(env, "duplicateFd"));
  exports.Set("lockFile", Napi::Function::New<lock_file>(env, "lockFile"));
  exports.Set("ownFd", Napi::Function::New<own_fd>(env, "ownFd"));
  exports.Set("closeFd", Napi::Function::New<close_fd>(env, "closeFd"));
  exports.Set("socketAdopt", Napi::Function::New<socket_adopt>(env, "socketAdopt"));
  exports.Set("datagramConnect", Napi::Function::New<datagram_connect>(env, "datagramConnect"));
  exports.Set("setFileLimit", Napi::Function::New<set_file_limit>(env, "setFileLimit"));
  exports.Set("groupId", Napi::Function::New<group_id>(env, "groupId"));
  exports.Set("raiseFileLimit", Napi::Function::New<raise_file_limit>(env, "raiseFileLimit"));
}

}  // namespace vfs::binding
