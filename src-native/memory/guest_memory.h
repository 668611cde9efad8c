// GuestMemory: where the guest's bytes are in this process. The one place that turns a guest address into a window.
//
// Kinds: regions mapped from the frontend's descriptors, regions in memfds of our own, and borrowed memory, which an
// emulator lends for one pump at a time because it may move between two (DESIGN §2).
//
// Threading: mapped regions never change after creation, so any thread may call window(); with a region more or less it
// is another memory, which shares the mappings. Borrowed memory is used by one thread, between attach() and detach().
// Ownership: reference counted; a queue keeps its memory mapped until its last request has been answered.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bus_guard.h"
#include "base/fault.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "memory/dirty_log.h"
#include "memory/guest_address.h"
#include "memory/guest_bytes.h"

namespace vfs {

// Told of every write that we make into guest memory, ring and buffers alike: a borrowing emulator invalidates
// compiled code by it. Called on the thread that writes.
class WriteObserver {
 public:
  virtual void guest_memory_written(GuestRange range) = 0;

 protected:
  ~WriteObserver() = default;
};

class GuestMemory {
 public:
  struct RegionSpec {
    GuestAddress address;
    std::uint64_t size;
    int fd;                // duplicated
    std::uint64_t offset;  // in the fd; need not be page aligned
  };

  // Maps each region. Errors are those of dup and mmap; EINVAL: a region that is empty, wraps, overlaps another, or
  // reaches beyond the end of its file (a file that shrinks later is what BusGuard is for). `log`: every write is
  // marked there while it is on.
  static Result<std::shared_ptr<GuestMemory>> from_fds(const std::vector<RegionSpec>& regions,
                                                       std::shared_ptr<DirtyLog> log = nullptr);
  // The same in zero-filled memfds of our own; fd and offset are ignored.
  static Result<std::shared_ptr<GuestMemory>> allocate(std::vector<RegionSpec> regions);
  // This memory with one region more, the last in the order given, or with one less; for mapped memory. The mappings
  // are shared, and so is the log; descriptors are not taken over. Errors as of from_fds.
  Result<std::shared_ptr<GuestMemory>> with_region(const RegionSpec& region) const;
  std::shared_ptr<GuestMemory> without_region(std::size_t index) const;
  // No memory yet: see attach().
  static std::shared_ptr<GuestMemory> borrow();

  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // The bytes of a range, if the whole of it lies in one region (virtio 1.3 §2.7.5: buffers are contiguous).
  Result<GuestBytes, Fault> window(GuestRange range) const;
  bool contains(GuestRange range) const;
  // Every writer of guest memory says so, after the write.
  void written(GuestRange range) const {
    if (observer_ != nullptr) observer_->guest_memory_written(range);
    if (log_ != nullptr && log_->active()) log_->mark(range.address.value, range.length);
  }
  // Null: there is none.
  DirtyLog* log() const { return log_.get(); }
  // Somebody has shrunk the file of a region, and we have met the hole.
  bool damaged() const;

  bool borrowed() const { return borrowed_; }
  // Lends `bytes`, whose first is guest address `base`, until detach(). Only for borrowed memory.
  void attach(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer);
  void detach();

  std::size_t region_count() const { return borrowed_ ? 0 : regions_.size(); }
  // The mapped bytes and the descriptor of a region, for those who play the driver in this process.
  MutableByteSpan region_bytes(std::size_t index) const;
  int region_fd(std::size_t index) const;
  // Closes the regions' descriptors, which the mappings do not need: for an owner that will not ask for them again.
  void close_descriptors();
  // MADV_DONTFORK on every mapping.
  Status exclude_from_fork();

 private:
  struct Mapping {
    Mapping(void* address, std::size_t bytes) : start(address), size(bytes) {}
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    void* start;  // page aligned
    std::size_t size;
    BusGuard guard;
  };
  struct Region {
    GuestAddress address;
    std::uint64_t size;
    std::byte* start;
    UniqueFd fd;
    std::shared_ptr<Mapping> mapping;  // null if borrowed
  };

  GuestMemory() = default;
  Status map_region(const RegionSpec& spec, UniqueFd fd);
  void insert(Region region);

  std::vector<Region> regions_;  // by address
  std::vector<std::size_t> given_order_;
  bool borrowed_ = false;
  WriteObserver* observer_ = nullptr;
  std::shared_ptr<DirtyLog> log_;
};

}  // namespace vfs
