#include "passthrough/xattr_map.h"

#include <algorithm>
#include <utility>

namespace vfs::passthrough {

namespace {

constexpr std::string_view kRewritten = "user.virtiofs.";

bool matches(std::string_view name, std::string_view match, bool exact) {
  return exact ? name == match : name.starts_with(match);
}

Errno refusal(XattrVerdict verdict, XattrAccess access) {
  switch (verdict) {
    case XattrVerdict::kUnsupported:
      return Errno(EOPNOTSUPP);
    case XattrVerdict::kHidden:
      return Errno(access == XattrAccess::kSet ? EPERM : ENODATA);
    default:
      // A program that copies attributes takes EPERM of a get for a failure, ENODATA for nothing to copy.
      return Errno(access == XattrAccess::kGet ? ENODATA : EPERM);
  }
}

bool passes(XattrVerdict verdict) { return verdict == XattrVerdict::kPrefix || verdict == XattrVerdict::kOk; }

XattrRule exactly(XattrRule rule) {
  rule.exact = true;
  return rule;
}

}  // namespace

XattrRule xattr_rule(XattrVerdict verdict, XattrScope scope, std::string key, std::string prepend) {
  XattrRule rule{verdict, scope};
  rule.client_match = std::move(key);
  if (verdict == XattrVerdict::kPrefix) rule.prefix = prepend;
  rule.server_match = std::move(prepend);
  return rule;
}

std::vector<XattrRule> security_rewriting_rules() {
  using enum XattrVerdict;
  using enum XattrScope;
  const std::string rewritten(kRewritten);
  XattrRule strip = xattr_rule(kPrefix, kServer, {}, rewritten);
  strip.server_match += "security.";
  return {
      exactly(xattr_rule(kOk, kAll, "security.selinux", "security.selinux")),
      xattr_rule(kPrefix, kClient, "security.", rewritten),
      xattr_rule(kHidden, kClient, rewritten, {}),
      xattr_rule(kOk, kClient, {}, {}),
      // What is listed can be got: not the label's name with the prefix, nothing else that begins with the prefix, and
      // not the host's own security.*.
      exactly(xattr_rule(kHidden, kServer, {}, rewritten + "security.selinux")),
      std::move(strip),
      xattr_rule(kHidden, kServer, {}, rewritten),
      xattr_rule(kHidden, kServer, {}, "security."),
      xattr_rule(kOk, kServer, {}, {}),
  };
}

XattrMap::XattrMap(std::vector<XattrRule> rules, std::vector<XattrBlock> blocks)
    : rules_(std::move(rules)), blocks_(std::move(blocks)) {
  // to_guest takes the prefix away from what begins with server_match.
  for (const XattrRule& rule : rules_) VFS_ASSERT(rule.server_match.starts_with(rule.prefix));
  for (const XattrBlock& block : blocks_) VFS_ASSERT(!passes(block.verdict));
}

const XattrBlock* XattrMap::block_of(std::string_view host_name) const {
  const auto found = std::ranges::find(blocks_, host_name, &XattrBlock::host_name);
  return found == blocks_.end() ? nullptr : &*found;
}

Result<ShortText> XattrMap::to_host(XattrAccess access, std::string_view name) const {
  if (name.empty() || name.size() > ShortText::kBytesMax) return Errno(ERANGE);
  std::string_view prefix;
  if (!rules_.empty()) {
    const auto rule = std::ranges::find_if(rules_, [&](const XattrRule& each) {
      return each.scope != XattrScope::kServer && matches(name, each.client_match, each.exact);
    });
    const XattrVerdict verdict = rule == rules_.end() ? XattrVerdict::kBad : rule->verdict;
    if (!passes(verdict)) return refusal(verdict, access);
    if (verdict == XattrVerdict::kPrefix) prefix = rule->prefix;
  }
  const std::optional<ShortText> host_name = ShortText::of(prefix, name);
  if (!host_name.has_value()) return Errno(ERANGE);
  if (const XattrBlock* block = block_of(host_name->text())) return refusal(block->verdict, access);
  return *host_name;
}

std::optional<std::string_view> XattrMap::to_guest(std::string_view name) const {
  if (block_of(name) != nullptr) return std::nullopt;
  if (rules_.empty()) return name;
  const auto rule = std::ranges::find_if(rules_, [&](const XattrRule& each) {
    return each.scope != XattrScope::kClient && matches(name, each.server_match, each.exact);
  });
  if (rule == rules_.end() || !passes(rule->verdict)) return std::nullopt;
  // An empty name would end the guest's list early, and no attribute has one.
  if (name.size() == rule->prefix.size()) return std::nullopt;
  return name.substr(rule->prefix.size());
}

std::optional<ShortText> XattrMap::moved(std::string_view name) const {
  const Result<ShortText> host_name = to_host(XattrAccess::kSet, name);
  if (!host_name.ok() || host_name.value().text() == name) return std::nullopt;
  return host_name.value();
}

}  // namespace vfs::passthrough
