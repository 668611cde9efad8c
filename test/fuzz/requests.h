// FUSE requests made of a fuzzer's decisions, by the table of operations: most are nearly right, because what is wrong
// in every way is refused by the first check that it meets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fuse/op_table.h"
#include "fuzz/input.h"
#include "support/fuse_client.h"

namespace vfs::fuzz {

// What a guest has learnt so far: numbers that mean something, for requests to name.
class Knowledge {
 public:
  std::uint64_t node(Input& input) const { return nodes_[input.below(nodes_.size())]; }
  std::uint64_t handle(Input& input) const { return handles_[input.below(handles_.size())]; }
  // Takes new numbers out of a reply.
  void learn(std::uint32_t opcode, const test::FuseReply& reply);

 private:
  static constexpr std::size_t kKnownMax = 64;
  void add(std::vector<std::uint64_t>& numbers, std::uint64_t number) const;

  std::vector<std::uint64_t> nodes_{abi::kRootId, 0, 2, ~std::uint64_t{0}};
  std::vector<std::uint64_t> handles_{0, 1, ~std::uint64_t{0}};
};

struct Planned {
  test::FuseRequest request;
  std::uint32_t room;
};

// The next request.
Planned next_request(Input& input, const Knowledge& knowledge);

// The words of a dictionary for libFuzzer: opcodes and requests with a body of the right size, from the table, and
// names and numbers that the code looks for.
std::vector<std::string> dictionary();

}  // namespace vfs::fuzz
