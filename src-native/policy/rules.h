// Rules: what a policy says of paths, compiled. docs/policies.md is the reference of what rules mean.
//
// A rule has patterns as in one gitignore file: of those that match a path the last one counts, and what holds for a
// directory holds for everything below it. A pattern is a sequence of components (globs, or `**` for any number of
// directories); reading it, one stands at a position. So what the rules still want to know about everything below a
// directory is a set of rules that hold and a set of positions: its State. A name makes the State of a directory into
// the verdict on the child, and for a directory into the child's State. Nothing else of the path is needed, and no path
// is ever put together.
//
// Two directories with equal States are the same place as far as the rules can tell, however deep one looks. That is
// what makes a rename from one to the other harmless, and any other one a border (EXDEV).
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/glob.h"
#include "policy/limits.h"
#include "policy/pace.h"
#include "policy/verdict.h"

namespace vfs::policy {

inline constexpr std::size_t kRulesMax = 256;

// What a rule does where it holds. Rules are applied in their order.
struct Effect {
  bool hides = false;         // for good: no later rule shows it again
  std::uint32_t allows = 0;   // bits of Permission
  std::uint32_t denies = 0;   // the same
  bool as_read_only = false;  // what is denied is EROFS
  std::int32_t mask = -1;     // which of PolicySource::masks is shown; none
  std::uint32_t umask = 0;
};

struct PatternSource {
  bool negated = false;
  bool directories_only = false;
  std::vector<std::string> components;  // "**": any number of directories; at the end at least one component
};

struct RuleSource {
  Effect effect;
  bool everywhere = false;  // the root itself is matched
  std::vector<PatternSource> patterns;
};

// How hard links are dealt with, which are the one way to a file that names alone do not bar.
enum class HardLinks : std::uint8_t {
  kCheck,  // a file with several names is looked for among what is hidden
  kAllow,  // not looked for
  kHide,   // no file with several names is shown
};

struct PolicySource {
  std::vector<RuleSource> rules;   // at most kRulesMax
  std::vector<std::string> masks;  // contents
  bool ignore_case = false;
  bool lasting = false;  // guests may remember names and attributes as long as the share allows
  HardLinks hard_links = HardLinks::kCheck;
  LimitValues limits = {};
  PaceValues pace = {};
};

class Rules;

// Rules that hold somewhere.
using Holding = std::bitset<kRulesMax>;

// What the rules say of a name in a directory: if it is a directory's, and if it is of anything else.
struct Reading {
  Holding directory;
  Holding other;
};

struct State {
  std::shared_ptr<const Rules> rules;
  Holding holding;
  std::vector<std::uint32_t> positions;  // ascending
  Verdict verdict;                       // on the directory itself

  // Whether the rules can tell the two apart.
  bool same_place(const State& other) const {
    return rules == other.rules && holding == other.holding && positions == other.positions;
  }
};
using StateRef = std::shared_ptr<const State>;

// Whether something of a name is hidden: if it is a directory, and if it is anything else.
struct Hiding {
  bool directory = false;
  bool other = false;
  bool always() const { return directory && other; }
  bool somehow() const { return directory || other; }
};

class Rules : public std::enable_shared_from_this<Rules> {
 public:
  // `generation` tells one policy of a device from the next.
  static std::shared_ptr<const Rules> compile(const PolicySource& source, std::uint64_t generation);

  std::uint64_t generation() const { return generation_; }
  bool lasting() const { return lasting_; }
  HardLinks hard_links() const { return hard_links_; }
  bool hides_something() const { return hides_.any(); }
  // Whether a visible name may be one of something hidden.
  bool guards_links() const {
    return hard_links_ == HardLinks::kHide || (hard_links_ == HardLinks::kCheck && hides_something());
  }

  StateRef root() const;
  // A name in a directory is read once, whatever turns out to have it.
  Reading read(const State& parent, std::string_view name) const { return read(parent, name, nullptr); }
  Hiding hiding(const Reading& reading) const;
  Verdict judge(const State& parent, const Reading& reading, bool is_directory) const;
  Verdict judge(const State& parent, std::string_view name, bool is_directory) const {
    return judge(parent, read(parent, name), is_directory);
  }
  Hiding hiding(const State& parent, std::string_view name) const {
    return hides_something() ? hiding(read(parent, name)) : Hiding();
  }
  StateRef enter(const StateRef& parent, std::string_view name) const;
  // Whether something below could be hidden.
  bool may_hide_below(const State& state) const;

 private:
  struct Position {
    std::uint32_t pattern;
    std::int32_t glob;  // -1: any number of directories
    bool last;          // the pattern ends here
  };
  struct Pattern {
    std::uint32_t rule;
    bool negated;
    bool directories_only;
  };
  // A pattern of one component at any depth: the most common kind, and not a position in every State.
  struct Floating {
    std::uint32_t pattern;
    std::uint32_t glob;
  };

  Rules(const PolicySource& source, std::uint64_t generation);
  void add_pattern(const PatternSource& source, std::uint32_t rule, bool ignore_case);
  std::uint32_t add_glob(std::string_view text, bool ignore_case);
  bool matches(std::size_t glob, std::string_view name) const {
    return screens_[glob].admits(name) && globs_[glob].matches(name);
  }
  // Adds a position and those that can be reached from it without a name.
  void close_over(std::uint32_t position, std::vector<std::uint32_t>& into) const;
  // With the positions in the directory of that name, if `next` wants them.
  Reading read(const State& parent, std::string_view name, std::vector<std::uint32_t>* next) const;
  void apply(const Effect& effect, Verdict& verdict) const;
  Verdict verdict_of(const Holding& holding) const;

  const std::uint64_t generation_;
  const bool lasting_;
  const HardLinks hard_links_;
  std::vector<Effect> effects_;
  Holding everywhere_;
  Holding hides_;
  std::vector<Pattern> patterns_;     // in the order of the rules and of their patterns
  std::vector<Position> positions_;   // those of a pattern in a row
  std::vector<std::uint32_t> first_;  // positions where patterns begin
  std::vector<Floating> floating_;
  std::vector<Glob> globs_;
  std::vector<GlobScreen> screens_;  // of the globs
  std::vector<std::string> glob_texts_;
  std::vector<std::shared_ptr<const std::string>> masks_;
};

}  // namespace vfs::policy
