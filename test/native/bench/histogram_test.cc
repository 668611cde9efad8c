// The histogram of the bench's load driver: every latency that is reported has been through it.
#include "bench/driver/histogram.h"

#include <gtest/gtest.h>

namespace vfs::bench {
namespace {

TEST(Histogram, EmptyOneHasNoValues) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.mean(), 0U);
  EXPECT_EQ(histogram.percentile(990), 0U);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (std::uint64_t ns = 1; ns <= 20; ++ns) histogram.add(ns);
  EXPECT_EQ(histogram.percentile(500), 10U);
  EXPECT_EQ(histogram.percentile(1000), 20U);
  EXPECT_EQ(histogram.mean(), 10U);
}

TEST(Histogram, PercentilesAreAtMostThreePercentTooHighAndNeverTooLow) {
  Histogram histogram;
  for (std::uint64_t ns = 1; ns <= 1'000'000; ++ns) histogram.add(ns);
  for (const std::uint64_t per_mille : {1U, 10U, 500U, 990U, 999U}) {
    const std::uint64_t exact = per_mille * 1000;
    EXPECT_GE(histogram.percentile(per_mille), exact);
    EXPECT_LE(histogram.percentile(per_mille), exact + exact * 32 / 1000);
  }
}

TEST(Histogram, NoPercentileIsAboveTheMaximum) {
  Histogram histogram;
  histogram.add(1'000'001);
  EXPECT_EQ(histogram.percentile(500), 1'000'001U);
  EXPECT_EQ(histogram.max(), 1'000'001U);
}

TEST(Histogram, LargestValueHasABucket) {
  Histogram histogram;
  histogram.add(UINT64_MAX);
  EXPECT_EQ(histogram.percentile(1000), UINT64_MAX);
}

TEST(Histogram, OneSlowOfAThousandShowsInTheMaximumAndNotBefore) {
  Histogram histogram;
  for (int i = 0; i < 999; ++i) histogram.add(100);
  histogram.add(1'000'000);
  EXPECT_LE(histogram.percentile(999), 103U);
  EXPECT_EQ(histogram.percentile(1000), 1'000'000U);
}

}  // namespace
}  // namespace vfs::bench
