#include "policy/rules.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace vfs::policy {

namespace {

constexpr std::string_view kDeep = "**";

}  // namespace

std::shared_ptr<const Rules> Rules::compile(const PolicySource& source, std::uint64_t generation) {
  return std::shared_ptr<const Rules>(new Rules(source, generation));
}

Rules::Rules(const PolicySource& source, std::uint64_t generation)
    : generation_(generation), lasting_(source.lasting), hard_links_(source.hard_links) {
  VFS_ASSERT(source.rules.size() <= kRulesMax);
  for (const std::string& mask : source.masks) masks_.push_back(std::make_shared<const std::string>(mask));
  for (const RuleSource& rule : source.rules) {
    const auto index = static_cast<std::uint32_t>(effects_.size());
    effects_.push_back(rule.effect);
    everywhere_.set(index, rule.everywhere);
    hides_.set(index, rule.effect.hides);
    for (const PatternSource& pattern : rule.patterns) add_pattern(pattern, index, source.ignore_case);
  }
}

std::uint32_t Rules::add_glob(std::string_view text, bool ignore_case) {
  const auto known = std::find(glob_texts_.begin(), glob_texts_.end(), text);
  if (known != glob_texts_.end()) return static_cast<std::uint32_t>(known - glob_texts_.begin());
  glob_texts_.emplace_back(text);
  globs_.emplace_back(text, ignore_case);
  screens_.push_back(globs_.back().screen());
  return static_cast<std::uint32_t>(globs_.size() - 1);
}

void Rules::add_pattern(const PatternSource& source, std::uint32_t rule, bool ignore_case) {
  VFS_ASSERT(!source.components.empty());
  const auto pattern = static_cast<std::uint32_t>(patterns_.size());
  patterns_.push_back({rule, source.negated, source.directories_only});
  const auto& components = source.components;
  if (components.size() == 2 && components[0] == kDeep && components[1] != kDeep) {
    floating_.push_back({pattern, add_glob(components[1], ignore_case)});
    return;
  }
  first_.push_back(static_cast<std::uint32_t>(positions_.size()));
  for (const std::string& component : components) {
    const bool deep = component == kDeep;
    const auto glob = deep ? -1 : static_cast<std::int32_t>(add_glob(component, ignore_case));
    positions_.push_back({pattern, glob, &component == &components.back()});
  }
}

StateRef Rules::root() const {
  auto state = std::make_shared<State>();
  state->rules = shared_from_this();
  state->holding = everywhere_;
  for (const std::uint32_t position : first_) {
    if (!everywhere_.test(patterns_[positions_[position].pattern].rule)) close_over(position, state->positions);
  }
  std::sort(state->positions.begin(), state->positions.end());
  state->verdict = verdict_of(everywhere_);
  return state;
}

void Rules::close_over(std::uint32_t position, std::vector<std::uint32_t>& into) const {
  for (;; ++position) {
    if (std::find(into.begin(), into.end(), position) == into.end()) into.push_back(position);
    // Any number may be none.
    if (positions_[position].glob >= 0 || positions_[position].last) return;
  }
}

Reading Rules::read(const State& parent, std::string_view name, std::vector<std::uint32_t>* next) const {
  // Of each rule the last pattern that matches; patterns are numbered in their order.
  struct Last {
    std::int32_t directory = -1;
    std::int32_t other = -1;
  };
  std::array<Last, kRulesMax> decisive;
  bool any = false;
  const auto matched = [&](std::uint32_t index) {
    if (!any) std::fill_n(decisive.begin(), effects_.size(), Last());
    any = true;
    const Pattern& pattern = patterns_[index];
    Last& last = decisive[pattern.rule];
    last.directory = std::max(last.directory, static_cast<std::int32_t>(index));
    if (!pattern.directories_only) last.other = std::max(last.other, static_cast<std::int32_t>(index));
  };
  for (const Floating& floating : floating_) {
    if (matches(floating.glob, name)) matched(floating.pattern);
  }
  for (const std::uint32_t index : parent.positions) {
    const Position& position = positions_[index];
    const bool deep = position.glob < 0;
    if (!deep && !matches(static_cast<std::size_t>(position.glob), name)) continue;
    if (position.last) matched(position.pattern);
    if (next != nullptr && deep) close_over(index, *next);
    if (next != nullptr && !deep && !position.last) close_over(index + 1, *next);
  }
  Reading reading{parent.holding, parent.holding};
  if (!any) return reading;
  const auto holds = [&](std::int32_t last) { return last >= 0 && !patterns_[static_cast<std::size_t>(last)].negated; };
  for (std::size_t rule = 0; rule < effects_.size(); ++rule) {
    if (holds(decisive[rule].directory)) reading.directory.set(rule);
    if (holds(decisive[rule].other)) reading.other.set(rule);
  }
  return reading;
}

void Rules::apply(const Effect& effect, Verdict& verdict) const {
  verdict.hidden = verdict.hidden || effect.hides;
  verdict.denied = (verdict.denied & ~effect.allows) | effect.denies;
  verdict.read_only &= ~(effect.allows | effect.denies);
  if (effect.as_read_only) verdict.read_only |= effect.denies;
  if (effect.mask >= 0) verdict.mask = masks_[static_cast<std::size_t>(effect.mask)];
  verdict.umask |= effect.umask;
}

Verdict Rules::verdict_of(const Holding& holding) const {
  Verdict verdict;
  for (std::size_t rule = 0; rule < effects_.size(); ++rule) {
    if (holding.test(rule)) apply(effects_[rule], verdict);
  }
  return verdict;
}

Verdict Rules::judge(const State& parent, const Reading& reading, bool is_directory) const {
  const Holding& holding = is_directory ? reading.directory : reading.other;
  return holding == parent.holding ? parent.verdict : verdict_of(holding);
}

// A rule that hides does so for good.
Hiding Rules::hiding(const Reading& reading) const {
  return {.directory = (reading.directory & hides_).any(), .other = (reading.other & hides_).any()};
}

StateRef Rules::enter(const StateRef& parent, std::string_view name) const {
  std::vector<std::uint32_t> next;
  const Holding holding = read(*parent, name, &next).directory;
  // A rule that holds holds for everything below, and has no more questions.
  std::erase_if(next, [&](std::uint32_t index) { return holding.test(patterns_[positions_[index].pattern].rule); });
  std::sort(next.begin(), next.end());
  next.erase(std::unique(next.begin(), next.end()), next.end());
  if (holding == parent->holding && next == parent->positions) return parent;
  auto state = std::make_shared<State>();
  state->rules = parent->rules;
  state->holding = holding;
  state->positions = std::move(next);
  state->verdict = holding == parent->holding ? parent->verdict : verdict_of(holding);
  return state;
}

bool Rules::may_hide_below(const State& state) const {
  const auto could = [&](std::uint32_t pattern) {
    const std::uint32_t rule = patterns_[pattern].rule;
    return hides_.test(rule) && !state.holding.test(rule);
  };
  return std::any_of(floating_.begin(), floating_.end(), [&](const Floating& each) { return could(each.pattern); }) ||
         std::any_of(state.positions.begin(), state.positions.end(),
                     [&](std::uint32_t index) { return could(positions_[index].pattern); });
}

}  // namespace vfs::policy
