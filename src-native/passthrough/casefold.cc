#include "passthrough/casefold.h"

#include <algorithm>
#include <compare>
#include <limits>

namespace vfs::passthrough {

namespace {

// What an entry costs besides its listing: two nodes of containers, roughly.
constexpr std::size_t kEntryBytes = 256;

constexpr char fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::strong_ordering compare_folded(std::string_view a, std::string_view b) {
  return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end(),
                                                [](char x, char y) { return fold(x) <=> fold(y); });
}

// Names that fold to the same stand together, the first in byte order first.
bool folded_before(std::string_view a, std::string_view b) {
  const std::strong_ordering order = compare_folded(a, b);
  return order == 0 ? a < b : order < 0;
}

}  // namespace

bool same_folded(std::string_view a, std::string_view b) { return a.size() == b.size() && compare_folded(a, b) == 0; }

bool has_ascii_letters(std::string_view name) {
  return std::ranges::any_of(name, [](char c) { return fold(c) >= 'a' && fold(c) <= 'z'; });
}

bool FoldedSearch::offer(std::string_view name) {
  if (name == wanted_) {
    best_ = ShortText::of(name);
    return false;
  }
  if (same_folded(name, wanted_) && (!best_.has_value() || name < best_->text())) best_ = ShortText::of(name);
  return true;
}

bool FoldedListing::append(std::string_view name) {
  if (name.size() > ShortText::kBytesMax) return false;
  if (names_.size() > std::numeric_limits<std::uint32_t>::max() - ShortText::kBytesMax - 1) return false;
  starts_.push_back(static_cast<std::uint32_t>(names_.size()));
  names_.push_back(static_cast<char>(static_cast<unsigned char>(name.size())));
  names_.append(name);
  return true;
}

void FoldedListing::sort() {
  std::ranges::sort(starts_,
                    [this](std::uint32_t a, std::uint32_t b) { return folded_before(name_at(a), name_at(b)); });
}

std::string_view FoldedListing::name_at(std::uint32_t start) const {
  const std::size_t size = static_cast<unsigned char>(names_[start]);
  return std::string_view(names_).substr(start + 1, size);
}

std::vector<std::uint32_t>::const_iterator FoldedListing::place_of(std::string_view name) const {
  return std::ranges::lower_bound(starts_, name, folded_before, [this](std::uint32_t start) { return name_at(start); });
}

std::optional<ShortText> FoldedListing::find(std::string_view wanted) const {
  // Both the exact name and the first of its spellings are where the order says; the exact one is preferred.
  if (const auto exact = place_of(wanted); exact != starts_.end() && name_at(*exact) == wanted) {
    return ShortText::of(wanted);
  }
  const auto first = std::ranges::lower_bound(
      starts_, wanted, [](std::string_view a, std::string_view b) { return compare_folded(a, b) < 0; },
      [this](std::uint32_t start) { return name_at(start); });
  if (first == starts_.end() || !same_folded(name_at(*first), wanted)) return std::nullopt;
  return ShortText::of(name_at(*first));
}

void FoldedListing::insert(std::string_view name) {
  const auto place = place_of(name);
  if (place != starts_.end() && name_at(*place) == name) return;
  const auto position = place - starts_.begin();
  // A name too many is not found by another spelling until the listing is read again.
  if (append(name)) std::rotate(starts_.begin() + position, starts_.end() - 1, starts_.end());
}

void FoldedListing::erase(std::string_view name) {
  const auto place = place_of(name);
  if (place != starts_.end() && name_at(*place) == name) starts_.erase(place);
}

CasefoldCache::Known CasefoldCache::look_up(std::uint64_t directory, std::string_view wanted, std::uint64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const Entry* const entry = entry_of(directory);
  if (entry == nullptr || now_ns >= entry->expires_ns) return {false, {}};
  return {true, entry->listing.find(wanted)};
}

std::uint64_t CasefoldCache::begin(std::uint64_t directory) {
  const std::lock_guard lock(mutex_);
  Entry* entry = entry_of(directory);
  if (entry == nullptr) {
    entries_.push_front({directory, 0, 0, 0, {}});
    index_[directory] = entries_.begin();
    entry = &entries_.front();
  }
  entry->ticket = ++tickets_;
  entry->expires_ns = 0;
  entry->listing = {};
  count_again(*entry);
  shrink();
  return tickets_;
}

void CasefoldCache::end(std::uint64_t directory, std::uint64_t ticket, FoldedListing* listing, std::uint64_t now_ns) {
  if (listing != nullptr) listing->sort();
  const std::lock_guard lock(mutex_);
  Entry* const entry = entry_of(directory);
  // Another thread reads it too, or the guest has changed it: `begin` of the one and `added` of the other are later.
  if (entry == nullptr || entry->ticket != ticket) return;
  if (listing == nullptr) return drop(directory);
  entry->listing = std::move(*listing);
  // Reckoned from before the directory was read.
  entry->expires_ns =
      now_ns + lifetime_ns_ < now_ns ? std::numeric_limits<std::uint64_t>::max() : now_ns + lifetime_ns_;
  count_again(*entry);
  shrink();
}

void CasefoldCache::added(std::uint64_t directory, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = entry_of(directory);
  if (entry == nullptr) return;
  if (entry->expires_ns == 0) return drop(directory);
  entry->listing.insert(name);
  count_again(*entry);
  shrink();
}

void CasefoldCache::removed(std::uint64_t directory, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = entry_of(directory);
  if (entry == nullptr) return;
  if (entry->expires_ns == 0) return drop(directory);
  entry->listing.erase(name);
}

void CasefoldCache::forget(std::uint64_t directory) {
  const std::lock_guard lock(mutex_);
  drop(directory);
}

void CasefoldCache::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
  index_.clear();
  bytes_ = 0;
}

std::size_t CasefoldCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

CasefoldCache::Entry* CasefoldCache::entry_of(std::uint64_t directory) {
  const auto found = index_.find(directory);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &*found->second;
}

void CasefoldCache::drop(std::uint64_t directory) {
  const auto found = index_.find(directory);
  if (found == index_.end()) return;
  bytes_ -= found->second->bytes;
  entries_.erase(found->second);
  index_.erase(found);
}

void CasefoldCache::count_again(Entry& entry) {
  bytes_ -= entry.bytes;
  entry.bytes = kEntryBytes + entry.listing.bytes();
  bytes_ += entry.bytes;
}

void CasefoldCache::shrink() {
  while (bytes_ > bytes_max_) drop(entries_.back().directory);
}

}  // namespace vfs::passthrough
