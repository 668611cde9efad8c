// Policies as tests write them.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "policy/rules.h"

namespace vfs::test {

// A pattern as src-ts/policy/patterns.ts reads it; tests write none that it would refuse.
inline policy::PatternSource pattern(std::string text) {
  policy::PatternSource made;
  if (text.starts_with('!')) {
    made.negated = true;
    text.erase(0, 1);
  }
  if (text.ends_with('/')) {
    made.directories_only = true;
    text.pop_back();
  }
  if (text.find('/') == std::string::npos) made.components.emplace_back("**");
  if (text.starts_with('/')) text.erase(0, 1);
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    made.components.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return made;
}

inline policy::RuleSource rule(const policy::Effect& effect, std::initializer_list<const char*> patterns) {
  policy::RuleSource made;
  made.effect = effect;
  made.everywhere = patterns.size() == 0;
  for (const char* each : patterns) made.patterns.push_back(pattern(each));
  return made;
}

inline policy::RuleSource hide(std::initializer_list<const char*> patterns) {
  policy::Effect effect;
  effect.hides = true;
  return rule(effect, patterns);
}

inline policy::RuleSource deny(std::uint32_t permissions, std::initializer_list<const char*> patterns,
                               bool read_only = false) {
  policy::Effect effect;
  effect.denies = permissions;
  effect.as_read_only = read_only;
  return rule(effect, patterns);
}

inline policy::RuleSource allow(std::uint32_t permissions, std::initializer_list<const char*> patterns) {
  policy::Effect effect;
  effect.allows = permissions;
  return rule(effect, patterns);
}

// One rule: what matches has this content.
inline policy::PolicySource mask(std::initializer_list<const char*> patterns, std::string content) {
  policy::Effect effect;
  effect.mask = 0;
  policy::PolicySource made;
  made.rules.push_back(rule(effect, patterns));
  made.masks.push_back(std::move(content));
  return made;
}

inline policy::PolicySource policy_of(std::vector<policy::RuleSource> rules) {
  policy::PolicySource made;
  made.rules = std::move(rules);
  return made;
}

}  // namespace vfs::test
