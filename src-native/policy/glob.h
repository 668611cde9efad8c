// Glob: a pattern for one component of a path, as gitignore(5) has it: `*`, `?`, classes with ranges and names, and `\`
// before what is to be taken as it is. Bytes, not characters, as in git. No pattern takes longer than its length times
// that of the name, whatever a guest calls its files.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vfs::policy {

// What a look at a name's length and ends says: most names are none of a pattern's for that. Those of many patterns are
// in one line of the cache.
struct GlobScreen {
  static constexpr std::int16_t kAnyByte = -1;

  std::uint16_t shortest = 0;
  std::uint16_t longest = 0xffff;
  std::int16_t first = kAnyByte;
  std::int16_t last = kAnyByte;

  // False: the pattern does not match.
  bool admits(std::string_view name) const {
    if (name.size() < shortest || name.size() > longest) return false;
    // A byte that must be there is counted in the shortest.
    return (first == kAnyByte || first == static_cast<unsigned char>(name.front())) &&
           (last == kAnyByte || last == static_cast<unsigned char>(name.back()));
  }
};

class Glob {
 public:
  // The caller has checked the syntax (src-ts/policy/patterns.ts); what is malformed all the same stands for itself.
  // `ignore_case`: ASCII letters match in either case.
  Glob(std::string_view pattern, bool ignore_case);

  bool matches(std::string_view name) const;
  GlobScreen screen() const;

 private:
  enum class Kind : std::uint8_t { kByte, kAny, kStar, kClass };
  struct Token {
    Kind kind;
    unsigned char byte = 0;      // of kByte
    std::uint32_t class_at = 0;  // of kClass
  };
  using Class = std::bitset<256>;

  // What stands in brackets from `at` on; the place behind it, or npos: there is no such class.
  std::size_t parse_class(std::string_view pattern, std::size_t at);
  bool accepts(const Token& token, unsigned char byte) const;
  unsigned char folded(unsigned char byte) const;
  bool matches_tokens(std::string_view name) const;
  bool equal(std::string_view one, std::string_view other) const;

  const bool ignore_case_;
  std::vector<Token> tokens_;
  std::vector<Class> classes_;
  // Most patterns are `name` or `*.suffix`, which a comparison decides.
  bool plain_ = false;
  bool star_first_ = false;
  std::string text_;
};

}  // namespace vfs::policy
