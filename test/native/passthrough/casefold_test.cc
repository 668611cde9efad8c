#include "passthrough/casefold.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vfs::passthrough {
namespace {

constexpr std::size_t kPlenty = 1 << 20;
constexpr std::uint64_t kLifetime = 1000;
constexpr std::uint64_t kDirectory = 7;

// A directory in memory that counts how often it is read.
struct FakeDirectory {
  std::vector<std::string> names;
  int reads = 0;
  int visited = 0;
  Status status = ok_status();

  auto lister() {
    return [this](auto visit) -> Status {
      ++reads;
      for (const std::string& name : names) {
        ++visited;
        if (!visit(name)) break;
      }
      return status;
    };
  }
};

std::string find(CasefoldCache& cache, FakeDirectory& directory, std::string_view wanted, std::uint64_t now = 1,
                 std::uint64_t number = kDirectory) {
  const auto found = cache.find(number, wanted, now, directory.lister());
  if (!found.ok()) return "error " + std::to_string(found.error().value());
  return found.value().has_value() ? std::string(found.value()->text()) : "none";
}

TEST(Casefold, folds_ascii_letters_only) {
  EXPECT_TRUE(same_folded("README.txt", "readme.TXT"));
  EXPECT_TRUE(same_folded("", ""));
  EXPECT_FALSE(same_folded("a", "ab"));
  EXPECT_FALSE(same_folded("a", "b"));
  // '@' and '`', '[' and '{' differ by the same bit as 'A' and 'a'.
  EXPECT_FALSE(same_folded("@", "`"));
  EXPECT_FALSE(same_folded("[", "{"));
  EXPECT_FALSE(same_folded("\xC3\x84", "\xC3\xA4"));
  EXPECT_TRUE(
      same_folded("\xFF"
                  "A",
                  "\xFF"
                  "a"));
  EXPECT_TRUE(has_ascii_letters("1a"));
  EXPECT_TRUE(has_ascii_letters("Z"));
  EXPECT_FALSE(has_ascii_letters("12.@[`{\xC3\x84"));
  EXPECT_FALSE(has_ascii_letters(""));
}

TEST(Casefold, finds_another_spelling) {
  CasefoldCache cache(kPlenty, 0);
  FakeDirectory directory{{".", "..", "Other", "ReadMe"}};
  EXPECT_EQ(find(cache, directory, "readme"), "ReadMe");
  EXPECT_EQ(find(cache, directory, "OTHER"), "Other");
  EXPECT_EQ(find(cache, directory, "readm"), "none");
  EXPECT_EQ(find(cache, directory, "readmes"), "none");
}

TEST(Casefold, exact_name_is_preferred_then_the_first_in_byte_order) {
  for (const std::uint64_t lifetime : {std::uint64_t{0}, kLifetime}) {
    CasefoldCache cache(kPlenty, lifetime);
    FakeDirectory directory{{"abC", "aBc", "Abc", "abc", "ABD"}};
    EXPECT_EQ(find(cache, directory, "ABC"), "Abc");
    EXPECT_EQ(find(cache, directory, "ABC"), "Abc");
    EXPECT_EQ(find(cache, directory, "aBc"), "aBc");
    EXPECT_EQ(find(cache, directory, "abC"), "abC");
  }
}

TEST(Casefold, listing_ends_with_the_exact_name) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory{{"A", "a", "b"}};
  EXPECT_EQ(find(cache, directory, "a"), "a");
  EXPECT_EQ(directory.visited, 2);
  // It was not complete, so it was not remembered.
  EXPECT_EQ(find(cache, directory, "B"), "b");
  EXPECT_EQ(directory.reads, 2);
}

TEST(Casefold, name_without_letters_needs_no_listing) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory{{"123"}};
  EXPECT_EQ(find(cache, directory, "12.3"), "none");
  EXPECT_EQ(directory.reads, 0);
}

TEST(Casefold, error_of_the_listing_is_passed_on_and_not_remembered) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory{{"a"}};
  directory.status = Errno(EACCES);
  EXPECT_EQ(find(cache, directory, "b"), "error " + std::to_string(EACCES));
  directory.status = ok_status();
  EXPECT_EQ(find(cache, directory, "A"), "a");
  EXPECT_EQ(directory.reads, 2);
}

TEST(CasefoldCache, reads_a_directory_once_in_a_lifetime) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory{{"One", "Two"}};
  EXPECT_EQ(find(cache, directory, "one", 10), "One");
  EXPECT_EQ(find(cache, directory, "TWO", 11), "Two");
  EXPECT_EQ(find(cache, directory, "three", 10 + kLifetime - 1), "none");
  EXPECT_EQ(directory.reads, 1);
  directory.names.emplace_back("Three");
  EXPECT_EQ(find(cache, directory, "three", 10 + kLifetime), "Three");
  EXPECT_EQ(directory.reads, 2);
}

TEST(CasefoldCache, without_a_lifetime_reads_each_time_and_keeps_nothing) {
  CasefoldCache cache(kPlenty, 0);
  FakeDirectory directory{{"One"}};
  EXPECT_EQ(find(cache, directory, "one"), "One");
  EXPECT_EQ(find(cache, directory, "one"), "One");
  EXPECT_EQ(directory.reads, 2);
  EXPECT_EQ(cache.bytes(), 0U);
}

TEST(CasefoldCache, an_endless_lifetime_does_not_wrap) {
  CasefoldCache cache(kPlenty, ~std::uint64_t{0});
  FakeDirectory directory{{"One"}};
  EXPECT_EQ(find(cache, directory, "one", 10), "One");
  EXPECT_EQ(find(cache, directory, "one", ~std::uint64_t{0} - 1), "One");
  EXPECT_EQ(directory.reads, 1);
}

TEST(CasefoldCache, directories_are_separate) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory one{{"A"}};
  FakeDirectory two{{"b"}};
  EXPECT_EQ(find(cache, one, "a", 1, 1), "A");
  EXPECT_EQ(find(cache, two, "a", 1, 2), "none");
  EXPECT_EQ(find(cache, two, "B", 1, 2), "b");
  EXPECT_EQ(one.reads + two.reads, 2);
}

TEST(CasefoldCache, follows_what_the_guest_does) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory{{"m"}};
  EXPECT_EQ(find(cache, directory, "x"), "none");
  for (const char* name : {"Zz", "aA", "Mm", "m", "m"}) cache.added(kDirectory, name);
  EXPECT_EQ(find(cache, directory, "zZ"), "Zz");
  EXPECT_EQ(find(cache, directory, "AA"), "aA");
  EXPECT_EQ(find(cache, directory, "MM"), "Mm");
  EXPECT_EQ(find(cache, directory, "M"), "m");
  cache.removed(kDirectory, "Mm");
  cache.removed(kDirectory, "mm");
  cache.removed(kDirectory, "nothing");
  EXPECT_EQ(find(cache, directory, "MM"), "none");
  cache.removed(kDirectory, "m");
  EXPECT_EQ(find(cache, directory, "M"), "none");
  EXPECT_EQ(find(cache, directory, "AA"), "aA");
  EXPECT_EQ(directory.reads, 1);
  // Nothing is known of other directories.
  cache.added(kDirectory + 1, "x");
  cache.removed(kDirectory + 1, "x");
  EXPECT_EQ(find(cache, directory, "x", 1, kDirectory + 1), "none");
  EXPECT_EQ(directory.reads, 2);
}

TEST(CasefoldCache, a_change_while_the_directory_is_read_makes_it_forget) {
  for (const bool adds : {true, false}) {
    CasefoldCache cache(kPlenty, kLifetime);
    FakeDirectory directory{{"Old"}};
    const auto changing = [&](auto visit) -> Status {
      const Status status = directory.lister()(visit);
      // After the place where the name would have been read.
      if (adds) cache.added(kDirectory, "New");
      if (!adds) cache.removed(kDirectory, "Old");
      return status;
    };
    EXPECT_TRUE(cache.find(kDirectory, "x", 1, changing).ok());
    directory.names = adds ? std::vector<std::string>{"Old", "New"} : std::vector<std::string>{};
    EXPECT_EQ(find(cache, directory, "new"), adds ? "New" : "none");
    EXPECT_EQ(find(cache, directory, "old"), adds ? "Old" : "none");
    EXPECT_EQ(directory.reads, 2);
  }
}

TEST(CasefoldCache, of_two_readers_the_later_one_is_believed) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory before{{"Old"}};
  FakeDirectory after{{"New"}};
  const auto overtaken = [&](auto visit) -> Status {
    const Status status = before.lister()(visit);
    EXPECT_EQ(find(cache, after, "new"), "New");
    return status;
  };
  EXPECT_TRUE(cache.find(kDirectory, "x", 1, overtaken).ok());
  EXPECT_EQ(find(cache, after, "NEW"), "New");
  EXPECT_EQ(find(cache, after, "OLD"), "none");
  EXPECT_EQ(after.reads, 1);
}

TEST(CasefoldCache, forgets_what_it_is_told_to) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory{{"One"}};
  EXPECT_EQ(find(cache, directory, "one"), "One");
  EXPECT_GT(cache.bytes(), 0U);
  cache.forget(kDirectory);
  cache.forget(kDirectory);
  EXPECT_EQ(cache.bytes(), 0U);
  EXPECT_EQ(find(cache, directory, "one"), "One");
  EXPECT_EQ(directory.reads, 2);
  cache.clear();
  EXPECT_EQ(cache.bytes(), 0U);
  EXPECT_EQ(find(cache, directory, "one"), "One");
  EXPECT_EQ(directory.reads, 3);
}

TEST(CasefoldCache, a_directory_that_is_too_long_is_searched_but_not_kept) {
  CasefoldCache cache(4096, kLifetime);
  FakeDirectory directory;
  for (int i = 0; i < 1000; ++i) directory.names.push_back("Name" + std::to_string(i));
  EXPECT_EQ(find(cache, directory, "name999"), "Name999");
  EXPECT_EQ(cache.bytes(), 0U);
  EXPECT_EQ(find(cache, directory, "name0"), "Name0");
  EXPECT_EQ(directory.reads, 2);
}

TEST(CasefoldCache, memory_is_bounded_and_the_longest_unused_goes_first) {
  constexpr std::size_t kBound = 8192;
  CasefoldCache cache(kBound, kLifetime);
  FakeDirectory directory{{"One"}};
  for (std::uint64_t number = 1; number <= 1000; ++number) {
    EXPECT_EQ(find(cache, directory, "one", 1, number), "One");
    EXPECT_EQ(find(cache, directory, "one", 1, 1), "One");
    EXPECT_LE(cache.bytes(), kBound);
  }
  // The first directory was used all the time, the second one is long gone.
  EXPECT_EQ(directory.reads, 1000);
  EXPECT_EQ(find(cache, directory, "one", 1, 1), "One");
  EXPECT_EQ(directory.reads, 1000);
  EXPECT_EQ(find(cache, directory, "one", 1, 2), "One");
  EXPECT_EQ(directory.reads, 1001);
}

TEST(CasefoldCache, making_and_removing_does_not_grow_beyond_the_bound) {
  constexpr std::size_t kBound = 8192;
  CasefoldCache cache(kBound, kLifetime);
  FakeDirectory directory{{"One"}};
  EXPECT_EQ(find(cache, directory, "one"), "One");
  for (int i = 0; i < 10000; ++i) {
    const std::string name = "temporary" + std::to_string(i);
    cache.added(kDirectory, name);
    cache.removed(kDirectory, name);
    ASSERT_LE(cache.bytes(), kBound);
  }
  EXPECT_EQ(find(cache, directory, "ONE"), "One");
}

TEST(CasefoldCache, names_of_every_byte_are_found) {
  CasefoldCache cache(kPlenty, kLifetime);
  FakeDirectory directory;
  for (int c = 1; c < 256; ++c) {
    // No two of them differ in case only.
    if (c == '/' || (c >= 'a' && c <= 'z')) continue;
    directory.names.push_back(std::string(1, static_cast<char>(c)) + "X");
  }
  directory.names.push_back(std::string(255, 'Q'));
  for (const std::string& name : directory.names) {
    std::string other = name;
    for (char& c : other) {
      if (c == 'X' || c == 'Q') c = static_cast<char>(c + 32);
    }
    EXPECT_EQ(find(cache, directory, other), name);
  }
  EXPECT_EQ(directory.reads, 1);
}

TEST(CasefoldCache, several_threads_find_what_is_there) {
  CasefoldCache cache(16384, kLifetime);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &wrong, t] {
      FakeDirectory directory{{"Always", "Other"}};
      const std::string own = "Own" + std::to_string(t);
      for (std::uint64_t i = 0; i < 2000; ++i) {
        const std::uint64_t number = i % 5;
        if (find(cache, directory, "ALWAYS", i, number) != "Always") ++wrong;
        cache.added(number, own);
        cache.removed(number, own);
        if (i % 50 == 0) cache.forget(number);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.bytes(), 16384U);
}

}  // namespace
}  // namespace vfs::passthrough
