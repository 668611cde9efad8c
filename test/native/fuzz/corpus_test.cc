// Every input of the fuzzers' corpus, among them each that ever broke something: see test/fuzz.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <vector>

#include "fuzz/requests.h"
#include "fuzz/target.h"

namespace vfs::fuzz {
namespace {

namespace stdfs = std::filesystem;

std::vector<std::byte> content_of(const stdfs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const ByteSpan bytes = std::as_bytes(std::span(chars));
  return {bytes.begin(), bytes.end()};
}

class Corpus : public ::testing::TestWithParam<Target> {};

TEST_P(Corpus, every_input_is_survived) {
  std::size_t inputs = 0;
  for (const auto& entry : stdfs::directory_iterator(stdfs::path(VFS_CORPUS) / GetParam().name)) {
    SCOPED_TRACE(entry.path().filename().string());
    GetParam().run(content_of(entry.path()));
    ++inputs;
  }
  EXPECT_GE(inputs, 1U) << "the corpus is not where it was";
}

TEST_P(Corpus, empty_and_random_inputs_are_survived) {
  GetParam().run({});
  std::mt19937 random(7);
  for (std::size_t length = 1; length < 1000; length += 37) {
    std::vector<std::byte> bytes(length);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    SCOPED_TRACE(length);
    GetParam().run(bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, ::testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto& target) { return target.param.name; });

TEST(FuzzDictionary, has_a_whole_request_of_every_operation) {
  std::set<std::uint32_t> made;
  const Knowledge knowledge;
  for (const std::string& word : dictionary()) {
    Input input(std::as_bytes(std::span(word)));
    const Planned planned = next_request(input, knowledge);
    const auto* const row = fuse::find_op(planned.request.header().opcode);
    if (row != nullptr && planned.request.bytes().size() >= sizeof(abi::InHeader) + row->fixed_bytes) {
      made.insert(planned.request.header().opcode);
    }
  }
  EXPECT_EQ(made.size(), fuse::op_rows().size());
}

}  // namespace
}  // namespace vfs::fuzz
