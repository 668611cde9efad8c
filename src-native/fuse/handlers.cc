#include "fuse/handlers.h"

#include <linux/limits.h>

#include <array>

#include "base/closing.h"
#include "fuse/invoke.h"

namespace vfs::fuse {

namespace {

// The parameters of a hand-written handler: one structure and perhaps names.
template <typename... In>
std::tuple<In...>* parameters() {
  return nullptr;
}

}  // namespace

Progress handle_lookup(Server& server, Request& request, bool may_wait) {
  Decoder decoder = request.decoder();
  const Call call = server.call_of(request, may_wait);
  switch (decoder.take_dots()) {
    case Dots::kSelf:
      detail::answer(request, server.file_system().lookup_self(call));
      break;
    case Dots::kParent:
      detail::answer(request, server.file_system().lookup_parent(call));
      break;
    case Dots::kNone:
      with_parameters(request, parameters<Name>(),
                      [&](const Name& name) { detail::answer(request, server.file_system().lookup(call, name)); });
      break;
  }
  return Progress::kDone;
}

Progress handle_forget(Server& server, Request& request, bool may_wait) {
  const ClosingBurst::PutOff put_off;
  Decoder decoder = request.decoder();
  if (const auto in = decoder.take<abi::ForgetIn>(); in.ok()) {
    server.file_system().forget(server.call_of(request, may_wait), request.header().nodeid, in.value().nlookup);
  }
  request.finish_silent();
  return Progress::kDone;
}

Progress handle_batch_forget(Server& server, Request& request, bool may_wait) {
  const ClosingBurst::PutOff put_off;
  Decoder decoder = request.decoder();
  if (const auto in = decoder.take<abi::BatchForgetIn>(); in.ok()) {
    const Call call = server.call_of(request, may_wait);
    // One at a time out of guest memory: `count` is the guest's word, the bytes that are there are the bound.
    GuestReader data = request.data();
    for (std::uint32_t i = 0; i < in.value().count; ++i) {
      const auto one = data.take<abi::ForgetOne>();
      if (!one.ok()) break;
      server.file_system().forget(call, one.value().nodeid, one.value().nlookup);
    }
  }
  request.finish_silent();
  return Progress::kDone;
}

Progress handle_readlink(Server& server, Request& request, bool may_wait) {
  std::array<std::byte, PATH_MAX> target;
  const auto length = server.file_system().readlink(server.call_of(request, may_wait), target);
  if (length.ok()) {
    request.finish_bytes(ByteSpan(target).first(length.value()));
  } else {
    request.finish_error(length.error());
  }
  return Progress::kDone;
}

Progress handle_rename(Server& server, Request& request, bool may_wait) {
  with_parameters(
      request, parameters<abi::RenameIn, Name, Name>(), [&](const abi::RenameIn& in, const Name& from, const Name& to) {
        const abi::Rename2In in2{in.newdir, 0, 0};
        detail::answer(request, server.file_system().rename(server.call_of(request, may_wait), in2, from, to));
      });
  return Progress::kDone;
}

Progress handle_read(Server& server, Request& request, bool may_wait) {
  Progress progress = Progress::kDone;
  with_parameters(request, parameters<abi::ReadIn>(), [&](const abi::ReadIn& in) {
    GuestWriter room = request.room();
    // More than was agreed in INIT, or than there is room for: the guest's mistake, not a short read.
    if (in.size > server.write_bytes_max() || !room.limit_to(in.size)) return request.finish_error(Errno(EINVAL));
    const auto bytes = server.file_system().read(server.call_of(request, may_wait), in, room);
    if (!bytes.ok() && bytes.error() == kWouldWait) {
      progress = Progress::kWouldWait;
      return;
    }
    if (!bytes.ok()) return request.finish_error(bytes.error());
    request.set_moved_bytes(bytes.value());
    request.finish_filled(static_cast<std::uint32_t>(bytes.value()));
  });
  return progress;
}

Progress handle_write(Server& server, Request& request, bool may_wait) {
  Progress progress = Progress::kDone;
  with_parameters(request, parameters<abi::WriteIn>(), [&](const abi::WriteIn& in) {
    GuestReader data = request.data();
    if (in.size > server.write_bytes_max() || !data.limit_to(in.size)) return request.finish_error(Errno(EINVAL));
    const auto out = server.file_system().write(server.call_of(request, may_wait), in, data);
    if (out.ok()) request.set_moved_bytes(out.value().size);
    progress = detail::answer_or_wait(request, out);
  });
  return progress;
}

Progress handle_init(Server& server, Request& request, bool) {
  Decoder decoder = request.decoder();
  const auto in = decoder.take<abi::InitIn>();
  if (!in.ok()) {
    request.finish_error(in.error());
    return Progress::kDone;
  }
  std::uint32_t flags2 = 0;
  if (const auto extended = decoder.take<abi::InitInExt>(); extended.ok()) flags2 = extended.value().flags2;
  detail::answer(request, server.begin_session(in.value(), flags2));
  return Progress::kDone;
}

Progress handle_destroy(Server& server, Request& request, bool) {
  server.end_session();
  request.finish_empty();
  return Progress::kDone;
}

Progress handle_interrupt(Server& server, Request& request, bool) {
  Decoder decoder = request.decoder();
  const auto in = decoder.take<abi::InterruptIn>();
  if (in.ok() && server.canceller() != nullptr) server.canceller()->cancel(in.value().unique);
  request.finish_silent();
  return Progress::kDone;
}

}  // namespace vfs::fuse
