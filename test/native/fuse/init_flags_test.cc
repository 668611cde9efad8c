#include "fuse/init_flags.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <string>

#include "fuse/abi.h"

namespace vfs::fuse {
namespace {

TEST(InitFlags, one_row_for_each_bit_in_order) {
  int bit = 0;
  std::set<std::string> names;
  for (const InitFlagRow& row : init_flag_rows()) {
    EXPECT_EQ(std::popcount(row.flag), 1) << row.name;
    EXPECT_EQ(std::countr_zero(row.flag), bit++) << row.name;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_LE(row.since_minor, abi::kKernelMinorVersion) << row.name;
    EXPECT_NE(std::string(row.when), "") << row.name;
  }
  EXPECT_EQ(bit, 43);
}

}  // namespace
}  // namespace vfs::fuse
