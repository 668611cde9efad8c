// A peer's mistake in what it put into shared memory: named, so that tests and event texts agree.
#pragma once

namespace vfs {

enum class Fault {
  kAddressOutsideMemory,   // a ring, table or buffer is not inside one region of guest memory
  kMemoryUnavailable,      // borrowed memory is not attached now
  kMisalignedRing,         // virtio 1.3 §2.7: 16, 2 and 4 bytes
  kBadQueueSize,           // not a power of two in 1..32768
  kAvailIndexTooFar,       // more new entries than the ring holds
  kHeadOutOfRange,         // avail ring names a descriptor that does not exist
  kTooManyInFlight,        // more requests than the ring has descriptors: heads are given twice
  kDescriptorOutOfRange,   // `next` points outside the table
  kChainTooLong,           // longer than the queue: a loop
  kReadableAfterWritable,  // virtio 1.3 §2.7.4.2: readable ones come first
  kIndirectNotNegotiated,  // INDIRECT flag without the feature
  kBadIndirectTable,       // nested, empty, combined with NEXT, or a size that is no multiple of 16
  kTotalTooLarge,          // the chain's bytes do not fit 32 bits
  kMemoryShrunk,           // the file of guest memory was shrunk, and a page of it is gone
  kInFlightMismatch,       // the region for requests in flight does not fit the queue
  kThreadNotReady,         // not the peer's: the host refused the queue's thread what it needs (unshare, setgroups)
};

const char* fault_message(Fault fault);

}  // namespace vfs
