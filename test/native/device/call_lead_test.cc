#include "device/call_lead.h"

#include <gtest/gtest.h>

namespace vfs::device {
namespace {

void in_time(CallLead& lead, int batches) {
  for (int i = 0; i < batches; ++i) lead.batch_done(false);
}

TEST(CallLead, grows_as_long_as_the_driver_is_in_time) {
  CallLead lead(32);
  const std::size_t before = lead.served_before(16);
  in_time(lead, 15);
  EXPECT_EQ(lead.served_before(16), before);
  in_time(lead, 1);
  EXPECT_EQ(lead.served_before(16), before - 1);
}

TEST(CallLead, shrinks_at_once_when_the_driver_has_to_be_called_again) {
  CallLead lead(32);
  in_time(lead, 16 * 8);
  const std::size_t before = lead.served_before(16);
  lead.batch_done(true);
  EXPECT_EQ(lead.served_before(16), before + 3);  // a quarter of 12
  // What it has waited for counts no more.
  in_time(lead, 15);
  lead.batch_done(true);
  in_time(lead, 15);
  EXPECT_GT(lead.served_before(16), before + 3);
}

TEST(CallLead, leaves_one_chain_to_call_for_and_never_goes_below_its_least) {
  CallLead lead(32);
  in_time(lead, 16 * 1000);
  EXPECT_EQ(lead.served_before(3), 1U);
  EXPECT_EQ(lead.served_before(32), 1U);
  for (int i = 0; i < 1000; ++i) lead.batch_done(true);
  EXPECT_EQ(lead.served_before(32), 32U - CallLead::kMin);
  EXPECT_EQ(lead.served_before(3), 1U);
}

}  // namespace
}  // namespace vfs::device
