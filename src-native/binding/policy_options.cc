#include "binding/policy_options.h"

#include <string>

namespace vfs::binding {

namespace {

policy::PatternSource pattern_from(const Given& given) {
  return {.negated = given.flag("negated"),
          .directories_only = given.flag("directoriesOnly"),
          .components = given.texts("components")};
}

policy::RuleSource rule_from(const Given& given) {
  const policy::Effect effect{.hides = given.flag("hides"),
                              .allows = given.number("allows"),
                              .denies = given.number("denies"),
                              .as_read_only = given.flag("asReadOnly"),
                              .mask = given.integer("mask"),
                              .umask = given.number("umask")};
  return {.effect = effect, .everywhere = given.flag("everywhere"), .patterns = patterns_from(given)};
}

policy::HardLinks hard_links_from(const std::string& name) {
  if (name == "allow") return policy::HardLinks::kAllow;
  if (name == "hide") return policy::HardLinks::kHide;
  return policy::HardLinks::kCheck;
}

// Integers up to 2^53, or -1.
std::uint64_t limit(double value) { return value < 0 ? policy::kUnlimited : static_cast<std::uint64_t>(value); }

policy::LimitValues limits_from(const Given& given) {
  return {.open_handles = limit(given.real("openHandles")),
          .inodes = limit(given.real("inodes")),
          .bytes_written = limit(given.real("bytesWritten")),
          .file_size = limit(given.real("fileSize"))};
}

policy::PaceValues pace_from(const Given& given) {
  const auto rate = [&given](const char* name) {
    const double value = given.real(name);
    return value < 0 ? 0 : static_cast<std::uint64_t>(value);
  };
  return {.operations_per_second = rate("opsPerSecond"), .bytes_per_second = rate("bytesPerSecond")};
}

std::string bytes_from(const Napi::Uint8Array& content) {
  return {reinterpret_cast<const char*>(content.Data()), content.ByteLength()};
}

}  // namespace

std::vector<policy::PatternSource> patterns_from(const Given& given) { return given.list("patterns", pattern_from); }

policy::PolicySource policy_from(const Napi::Object& object) {
  const Given given(object);
  return {.rules = given.list("rules", rule_from),
          .masks = given.each<Napi::Uint8Array>("masks", bytes_from),
          .ignore_case = given.flag("ignoreCase"),
          .lasting = given.flag("lasting"),
          .hard_links = hard_links_from(given.text("hardLinks")),
          .limits = limits_from(given.object("limits")),
          .pace = pace_from(given.object("limits"))};
}

}  // namespace vfs::binding
