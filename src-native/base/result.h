// Result<T>: a value or the reason why there is none. The core has no exceptions; every operation that can fail
// returns one of these, and the class itself is nodiscard so that no failure is dropped by accident.
//
// Two kinds of failure are kept apart by their type (docs/architecture.md, "Errors"):
//   Result<T>         an operating error: an errno that the guest gets as its answer
//   Result<T, Fault>  a peer's mistake: a malformed ring or chain; it stops the chain or the queue, never the process
#pragma once

#include <cerrno>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace vfs {

// An errno value, 1..511 (what FUSE can carry), or one of the internal verdicts below.
class Errno {
 public:
  constexpr explicit Errno(int value) : value_(value) {}
  constexpr int value() const { return value_; }
  friend constexpr bool operator==(Errno, Errno) = default;

 private:
  int value_;
};

// Not an errno and never on the wire: the handler was asked not to wait and would have to. The server runs the
// request again where waiting is allowed (device/thread_pool).
inline constexpr Errno kWouldWait{0x10000};

// "Done, nothing to say".
struct Unit {};

// How a result is kept. Two words come back from a function in registers. A value and the byte of a variant would be
// put together in memory first and read from there as words, which has to wait until the stores are through, for longer
// than many a function here takes. So a small value has a word for the error beside it; 0: there is none.
namespace result_detail {

inline constexpr std::uint64_t kIsError = std::uint64_t{1} << 32;  // beside the number of the error

constexpr std::uint64_t code_of(Errno error) { return kIsError | static_cast<std::uint32_t>(error.value()); }
template <typename E>
  requires std::is_enum_v<E>
constexpr std::uint64_t code_of(E error) {
  return kIsError | static_cast<std::uint32_t>(error);
}

template <typename E>
constexpr E error_of(std::uint64_t code) {
  return E(static_cast<std::int32_t>(static_cast<std::uint32_t>(code)));
}

template <typename T>
inline constexpr bool kFitsRegister =
    std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T> && sizeof(T) <= sizeof(std::uint64_t);

template <typename T, typename E>
class State {
 public:
  explicit State(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  explicit State(E error) : state_(std::in_place_index<1>, error) {}
  explicit State(std::in_place_t) : state_(std::in_place_index<0>) {}
  bool ok() const { return state_.index() == 0; }
  T& value() { return *std::get_if<0>(&state_); }
  const T& value() const { return *std::get_if<0>(&state_); }
  E error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, E> state_;
};

template <typename T, typename E>
  requires kFitsRegister<T>
class State<T, E> {
 public:
  explicit State(T value) : value_(value) {}
  explicit State(E error) : code_(code_of(error)) {}
  explicit State(std::in_place_t) {}
  bool ok() const { return code_ == 0; }
  T& value() { return value_; }
  const T& value() const { return value_; }
  E error() const { return error_of<E>(code_); }

 private:
  [[no_unique_address]] T value_{};  // Unit takes no room
  std::uint64_t code_ = 0;
};

}  // namespace result_detail

template <typename T, typename E = Errno>
class [[nodiscard]] Result {
  static_assert(!std::is_same_v<T, E>, "a result must tell its value from its error by type");

 public:
  Result(T value) : state_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(E error) : state_(error) {}             // NOLINT(google-explicit-constructor)
  // A value of zeros, to be filled where it is: a large one would be copied.
  explicit Result(std::in_place_t) : state_(std::in_place) {}

  bool ok() const { return state_.ok(); }
  T& value() & {
    VFS_ASSERT(ok());
    return state_.value();
  }
  const T& value() const& {
    VFS_ASSERT(ok());
    return state_.value();
  }
  T&& value() && {
    VFS_ASSERT(ok());
    return std::move(state_.value());
  }
  E error() const {
    VFS_ASSERT(!ok());
    return state_.error();
  }

 private:
  result_detail::State<T, E> state_;
};

using Status = Result<Unit>;
inline Status ok_status() { return Unit{}; }

}  // namespace vfs

#define VFS_CONCAT_(a, b) a##b
#define VFS_CONCAT(a, b) VFS_CONCAT_(a, b)

// VFS_TRY(const auto fd, open(...)): the value, or return the error of `expression` from the enclosing function.
#define VFS_TRY(declaration, ...) VFS_TRY_(VFS_CONCAT(vfs_try_, __LINE__), declaration, __VA_ARGS__)
#define VFS_TRY_(name, declaration, ...) \
  auto name = (__VA_ARGS__);             \
  if (!name.ok()) return name.error();   \
  declaration = std::move(name).value()

// VFS_CHECK(do_it()): the same for a result whose value does not matter.
#define VFS_CHECK(...) VFS_CHECK_(VFS_CONCAT(vfs_check_, __LINE__), __VA_ARGS__)
#define VFS_CHECK_(name, ...)                  \
  if (auto name = (__VA_ARGS__); !name.ok()) { \
    return name.error();                       \
  }                                            \
  static_assert(true, "")
