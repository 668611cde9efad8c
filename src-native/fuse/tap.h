// Tap: somebody who watches requests: what is asked, by whom, and how it ends. Without one a request costs a branch.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vfs::fuse {

class Request;
struct Call;

// What is told of a request. It is kept with the request until it is answered.
struct Tapped {
  bool answered = false;  // false: it has only begun
  std::uint64_t unique = 0;
  std::uint64_t node = 0;
  std::uint32_t opcode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;
  // Beginning of the parameters, as they came; names begin at `names_at`.
  std::vector<std::byte> parameters;
  std::size_t names_at = 0;
  // Of the node, and of the second node that the operation has, as they were when it began. Empty: nobody knows.
  std::string path;
  std::string second_path;
  int error = 0;                    // positive
  std::uint64_t moved_bytes = 0;    // of READ and WRITE
  std::uint64_t written_bytes = 0;  // of RELEASE: what was written by the handle
  std::chrono::steady_clock::time_point begun{};
  std::chrono::nanoseconds took{0};
  std::chrono::system_clock::time_point at{};  // when it began, or was answered
};

class Tap {
 public:
  // Both from the thread that has the request, which they must not keep.
  // It has been taken in, and nothing has happened yet.
  virtual void begun(Request& request, const Call& call) = 0;
  // It has its answer, which is not on its way yet.
  virtual void answered(Request& request) = 0;

 protected:
  ~Tap() = default;
};

}  // namespace vfs::fuse
