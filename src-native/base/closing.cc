#include "base/closing.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <span>

namespace vfs {

namespace {

thread_local ClosingBurst* current = nullptr;
thread_local bool putting_off = false;

// All of them are open and nobody else's, so that between the first and the last there is nothing of another.
void close_row(int first, int last) {
  // Since Linux 5.9, and not where a filter of the application does not know it.
  if (first != last && ::syscall(SYS_close_range, first, last, 0) == 0) return;
  for (int fd = first; fd <= last; ++fd) ::close(fd);
}

}  // namespace

ClosingBurst::ClosingBurst() {
  if (current == nullptr) current = this;
}

ClosingBurst::~ClosingBurst() {
  if (current != this) return;
  close_all();
  current = nullptr;
}

bool ClosingBurst::takes(int fd) {
  if (!putting_off || current == nullptr) return false;
  if (current->count_ == kDescriptorsMax) current->close_all();
  current->descriptors_[current->count_++] = fd;
  return true;
}

void ClosingBurst::prepare_thread() {
  // One look gives a thread its place for all variables of this library. A volatile one is not left out.
  const volatile bool* const place = &putting_off;
  static_cast<void>(*place);
}

void ClosingBurst::close_all() {
  const auto all = std::span(descriptors_).first(count_);
  std::sort(all.begin(), all.end());
  for (std::size_t begin = 0; begin < all.size();) {
    std::size_t end = begin + 1;
    while (end < all.size() && all[end] == all[end - 1] + 1) ++end;
    close_row(all[begin], all[end - 1]);
    begin = end;
  }
  count_ = 0;
}

ClosingBurst::PutOff::PutOff() : before_(putting_off) { putting_off = true; }

ClosingBurst::PutOff::~PutOff() { putting_off = before_; }

}  // namespace vfs
