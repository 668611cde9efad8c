#include "policy/glob.h"

#include <algorithm>
#include <cctype>

namespace vfs::policy {

namespace {

constexpr std::size_t kNone = std::string_view::npos;

unsigned char byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

unsigned char lower(unsigned char byte) {
  return byte >= 'A' && byte <= 'Z' ? static_cast<unsigned char>(byte - 'A' + 'a') : byte;
}

// The names of POSIX, in the C locale, whatever locale the process has.
bool is_in_named(std::string_view name, unsigned char byte) {
  const bool upper = byte >= 'A' && byte <= 'Z';
  const bool small = byte >= 'a' && byte <= 'z';
  const bool digit = byte >= '0' && byte <= '9';
  const bool graph = byte > ' ' && byte < 0x7f;
  const bool alnum = upper || small || digit;
  if (name == "alnum") return alnum;
  if (name == "alpha") return upper || small;
  if (name == "blank") return byte == ' ' || byte == '\t';
  if (name == "cntrl") return byte < ' ' || byte == 0x7f;
  if (name == "digit") return digit;
  if (name == "graph") return graph;
  if (name == "lower") return small;
  if (name == "print") return graph || byte == ' ';
  if (name == "punct") return graph && !alnum;
  if (name == "space") return byte == ' ' || (byte >= '\t' && byte <= '\r');
  if (name == "upper") return upper;
  return name == "xdigit" && (digit || (lower(byte) >= 'a' && lower(byte) <= 'f'));
}

}  // namespace

Glob::Glob(std::string_view pattern, bool ignore_case) : ignore_case_(ignore_case) {
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    unsigned char byte = byte_at(pattern, at);
    if (byte == '*') {
      // Several in a row say no more than one.
      if (tokens_.empty() || tokens_.back().kind != Kind::kStar) tokens_.push_back({Kind::kStar});
      continue;
    }
    if (byte == '?') {
      tokens_.push_back({Kind::kAny});
      continue;
    }
    if (byte == '[') {
      if (const std::size_t behind = parse_class(pattern, at + 1); behind != kNone) {
        tokens_.push_back({Kind::kClass, 0, static_cast<std::uint32_t>(classes_.size() - 1)});
        at = behind - 1;
        continue;
      }
    }
    if (byte == '\\' && at + 1 < pattern.size()) byte = byte_at(pattern, ++at);
    tokens_.push_back({Kind::kByte, folded(byte)});
  }
  star_first_ = !tokens_.empty() && tokens_.front().kind == Kind::kStar;
  const auto rest = tokens_.begin() + (star_first_ ? 1 : 0);
  plain_ = std::all_of(rest, tokens_.end(), [](const Token& token) { return token.kind == Kind::kByte; });
  if (plain_)
    std::transform(rest, tokens_.end(), std::back_inserter(text_), [](const Token& token) { return token.byte; });
}

std::size_t Glob::parse_class(std::string_view pattern, std::size_t at) {
  Class members;
  const bool negated = at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^');
  if (negated) ++at;
  int before = -1;  // what a range could begin with
  for (bool first = true;; first = false) {
    if (at >= pattern.size()) return kNone;
    unsigned char byte = byte_at(pattern, at);
    if (byte == ']' && !first) break;
    if (byte == '[' && at + 1 < pattern.size() && pattern[at + 1] == ':') {
      const std::size_t end = pattern.find(":]", at + 2);
      if (end != kNone) {
        const std::string_view name = pattern.substr(at + 2, end - at - 2);
        for (unsigned i = 0; i < 256; ++i) members[i] = members[i] || is_in_named(name, static_cast<unsigned char>(i));
        at = end + 2;
        before = -1;
        continue;
      }
    }
    if (byte == '-' && before >= 0 && at + 1 < pattern.size() && pattern[at + 1] != ']') {
      unsigned char last = byte_at(pattern, ++at);
      if (last == '\\' && at + 1 < pattern.size()) last = byte_at(pattern, ++at);
      for (unsigned i = static_cast<unsigned>(before); i <= last; ++i) members.set(i);
      before = -1;
      ++at;
      continue;
    }
    if (byte == '\\' && at + 1 < pattern.size()) byte = byte_at(pattern, ++at);
    members.set(byte);
    before = byte;
    ++at;
  }
  if (ignore_case_) {
    for (unsigned i = 'a'; i <= 'z'; ++i) {
      const unsigned upper = i - 'a' + 'A';
      const bool either = members[i] || members[upper];
      members[i] = either;
      members[upper] = either;
    }
  }
  classes_.push_back(negated ? ~members : members);
  return at + 1;
}

unsigned char Glob::folded(unsigned char byte) const { return ignore_case_ ? lower(byte) : byte; }

bool Glob::accepts(const Token& token, unsigned char byte) const {
  switch (token.kind) {
    case Kind::kByte:
      return token.byte == folded(byte);
    case Kind::kClass:
      return classes_[token.class_at].test(byte);
    case Kind::kAny:
    case Kind::kStar:
      break;
  }
  return true;
}

bool Glob::equal(std::string_view one, std::string_view other) const {
  if (!ignore_case_) return one == other;
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), [](char a, char b) {
    return static_cast<unsigned char>(a) == lower(static_cast<unsigned char>(b));
  });
}

GlobScreen Glob::screen() const {
  GlobScreen screen;
  const auto stars =
      std::count_if(tokens_.begin(), tokens_.end(), [](const Token& token) { return token.kind == Kind::kStar; });
  // Whatever is not a star takes one byte.
  const std::size_t bytes = std::min<std::size_t>(tokens_.size() - static_cast<std::size_t>(stars), screen.longest);
  screen.shortest = static_cast<std::uint16_t>(bytes);
  if (stars == 0) screen.longest = screen.shortest;
  const auto byte_of = [&](const Token& token) {
    const bool is_certain = token.kind == Kind::kByte && !ignore_case_;
    return is_certain ? std::int16_t{token.byte} : GlobScreen::kAnyByte;
  };
  if (tokens_.empty()) return screen;
  screen.first = byte_of(tokens_.front());
  screen.last = byte_of(tokens_.back());
  return screen;
}

bool Glob::matches(std::string_view name) const {
  if (!plain_) return matches_tokens(name);
  if (!star_first_) return name.size() == text_.size() && equal(text_, name);
  return name.size() >= text_.size() && equal(text_, name.substr(name.size() - text_.size()));
}

// Of several stars only the last one that was passed can be worth taking more: what stands between two stars is best
// found where it comes first.
bool Glob::matches_tokens(std::string_view name) const {
  std::size_t token = 0;
  std::size_t at = 0;
  std::size_t star = kNone;
  std::size_t star_end = 0;  // what the star has taken reaches up to here
  while (at < name.size()) {
    if (token < tokens_.size() && tokens_[token].kind == Kind::kStar) {
      star = token++;
      star_end = at;
    } else if (token < tokens_.size() && accepts(tokens_[token], byte_at(name, at))) {
      ++token;
      ++at;
    } else if (star != kNone) {
      token = star + 1;
      at = ++star_end;
    } else {
      return false;
    }
  }
  while (token < tokens_.size() && tokens_[token].kind == Kind::kStar) ++token;
  return token == tokens_.size();
}

}  // namespace vfs::policy
