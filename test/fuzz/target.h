// The fuzz targets: each takes any bytes and ends the process, or fails an expectation, if something is wrong. The same
// functions run under libFuzzer (fuzz_main.cc) and, with every input of the corpus, in the unit tests (corpus_test.cc).
#pragma once

#include <span>

#include "base/bytes.h"

namespace vfs::fuzz {

// One per file of targets/.
void fuzz_chain(ByteSpan bytes);
void fuzz_server(ByteSpan bytes);
void fuzz_operations(ByteSpan bytes);
void fuzz_parsers(ByteSpan bytes);
void fuzz_session(ByteSpan bytes);

struct Target {
  const char* name;  // of its folder in test/fuzz/corpus, too
  const char* about;
  void (*run)(ByteSpan bytes);
};

inline constexpr Target kTargets[] = {
    {"chain", "rings, descriptor tables and the table of requests in flight", fuzz_chain},
    {"server", "FUSE requests to the server over a file system that answers anything", fuzz_server},
    {"operations", "sequences of operations on a real directory", fuzz_operations},
    {"parsers", "extensions, names, attribute maps, paths, patterns and lock ranges", fuzz_parsers},
    {"session", "the file of a session that another process began", fuzz_session},
};
inline constexpr std::span<const Target> targets() { return kTargets; }

}  // namespace vfs::fuzz
