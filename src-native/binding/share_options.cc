#include "binding/share_options.h"

#include <string>
#include <utility>
#include <vector>

#include "binding/given.h"
#include "binding/overlay_functions.h"
#include "binding/policy_options.h"
#include "binding/sandbox_functions.h"

namespace vfs::binding {

namespace {

namespace pt = passthrough;

pt::CachePolicy cache_policy(const std::string& name) {
  if (name == "never") return pt::CachePolicy::kNever;
  if (name == "always") return pt::CachePolicy::kAlways;
  if (name == "metadata") return pt::CachePolicy::kMetadata;
  return pt::CachePolicy::kAuto;
}

pt::FileHandles file_handles(const std::string& name) {
  if (name == "prefer") return pt::FileHandles::kPrefer;
  if (name == "mandatory") return pt::FileHandles::kMandatory;
  return pt::FileHandles::kNever;
}

pt::KillPriv kill_priv(const std::string& name) {
  if (name == "off") return pt::KillPriv::kOff;
  if (name == "v2") return pt::KillPriv::kV2;
  return pt::KillPriv::kAuto;
}

pt::XattrRule xattr_rule(const Given& rule) {
  const std::string type = rule.text("type");
  const std::string scope = rule.text("scope");
  auto verdict = pt::XattrVerdict::kBad;
  if (type == "prefix") verdict = pt::XattrVerdict::kPrefix;
  if (type == "ok") verdict = pt::XattrVerdict::kOk;
  if (type == "unsupported") verdict = pt::XattrVerdict::kUnsupported;
  auto where = pt::XattrScope::kAll;
  if (scope == "client") where = pt::XattrScope::kClient;
  if (scope == "server") where = pt::XattrScope::kServer;
  return pt::xattr_rule(verdict, where, rule.text("key"), rule.text("prepend"));
}

pt::IdRange id_range(const Given& range) {
  const std::string kind = range.text("kind");
  auto what = pt::IdRangeKind::kShift;
  if (kind == "squash") what = pt::IdRangeKind::kSquash;
  if (kind == "forbid") what = pt::IdRangeKind::kForbid;
  return {what, range.number("from"), range.number("to"), range.number("count")};
}

template <typename Map>
Map id_map(const Given& ranges) {
  return Map(ranges.list("guestToHost", id_range), ranges.list("hostToGuest", id_range));
}

pt::PathRules::Rule path_rule(const Given& rule) {
  return {rule.text("path"),
          {pt::GuestUid{rule.number("guestUid")}, pt::GuestGid{rule.number("guestGid")},
           pt::HostUid{rule.number("hostUid")}, pt::HostGid{rule.number("hostGid")},
           static_cast<mode_t>(rule.number("umask"))}};
}

pt::XattrMap xattr_map(const Given& given) {
  std::vector<pt::XattrBlock> blocks;
  if (given.flag("overrideStat")) blocks.push_back(pt::override_stat_block());
  auto rules =
      given.flag("rewriteSecurityXattrs") ? pt::security_rewriting_rules() : given.list("xattrRules", xattr_rule);
  return pt::XattrMap(std::move(rules), std::move(blocks));
}

}  // namespace

device::DeviceOptions device_options_from(const Napi::Object& object) {
  const Given given(object);
  device::DeviceOptions options{};
  options.tag = given.text("tag");
  options.request_queues = given.number("requestQueues");
  options.pool_threads = given.number("poolThreads");
  options.write_bytes_max = given.number("maxWrite");
  options.measure_latency = given.flag("measureLatency");
  options.polling = {std::chrono::microseconds(given.number("pollUs")), given.flag("pollAfterBurstsOnly")};
  options.confinement = confinement_from(object.Get("confinement").As<Napi::Object>());
  if (const Napi::Value policy = object.Get("policy"); policy.IsObject()) {
    options.policy = policy_from(policy.As<Napi::Object>());
    options.awaits_handlers = given.flag("awaitsHandlers");
  }
  if (const Napi::Value tap = object.Get("tap"); tap.IsObject()) {
    const Given wanted(tap.As<Napi::Object>());
    device::TapOptions watched{.begins = wanted.flag("begins")};
    for (const std::uint32_t opcode : wanted.numbers("opcodes")) {
      watched.operations |= std::uint64_t{1} << fuse::slot_of_opcode(opcode);
    }
    options.tap = watched;
  }
  if (const Napi::Value over = object.Get("overlay"); over.IsObject()) {
    options.overlay = overlay_from(over.As<Napi::Object>());
  }
  pt::PassthroughOptions& share = options.share;
  share.root = given.text("sharedDir");
  share.session_fd = given.integer("sessionFd");
  share.entry_timeout_ns = given.nanoseconds("entryTimeoutMs");
  share.attr_timeout_ns = given.nanoseconds("attrTimeoutMs");
  share.negative_timeout_ns = given.nanoseconds("negativeTimeoutMs");
  share.cache = cache_policy(given.text("cachePolicy"));
  share.writeback = given.flag("writeback");
  share.readdirplus = given.flag("readdirplus");
  share.allow_mmap = given.flag("allowMmap");
  share.allow_direct_io = given.flag("allowDirectIo");
  share.preserve_noatime = given.flag("preserveNoatime");
  share.read_only = given.flag("readOnly");
  share.announce_submounts = given.flag("announceSubmounts");
  share.file_handles = file_handles(given.text("inodeFileHandles"));
  share.descriptors_max = given.number("descriptorsMax");
  share.xattr = given.flag("xattr");
  share.xattr_map = xattr_map(given);
  share.posix_acl = given.flag("posixAcl");
  share.security_ctx = given.flag("securityCtx");
  share.require_posix_acl = given.flag("requirePosixAcl");
  share.require_security_ctx = given.flag("requireSecurityCtx");
  share.killpriv = kill_priv(given.text("killpriv"));
  share.posix_locks = given.flag("posixLocks");
  share.flock = given.flag("flock");
  share.ascii_casefold = given.flag("asciiCasefold");
  share.open_atomic = given.flag("openAtomic");
  share.chromeos_tmpfile = given.flag("chromeosTmpfile");
  share.identity.uids = id_map<pt::UidMap>(given.object("uidRanges"));
  share.identity.gids = id_map<pt::GidMap>(given.object("gidRanges"));
  share.identity.override_stat = given.flag("overrideStat");
  share.identity.rules = given.list("ugidMap", path_rule);
  share.identity.registered_rules_max = given.number("maxDynamicPerm");
  share.registered_xattrs_max = given.number("maxDynamicXattr");
  share.privileged_quota_uids = given.numbers("privilegedQuotaUids");
  share.zero_message_open = given.flag("zeroMessageOpen");
  return options;
}

}  // namespace vfs::binding
