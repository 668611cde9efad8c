// FUSE_INIT: one session begins. A second INIT ends the session before it (virtio 1.3 §5.11.6.1): that is how a guest
// that rebooted without unmounting gets a fresh start.
#include <algorithm>

#include "fuse/server.h"

namespace vfs::fuse {

namespace {

// What the server itself takes part in, whatever the file system wants.
constexpr std::uint64_t kServerFlags = abi::init_flag::kMaxPages | abi::init_flag::kInitExt;

constexpr std::uint32_t kPageBytes = 4096;  // of FUSE's page counts on every guest that we know
constexpr std::uint32_t kPagesMax = 65535;  // InitOut::max_pages has 16 bits
// Of a guest that has no MAX_PAGES (FUSE_DEFAULT_MAX_PAGES_PER_REQ).
constexpr std::uint32_t kPagesDefault = 32;

// What one request may carry: as many bytes as the server takes, in as many pages as the guest can put into one.
std::uint32_t transfer_max(const ServerOptions& options, std::uint64_t flags) {
  const bool counted = (flags & abi::init_flag::kMaxPages) != 0;
  return std::min(options.write_bytes_max, (counted ? kPagesMax : kPagesDefault) * kPageBytes);
}

// Linux uses these to bound what it sends in the background; the ring bounds it anyway.
constexpr std::uint16_t kBackgroundMax = 65535;
constexpr std::uint16_t kCongestionThreshold = kBackgroundMax / 4 * 3;

std::uint64_t offered_flags(const abi::InitIn& in, std::uint32_t flags2) {
  std::uint64_t offered = in.flags;
  if ((in.flags & abi::init_flag::kInitExt) != 0) offered |= std::uint64_t{flags2} << 32;
  return offered;
}

// The guest speaks a newer major: it is told ours and will send INIT again (<linux/fuse.h>, "Protocol changelog").
abi::InitOut only_our_version() {
  abi::InitOut out{};
  out.major = abi::kKernelVersion;
  out.minor = abi::kKernelMinorVersion;
  return out;
}

abi::InitOut agreement(const abi::InitIn& in, std::uint32_t minor, std::uint64_t flags, std::uint32_t write_bytes_max) {
  abi::InitOut out = only_our_version();
  out.minor = minor;
  out.max_readahead = in.max_readahead;
  out.flags = static_cast<std::uint32_t>(flags);
  out.flags2 = static_cast<std::uint32_t>(flags >> 32);
  out.max_background = kBackgroundMax;
  out.congestion_threshold = kCongestionThreshold;
  out.max_write = write_bytes_max;
  out.max_pages = static_cast<std::uint16_t>(write_bytes_max / kPageBytes);
  out.time_gran = 1;
  return out;
}

}  // namespace

Result<abi::InitOut> Server::begin_session(const abi::InitIn& in, std::uint32_t flags2) {
  if (in.major > abi::kKernelVersion) return only_our_version();
  if (in.major < abi::kKernelVersion || in.minor < abi::kMinorVersionMin) return Errno(EPROTO);
  const std::lock_guard lock(session_change_);
  session_.active.store(false, std::memory_order_release);
  // Requests that are on their way carry the old number: the tables refuse what they would add.
  const std::uint32_t number = session_.number.fetch_add(1, std::memory_order_acq_rel) + 1;
  const std::uint64_t offered = offered_flags(in, flags2);
  VFS_TRY(const std::uint64_t wanted, fs_.init(number, offered));
  const std::uint64_t flags = offered & (wanted | kServerFlags);
  const std::uint32_t minor = std::min(in.minor, abi::kKernelMinorVersion);
  session_.minor.store(minor, std::memory_order_relaxed);
  session_.flags.store(flags, std::memory_order_relaxed);
  const std::uint32_t bytes_max = transfer_max(options_, flags);
  session_.write_bytes_max.store(bytes_max, std::memory_order_relaxed);
  fs_.session_begun({minor, bytes_max, offered, wanted, flags});
  session_.active.store(true, std::memory_order_release);
  return agreement(in, minor, flags, bytes_max);
}

void Server::resume_session() {
  const std::lock_guard lock(session_change_);
  const std::uint32_t number = session_.number.load(std::memory_order_relaxed) + 1;
  // The guest has been promised what INIT answered. A server that would answer something else cannot go on.
  const auto terms = fs_.resume(number, [this](const SessionTerms& kept) {
    return kept.minor >= abi::kMinorVersionMin && kept.minor <= abi::kKernelMinorVersion &&
           kept.flags == (kept.offered & (kept.wanted | kServerFlags)) &&
           kept.write_bytes_max == transfer_max(options_, kept.flags);
  });
  if (!terms.has_value()) return;
  session_.number.store(number, std::memory_order_release);
  session_.minor.store(terms->minor, std::memory_order_relaxed);
  session_.flags.store(terms->flags, std::memory_order_relaxed);
  session_.write_bytes_max.store(terms->write_bytes_max, std::memory_order_relaxed);
  session_.active.store(true, std::memory_order_release);
}

}  // namespace vfs::fuse
