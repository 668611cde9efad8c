// The fuzzer: libFuzzer with the target that `--target=NAME` chooses. One program for all of them, because they are
// built of the same core. `--dictionary` prints libFuzzer's dictionary, and `--targets` the names.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "fuzz/requests.h"
#include "fuzz/target.h"

namespace {

using vfs::fuzz::targets;

void (*chosen)(vfs::ByteSpan) = nullptr;

// An expectation that fails is a crash: libFuzzer keeps the input then.
class Aborting final : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "%s:%d: %s\n", result.file_name(), result.line_number(), result.message());
    std::abort();
  }
};

void print_dictionary() {
  for (const auto& word : vfs::fuzz::dictionary()) {
    std::printf("\"");
    for (const char c : word) std::printf("\\x%02x", static_cast<unsigned char>(c));
    std::printf("\"\n");
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument((*argv)[i]);
    if (argument == "--dictionary") {
      print_dictionary();
      std::exit(0);
    }
    for (const auto& target : targets()) {
      if (argument == "--targets") std::printf("%s\n", target.name);
      if (argument.starts_with("--target=") && argument.substr(9) == target.name) chosen = target.run;
    }
  }
  if (chosen == nullptr) std::exit(2);
  int none = 0;
  testing::InitGoogleTest(&none, static_cast<char**>(nullptr));
  testing::UnitTest::GetInstance()->listeners().Append(new Aborting);  // NOLINT: GoogleTest owns it
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen(std::as_bytes(std::span(data, size)));
  return 0;
}
