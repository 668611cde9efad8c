// What reads texts and lists of others' making: extensions, names, maps of attributes, paths, stored owners, patterns,
// locks.
#include <fcntl.h>
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "fuse/creation.h"
#include "fuse/name.h"
#include "fuzz/input.h"
#include "fuzz/target.h"
#include "passthrough/casefold.h"
#include "passthrough/lock_ranges.h"
#include "passthrough/override_stat.h"
#include "passthrough/path_rules.h"
#include "passthrough/xattr_map.h"
#include "policy/glob.h"

namespace vfs::fuzz {

namespace {

using namespace vfs::passthrough;

bool inside(ByteSpan whole, std::string_view part) {
  const auto* const first = part.data();
  const std::string_view all = text_of(whole);
  return first >= all.data() && first + part.size() <= all.data() + all.size();
}

void extensions(Input& input) {
  const ByteSpan bytes = input.rest();
  const auto creation = fuse::Creation::parse(bytes);
  if (!creation.ok()) return;
  EXPECT_LE(creation.value().groups().size(), fuse::Creation::kGroupsMax);
  for (const auto& context : creation.value().security_contexts()) {
    EXPECT_FALSE(context.name.empty() || context.name.size() > 255);
    EXPECT_TRUE(inside(bytes, context.name) && inside(bytes, text_of(context.value)));
  }
}

void names(Input& input) {
  const ByteSpan bytes = input.rest();
  fuse::Decoder decoder(bytes);
  while (!decoder.rest().empty()) {
    const std::size_t left = decoder.rest().size();
    if (const auto name = decoder.take_name(); name.ok()) {
      const std::string_view text = name.value().text();
      EXPECT_FALSE(text.empty() || text == "." || text == ".." || text.size() > 255);
      EXPECT_EQ(text.find('/'), std::string_view::npos);
      EXPECT_EQ(text.find('\0'), std::string_view::npos);
    }
    if (decoder.rest().size() == left && !decoder.take_link_target().ok() && !decoder.take_xattr_name().ok()) break;
    if (decoder.rest().size() == left) break;
  }
}

void stored_owner(Input& input) {
  const auto parsed = parse_override_stat(text_of(input.rest()));
  if (!parsed.has_value()) return;
  const ShortText written = format_override_stat(*parsed);
  EXPECT_LE(written.text().size(), kOverrideStatBytesMax);
  const auto again = parse_override_stat(written.text());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->uid, parsed->uid);
  EXPECT_EQ(again->gid, parsed->gid);
  EXPECT_EQ(again->permissions, parsed->permissions);
  EXPECT_EQ(again->type, parsed->type);
}

void attribute_map(Input& input) {
  static constexpr std::array kVerdicts{XattrVerdict::kPrefix, XattrVerdict::kOk, XattrVerdict::kBad,
                                        XattrVerdict::kUnsupported, XattrVerdict::kHidden};
  static constexpr std::array kScopes{XattrScope::kClient, XattrScope::kServer, XattrScope::kAll};
  std::vector<XattrRule> rules;
  for (std::size_t count = input.below(6); count > 0; --count) {
    const auto verdict = input.pick(kVerdicts);
    const auto scope = input.pick(kScopes);
    rules.push_back(xattr_rule(verdict, scope, input.text(), input.text()));
  }
  const XattrMap map(rules, {override_stat_block()});
  const std::string name(text_of(input.rest()).substr(0, 300));
  for (const auto access : {XattrAccess::kGet, XattrAccess::kSet, XattrAccess::kRemove}) {
    const auto host = map.to_host(access, name);
    if (!host.ok()) continue;
    EXPECT_TRUE(host.value().text().ends_with(name));
    EXPECT_NE(host.value().text(), kOverrideStatName);
  }
  if (const auto guest = map.to_guest(name); guest.has_value()) {
    EXPECT_TRUE(name.ends_with(*guest));
    EXPECT_TRUE(rules.empty() || !guest->empty());
  }
}

void share_paths(Input& input) {
  PathTable<int> table;
  std::vector<std::string> paths;
  for (std::size_t count = input.below(6); count > 0; --count) {
    std::string path = input.text();
    if (!is_share_path(path)) continue;
    EXPECT_EQ(path.front(), '/');
    EXPECT_EQ(path.find("//"), std::string::npos);
    EXPECT_EQ((path + "/").find("/../"), std::string::npos);
    table.set(path, static_cast<int>(paths.size()));
    paths.push_back(std::move(path));
  }
  const std::string asked(text_of(input.rest()));
  if (!is_share_path(asked)) return;
  // The oracle: the longest of those that contain it, and of equal ones the last.
  int best = -1;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const std::string& path = paths[i];
    const bool contains = path == "/" || path == asked || asked.starts_with(path + "/");
    if (contains && (best == -1 || path.size() >= paths[static_cast<std::size_t>(best)].size())) {
      best = static_cast<int>(i);
    }
  }
  const int* const found = table.find(asked);
  EXPECT_EQ(found == nullptr ? -1 : *found, best);
}

void folded_names(Input& input) {
  std::vector<std::string> entries;
  FoldedListing listing;
  const std::string wanted = input.text();
  FoldedSearch search(wanted);
  while (!input.empty()) {
    std::string entry = input.text();
    if (entry.empty() || entry.find('\0') != std::string::npos) continue;
    if (std::ranges::find(entries, entry) != entries.end()) continue;
    if (!listing.append(entry)) break;
    entries.push_back(std::move(entry));
  }
  listing.sort();
  std::ranges::sort(entries);
  const auto same = [&](const std::string& entry) { return same_folded(entry, wanted); };
  const auto expected = std::ranges::find_if(entries, same);
  if (std::ranges::find(entries, wanted) != entries.end()) return;  // nobody asks then
  for (const auto& entry : entries) EXPECT_TRUE(search.offer(entry));
  const auto found = listing.find(wanted);
  ASSERT_EQ(found.has_value(), expected != entries.end());
  ASSERT_EQ(search.best().has_value(), found.has_value());
  if (!found.has_value()) return;
  EXPECT_EQ(found->text(), *expected);
  EXPECT_EQ(search.best()->text(), *expected);
}

// Against one byte of type for each byte of the file.
void lock_ranges(Input& input) {
  LockRanges ranges;
  std::array<short, 256> model;
  model.fill(F_UNLCK);
  static constexpr std::array<short, 3> kTypes{F_UNLCK, F_RDLCK, F_WRLCK};
  while (!input.empty()) {
    const std::int64_t a = input.byte();
    const std::int64_t b = input.byte();
    const LockRange range{std::min(a, b), std::max(a, b), input.pick(kTypes), 1};
    const std::size_t before = ranges.size();
    const std::size_t growth = ranges.growth_max(range);
    ranges.set(range);
    EXPECT_LE(ranges.size(), before + growth);
    std::fill(model.begin() + range.start, model.begin() + range.end + 1, range.type);
    for (const std::int64_t at : {range.start, range.end, std::max<std::int64_t>(range.start - 1, 0), a / 2}) {
      for (const short type : {short{F_RDLCK}, short{F_WRLCK}}) {
        const bool held = model[static_cast<std::size_t>(at)] == type;
        EXPECT_EQ(ranges.overlapping(at, at, type) != nullptr, held);
      }
    }
  }
}

// Against fnmatch(3), where the two have the same syntax: it has no class names of git's, and takes a bracket that is
// never closed for itself as we do.
void patterns(Input& input) {
  const std::string pattern = input.text();
  const std::string name(text_of(input.rest()).substr(0, 300));
  const bool ignores_case = pattern.size() % 2 == 1;
  const policy::Glob glob(pattern, ignores_case);
  const bool matches = glob.matches(name);
  const auto is_simple = [](char c) { return c != '[' && c != ']' && c != '\\' && c != '\0' && (c & 0x80) == 0; };
  if (!std::ranges::all_of(pattern, is_simple) || !std::ranges::all_of(name, is_simple)) return;
  EXPECT_EQ(matches, ::fnmatch(pattern.c_str(), name.c_str(), ignores_case ? FNM_CASEFOLD : 0) == 0)
      << pattern << " " << name;
}

}  // namespace

void fuzz_parsers(ByteSpan bytes) {
  static constexpr std::array kParsers{extensions,  names,        stored_owner, attribute_map,
                                       share_paths, folded_names, lock_ranges,  patterns};
  Input input(bytes);
  kParsers[input.below(kParsers.size())](input);
}

}  // namespace vfs::fuzz
