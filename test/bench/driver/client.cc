#include "client.h"

#include <algorithm>
#include <cstring>

#include "base/thread.h"
#include "check.h"

namespace vfs::bench {

namespace {

constexpr std::uint32_t kMinorAsked = 38;  // what the newest of the compared backends speaks

FrontendOptions with_buffers(FrontendOptions options) {
  options.buffer_bytes = slot_layout::kBytes * (kDepthMax + 1);
  return options;
}

// What a Linux guest of today offers, but for what would change the layout of requests (security contexts, the long
// SETXATTR) or leave work to the guest that the bench does not do (writeback, POSIX ACLs).
std::uint64_t offered_flags() {
  using namespace abi::init_flag;
  return kAsyncRead | kPosixLocks | kAtomicOTrunc | kExportSupport | kBigWrites | kFlockLocks | kHasIoctlDir |
         kAutoInvalData | kDoReaddirplus | kReaddirplusAuto | kAsyncDio | kParallelDirops | kAbortError | kMaxPages |
         kCacheSymlinks | kInitExt | kCreateSuppGroup | kSubmounts;
}

std::string opcode_text(abi::Opcode opcode) { return "opcode " + std::to_string(static_cast<std::uint32_t>(opcode)); }

}  // namespace

Client::Client(const ClientOptions& options)
    : segment_bytes_(options.segment_bytes),
      scattered_(options.scattered),
      frontend_(with_buffers(options)),
      slots_(kDepthMax + 1),
      in_flight_(kDepthMax + 1),
      pieces_(8 + kDataBytesMax / options.segment_bytes) {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    slots_[i].index = i;
    slots_[i].memory = frontend_.buffers() + slot_layout::kBytes * i;
  }
  init();
}

void Client::init() {
  struct {
    abi::InitIn first;
    abi::InitInExt more;
  } in{};
  in.first.major = abi::kKernelVersion;
  in.first.minor = kMinorAsked;
  in.first.max_readahead = 128 * 1024;
  in.first.flags = static_cast<std::uint32_t>(offered_flags());
  in.more.flags2 = static_cast<std::uint32_t>(offered_flags() >> 32);
  const Request request = writer(call_slot())
                              .begin(abi::Opcode::kInit, 0)
                              .argument(in.first)
                              .argument(in.more)
                              .reply<abi::InitOut>()
                              .request();
  minor_ = call(request).as<abi::InitOut>().minor;
}

unsigned Client::depth_for(unsigned wanted, std::uint32_t data_bytes) {
  const std::size_t pieces = 4 + data_bytes / segment_bytes_;
  const std::size_t fits = frontend_.ring(1).capacity(pieces) * frontend_.request_queues();
  return static_cast<unsigned>(std::clamp<std::size_t>(fits, 1, wanted));
}

std::size_t Client::queue_of(const Slot& slot, const Request& request) const {
  // FORGET goes where Linux sends it.
  if (!request.has_reply) return 0;
  return 1 + slot.index % frontend_.request_queues();
}

std::size_t Client::add_data(std::size_t count, const Request& request, std::uint64_t at, std::uint32_t bytes,
                             bool writable) {
  const bool swaps = scattered_ && request.any_order && bytes % (2 * segment_bytes_) == 0;
  for (std::uint32_t done = 0; done < bytes; done += segment_bytes_) {
    // Each changes places with its neighbour: 1, 0, 3, 2 and so on.
    const std::uint32_t page = swaps ? (done / segment_bytes_ ^ 1U) * segment_bytes_ : done;
    pieces_[count++] = {at + page, std::min(segment_bytes_, bytes - page), writable};
  }
  return count;
}

void Client::submit(const Slot& slot, const Request& request) {
  const std::uint64_t at = slot.memory + slot_layout::kRequest;
  abi::InHeader header{};
  const auto head_bytes = static_cast<std::uint32_t>(sizeof(header)) + request.argument_bytes;
  header.len = head_bytes + request.data_in;
  header.opcode = static_cast<std::uint32_t>(request.opcode);
  header.unique = unique_ += 2;
  header.nodeid = request.nodeid;
  header.uid = request.uid;
  header.gid = request.gid;
  header.pid = 1;
  copy_bytes({ram().at(at), sizeof(header)}, bytes_of(header));
  in_flight_[slot.index] = {request, header.unique, 0};

  // The pieces that Linux makes: header, arguments, pages; header, structures, pages.
  std::size_t count = 0;
  pieces_[count++] = {at, sizeof(header), false};
  if (request.argument_bytes > 0) pieces_[count++] = {at + sizeof(header), request.argument_bytes, false};
  count = add_data(count, request, slot.memory + slot_layout::kData, request.data_in, false);
  if (request.has_reply) {
    const std::uint64_t reply_at = slot.memory + slot_layout::kReply;
    pieces_[count++] = {reply_at, sizeof(abi::OutHeader), true};
    if (request.reply_bytes > 0) pieces_[count++] = {reply_at + sizeof(abi::OutHeader), request.reply_bytes, true};
    count = add_data(count, request, slot.memory + slot_layout::kData, request.data_out, true);
  }
  Ring& ring = frontend_.ring(queue_of(slot, request));
  if (!ring.add({pieces_.data(), count}, slot.memory + slot_layout::kTable, slot.index)) die("the ring has no room");
}

void Client::publish() {
  for (std::size_t queue = 0; queue <= frontend_.request_queues(); ++queue) {
    if (frontend_.ring(queue).publish()) frontend_.kick(queue);
  }
}

Slot* Client::take() {
  const std::size_t queues = frontend_.request_queues() + 1;
  for (std::size_t tried = 0; tried < queues; ++tried) {
    if (const auto used = frontend_.ring(next_queue_).take()) {
      in_flight_[used->token].used = used->length;
      return &slots_[used->token];
    }
    next_queue_ = next_queue_ + 1 == queues ? 0 : next_queue_ + 1;
  }
  return nullptr;
}

Mistake Client::verify(const Slot& slot) const {
  const InFlight& sent = in_flight_[slot.index];
  if (!sent.request.has_reply) return {};
  const auto out = value_from<abi::OutHeader>({ram().at(slot.memory + slot_layout::kReply), sizeof(abi::OutHeader)});
  if (sent.used < sizeof(out) || out.len != sent.used || out.unique != sent.unique) {
    return {opcode_text(sent.request.opcode) + ": a malformed reply", 0};
  }
  if (out.error == 0 || out.error == -sent.request.expected_errno) return {};
  return {opcode_text(sent.request.opcode) + ": " + std::strerror(-out.error), -out.error};
}

Reply Client::reply(const Slot& slot) const {
  const InFlight& sent = in_flight_[slot.index];
  if (!sent.request.has_reply) return {0, {}, {}};
  const std::byte* at = ram().at(slot.memory + slot_layout::kReply);
  const auto out = value_from<abi::OutHeader>({at, sizeof(abi::OutHeader)});
  const std::uint32_t bytes = sent.used - static_cast<std::uint32_t>(sizeof(out));
  const std::uint32_t structures = std::min(bytes, sent.request.reply_bytes);
  return {-out.error, {at + sizeof(out), structures}, {data(slot), bytes - structures}};
}

bool Client::has_used() {
  for (std::size_t queue = 0; queue <= frontend_.request_queues(); ++queue) {
    if (frontend_.ring(queue).has_used()) return true;
  }
  return false;
}

void Client::suppress_calls() {
  for (std::size_t queue = 0; queue <= frontend_.request_queues(); ++queue) frontend_.ring(queue).disable_calls();
}

void Client::wait(bool poll) {
  if (poll) {
    suppress_calls();
    while (!has_used()) relax_processor();
    return;
  }
  while (!has_used()) {
    for (std::size_t queue = 0; queue <= frontend_.request_queues(); ++queue) frontend_.ring(queue).enable_calls();
    if (has_used()) return;
    frontend_.wait();
  }
}

Reply Client::call(const Request& request) {
  submit(call_slot(), request);
  publish();
  Slot* slot = nullptr;
  while ((slot = take()) == nullptr) wait(false);
  if (slot != &call_slot()) die("an answer that nobody waited for");
  if (const Mistake mistake = verify(*slot); !mistake.text.empty()) die("during set-up: " + mistake.text);
  return reply(*slot);
}

std::uint64_t Client::lookup(std::uint64_t parent, std::string_view name) {
  const Request request =
      writer(call_slot()).begin(abi::Opcode::kLookup, parent).name(name).reply<abi::EntryOut>().request();
  return call(request).as<abi::EntryOut>().nodeid;
}

std::uint64_t Client::open(std::uint64_t node, std::uint32_t flags) {
  const Request request = writer(call_slot())
                              .begin(abi::Opcode::kOpen, node)
                              .argument(abi::OpenIn{flags, 0})
                              .reply<abi::OpenOut>()
                              .request();
  return call(request).as<abi::OpenOut>().fh;
}

}  // namespace vfs::bench
