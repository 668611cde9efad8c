#include "memory/private_bytes.h"

#include <utility>

namespace vfs {

PrivateBytes::PrivateBytes(std::vector<std::byte> bytes)
    : bytes_(std::move(bytes)), memory_(GuestMemory::borrow()), ranges_{GuestRange{GuestAddress{0}, size()}} {
  memory_->attach(bytes_, GuestAddress{0}, nullptr);
}

}  // namespace vfs
