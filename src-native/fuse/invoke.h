// From a method of FileSystem to a handler: the parameters are decoded in the order of the signature, the result
// becomes the reply. op_table.cc has one line per operation because of this file.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "fuse/server.h"

namespace vfs::fuse {

// Parameters of the longest ordinary request: two names, or a symlink with its target and extensions. BATCH_FORGET and
// WRITE leave their bulk in guest memory.
inline constexpr std::uint32_t kBodyBytes = 16 * 1024;

namespace detail {

template <typename T>
struct Decode {  // a structure of the ABI
  static Result<T> from(Decoder& decoder) { return decoder.take<T>(); }
};
template <>
struct Decode<Name> {
  static Result<Name> from(Decoder& decoder) { return decoder.take_name(); }
};
template <>
struct Decode<LinkTarget> {
  static Result<LinkTarget> from(Decoder& decoder) { return decoder.take_link_target(); }
};
template <>
struct Decode<XattrName> {
  static Result<XattrName> from(Decoder& decoder) { return decoder.take_xattr_name(); }
};
template <>
struct Decode<IgnoredName> {
  static Result<IgnoredName> from(Decoder& decoder) { return decoder.take_ignored_name(); }
};
template <>
struct Decode<Creation> {
  static Result<Creation> from(Decoder& decoder) { return Creation::parse(decoder.extensions()); }
};

template <typename Method>
struct Signature;
template <typename Out, typename... In>
struct Signature<Result<Out> (FileSystem::*)(const Call&, const In&...)> {
  using Reply = Out;
  using Parameters = std::tuple<In...>;
};

// Only structures have a fixed size; names and extensions follow them.
template <typename T>
constexpr std::size_t wire_size() {
  if constexpr (WireValue<T> && std::is_aggregate_v<T> && !std::is_empty_v<T>) {
    return sizeof(T);
  } else {
    return 0;
  }
}
template <typename Parameters>
struct FixedBytes;
template <typename... In>
struct FixedBytes<std::tuple<In...>> {
  static constexpr std::size_t value = (wire_size<In>() + ... + 0);
};

template <typename Reply>
constexpr std::uint32_t reply_size() {
  if constexpr (std::is_same_v<Reply, Unit>) {
    return 0;
  } else {
    return sizeof(Reply);
  }
}

inline void answer(Request& request, const Status& status) {
  if (status.ok()) return request.finish_empty();
  request.finish_error(status.error());
}
template <WireValue Reply>
  requires(!std::is_same_v<Reply, Unit>)
void answer(Request& request, const Result<Reply>& result) {
  if (result.ok()) return request.finish_bytes(bytes_of(result.value()));
  request.finish_error(result.error());
}

// The same for operations that may be tried again where they may wait: kWouldWait is their own word then.
template <typename Reply>
Progress answer_or_wait(Request& request, const Result<Reply>& result) {
  const Wait wait = request.row()->wait;
  if (!result.ok() && result.error() == kWouldWait && (wait == Wait::kPark || wait == Wait::kTryFirst)) {
    return Progress::kWouldWait;
  }
  answer(request, result);
  return Progress::kDone;
}

template <typename Part>
void keep_first_error(Errno& first, const Result<Part>& part) {
  if (first == Errno(0) && !part.ok()) first = part.error();
}

}  // namespace detail

// Decodes the parameters of a signature and calls `use` with them, or answers with the decoder's error.
template <typename... In, typename Use>
void with_parameters(Request& request, std::tuple<In...>*, Use use) {
  [[maybe_unused]] Decoder decoder = request.decoder();
  // Braces: the order of evaluation is the order of the wire.
  std::tuple<Result<In>...> parts{detail::Decode<In>::from(decoder)...};
  Errno bad(0);
  std::apply([&](const auto&... part) { (detail::keep_first_error(bad, part), ...); }, parts);
  if (bad != Errno(0)) return request.finish_error(bad);
  std::apply([&](const auto&... part) { use(part.value()...); }, parts);
}

template <auto Method>
Progress invoke(Server& server, Request& request, bool may_wait) {
  using Shape = detail::Signature<decltype(Method)>;
  Progress progress = Progress::kDone;
  with_parameters(request, static_cast<typename Shape::Parameters*>(nullptr), [&](const auto&... in) {
    const auto result = (server.file_system().*Method)(server.call_of(request, may_wait), in...);
    progress = detail::answer_or_wait(request, result);
  });
  return progress;
}

// A row whose columns follow from the method's signature.
template <auto Method>
constexpr OpRow op(abi::Opcode opcode, const char* name, std::uint8_t since_minor, Wait wait = Wait::kNever) {
  using Shape = detail::Signature<decltype(Method)>;
  return {.opcode = opcode,
          .name = name,
          .since_minor = since_minor,
          .wait = wait,
          .answer = Answer::kReply,
          .effect = Effect::kRead,
          .before_init = false,
          .has_bulk_data = false,
          .fixed_bytes = detail::FixedBytes<typename Shape::Parameters>::value,
          .body_bytes = kBodyBytes,
          .reply_bytes = detail::reply_size<typename Shape::Reply>(),
          .handler = &invoke<Method>};
}

}  // namespace vfs::fuse
