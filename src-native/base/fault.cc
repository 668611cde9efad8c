#include "base/fault.h"

namespace vfs {

const char* fault_message(Fault fault) {
  switch (fault) {
    case Fault::kAddressOutsideMemory:
      return "an address lies outside guest memory";
    case Fault::kMemoryUnavailable:
      return "the borrowed memory is not attached";
    case Fault::kMisalignedRing:
      return "a ring address is misaligned";
    case Fault::kBadQueueSize:
      return "the queue size is not a power of two from 1 to 32768";
    case Fault::kAvailIndexTooFar:
      return "the avail index is further ahead than the ring is long";
    case Fault::kHeadOutOfRange:
      return "the avail ring names a descriptor that does not exist";
    case Fault::kTooManyInFlight:
      return "the avail ring names descriptors that are still in use";
    case Fault::kDescriptorOutOfRange:
      return "a descriptor's next index is outside the table";
    case Fault::kChainTooLong:
      return "a descriptor chain is longer than the queue";
    case Fault::kReadableAfterWritable:
      return "a readable descriptor follows a writable one";
    case Fault::kIndirectNotNegotiated:
      return "an indirect descriptor without the feature";
    case Fault::kBadIndirectTable:
      return "a malformed indirect descriptor table";
    case Fault::kTotalTooLarge:
      return "a descriptor chain of 4 GiB or more";
    case Fault::kMemoryShrunk:
      return "the file of guest memory was shrunk while it was mapped";
    case Fault::kInFlightMismatch:
      return "the region for requests in flight does not fit the queue";
    case Fault::kThreadNotReady:
      return "the host does not let the queue's thread have a file system context of its own";
  }
  return "unknown fault";
}

}  // namespace vfs
