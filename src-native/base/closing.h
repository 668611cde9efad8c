// Closing many descriptors. A guest that drops what it knew sends one FORGET after the other, each of which gives a
// descriptor back, and most of these were given out in a row: close_range(2) takes a row in one call.
//
// A thread that serves bursts says so by a ClosingBurst. What is closed while a PutOff lives is closed at the burst's
// end; everything else at once, as always: who answers a RELEASE has closed.
//
// Threading: both belong to the thread that made them, and change nothing for others.
#pragma once

#include <array>
#include <cstddef>

namespace vfs {

class ClosingBurst {
 public:
  // Within another burst: part of that.
  ClosingBurst();
  ~ClosingBurst();
  ClosingBurst(const ClosingBurst&) = delete;
  ClosingBurst& operator=(const ClosingBurst&) = delete;

  // Without a burst it does nothing.
  class PutOff {
   public:
    PutOff();
    ~PutOff();
    PutOff(const PutOff&) = delete;
    PutOff& operator=(const PutOff&) = delete;

   private:
    const bool before_;
  };

  // True: it will be closed at the end of this thread's burst.
  static bool takes(int fd);

  // Makes place for this thread's part in it: the first look at that of a thread may allocate (__tls_get_addr, in a
  // library that was loaded late). For who must not allocate after this.
  static void prepare_thread();

 private:
  // So many descriptors stay open longer than their owners think, at most.
  static constexpr std::size_t kDescriptorsMax = 128;

  void close_all();

  std::array<int, kDescriptorsMax> descriptors_;  // only the first `count_` have a value
  std::size_t count_ = 0;
};

}  // namespace vfs
