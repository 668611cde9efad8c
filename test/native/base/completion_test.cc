#include "base/completion.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "memory/chain.h"

namespace vfs {
namespace {

struct Answer {
  void* slot;
  std::uint32_t written;
  bool answered;
  friend bool operator==(const Answer&, const Answer&) = default;
};

class RecordingSink final : public CompletionSink {
 public:
  void complete(CompletionToken token, std::uint32_t written, bool answered) override {
    answers.push_back({token.slot, written, answered});
  }
  std::vector<Answer> answers;
};

TEST(Completion, finish_tells_the_sink_once) {
  RecordingSink sink;
  int slot = 0;
  {
    Completion completion(sink, {&slot});
    EXPECT_TRUE(completion.pending());
    std::move(completion).finish(24);
    EXPECT_FALSE(completion.pending());  // NOLINT(bugprone-use-after-move): that it is consumed is the point
  }
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{&slot, 24, true}}));
}

TEST(Completion, finished_twice_answers_once) {
  RecordingSink sink;
  Completion completion(sink, {nullptr});
  std::move(completion).finish(1);
  std::move(completion).finish(2);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{nullptr, 1, true}}));
}

TEST(Completion, dropped_one_answers_with_nothing_written) {
  RecordingSink sink;
  int slot = 0;
  {
    const Completion dropped(sink, {&slot});
  }
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{&slot, 0, false}}));
}

TEST(Completion, moved_from_one_owes_nothing) {
  RecordingSink sink;
  int slot = 0;
  {
    Completion first(sink, {&slot});
    Completion second(std::move(first));
    EXPECT_FALSE(first.pending());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(second.pending());
    std::move(second).finish(3);
  }
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{&slot, 3, true}}));
}

TEST(Completion, overwritten_one_is_dropped_first) {
  RecordingSink sink;
  int old_slot = 0;
  int new_slot = 0;
  Completion completion(sink, {&old_slot});
  completion = Completion(sink, {&new_slot});
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{&old_slot, 0, false}}));
  std::move(completion).finish(5);
  EXPECT_EQ(sink.answers.back(), (Answer{&new_slot, 5, true}));
}

TEST(Completion, default_one_is_not_pending_and_tells_nobody) {
  Completion nothing;
  EXPECT_FALSE(nothing.pending());
  std::move(nothing).finish(7);
}

TEST(Chain, finish_passes_the_length_on) {
  RecordingSink sink;
  int slot = 0;
  Chain chain(GuestReader(), GuestWriter(), Completion(sink, {&slot}));
  std::move(chain).finish(9);
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{&slot, 9, true}}));
}

TEST(Chain, dropped_one_goes_back_with_nothing_written) {
  RecordingSink sink;
  int slot = 0;
  {
    std::optional<Chain> chain(Chain(GuestReader(), GuestWriter(), Completion(sink, {&slot})));
    EXPECT_TRUE(chain->pending());
    chain.reset();
    EXPECT_EQ(sink.answers.size(), 1U);
  }
  EXPECT_EQ(sink.answers, (std::vector<Answer>{{&slot, 0, false}}));
}

}  // namespace
}  // namespace vfs
