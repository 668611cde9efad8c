// ascii_casefold: a name that a directory does not have as it is spelt is taken for one that differs in the case of
// ASCII letters only. Of several the first in byte order is it, so that the answer does not depend on the directory's.
//
// Finding one means listing the directory, which costs what the directory is long, and a guest decides how often it
// asks. So listings are remembered (CasefoldCache), for as long as the guest may remember names itself: what the host
// does meanwhile is seen late in either case. What the guest does is told to the cache.
//
// Only the folding is done here; who calls this has found that the exact name is not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "passthrough/short_text.h"

namespace vfs::passthrough {

// Whether two names differ at most in the case of ASCII letters.
bool same_folded(std::string_view a, std::string_view b);

// A name without ASCII letters has one spelling only.
bool has_ascii_letters(std::string_view name);

// Looks for a name among those of a directory, one pass, in any order.
class FoldedSearch {
 public:
  explicit FoldedSearch(std::string_view wanted) : wanted_(wanted) {}

  // False: `name` is the wanted one as it is spelt, and nothing can be better.
  bool offer(std::string_view name);
  const std::optional<ShortText>& best() const { return best_; }

 private:
  const std::string_view wanted_;
  std::optional<ShortText> best_;
};

// The names of a directory, in the order in which they are looked for.
class FoldedListing {
 public:
  // While the directory is read. False: there is no room for more names.
  bool append(std::string_view name);
  // After that, and before anything below.
  void sort();

  std::optional<ShortText> find(std::string_view wanted) const;
  void insert(std::string_view name);
  void erase(std::string_view name);
  // Memory in use.
  std::size_t bytes() const { return names_.capacity() + starts_.capacity() * sizeof(std::uint32_t); }

 private:
  std::string_view name_at(std::uint32_t start) const;
  // The first place whose name does not come before `name`.
  std::vector<std::uint32_t>::const_iterator place_of(std::string_view name) const;

  std::string names_;                  // a byte of length, the name, and so on
  std::vector<std::uint32_t> starts_;  // of the names, ordered by folded_before
};

// Listings of directories. Safe to use from several threads; no lock is held while a directory is read.
class CasefoldCache {
 public:
  // `bytes_max` bounds the memory of all listings together, `lifetime_ns` how long one is believed; 0: not at all.
  CasefoldCache(std::size_t bytes_max, std::uint64_t lifetime_ns) : bytes_max_(bytes_max), lifetime_ns_(lifetime_ns) {}

  // The real name of `wanted` in a directory, which is named by a number that no other ever gets; none: there is none.
  // `list(visit)` reads the directory and calls `visit(name)` for each entry until that returns false; it returns a
  // Status, whose error is passed on. `now_ns` is of a clock that only goes forward.
  template <typename List>
  Result<std::optional<ShortText>> find(std::uint64_t directory, std::string_view wanted, std::uint64_t now_ns,
                                        List list) {
    if (!has_ascii_letters(wanted)) return std::optional<ShortText>();
    const Known known = look_up(directory, wanted, now_ns);
    if (known.listed) return known.name;
    const bool keep = lifetime_ns_ > 0;
    const std::uint64_t ticket = keep ? begin(directory) : 0;
    FoldedListing listing;
    FoldedSearch search(wanted);
    bool complete = keep;
    const Status listed = list([&](std::string_view name) {
      const bool go_on = search.offer(name);
      if (complete && !(go_on && listing.append(name) && listing.bytes() <= bytes_max_)) {
        complete = false;
        listing = {};
      }
      return go_on;
    });
    if (keep) end(directory, ticket, listed.ok() && complete ? &listing : nullptr, now_ns);
    if (!listed.ok()) return listed.error();
    return search.best();
  }

  // The guest has made, or removed, a name. A rename is both. To be called after the system call has succeeded.
  void added(std::uint64_t directory, std::string_view name);
  void removed(std::uint64_t directory, std::string_view name);
  // The directory is no longer known to the guest, or its listing was found to be wrong.
  void forget(std::uint64_t directory);
  void clear();

  // Memory in use, for the bound.
  std::size_t bytes() const;

 private:
  struct Entry {
    std::uint64_t directory;
    std::uint64_t ticket;      // of the last `begin`
    std::uint64_t expires_ns;  // 0: being read
    std::size_t bytes;         // counted in bytes_
    FoldedListing listing;
  };
  using Entries = std::list<Entry>;
  struct Known {
    bool listed;
    std::optional<ShortText> name;
  };

  Known look_up(std::uint64_t directory, std::string_view wanted, std::uint64_t now_ns);
  // A directory is about to be read. If the guest changes it meanwhile, what was read is not kept.
  std::uint64_t begin(std::uint64_t directory);
  // It has been read; `listing` is null if there is nothing to keep.
  void end(std::uint64_t directory, std::uint64_t ticket, FoldedListing* listing, std::uint64_t now_ns);

  // With mutex_ held:
  Entry* entry_of(std::uint64_t directory);
  void drop(std::uint64_t directory);
  void count_again(Entry& entry);
  void shrink();

  const std::size_t bytes_max_;
  const std::uint64_t lifetime_ns_;

  mutable std::mutex mutex_;  // nothing else is taken while it is held; guards everything below
  Entries entries_;           // the one used last comes first
  std::unordered_map<std::uint64_t, Entries::iterator> index_;
  std::size_t bytes_ = 0;
  std::uint64_t tickets_ = 0;
};

}  // namespace vfs::passthrough
