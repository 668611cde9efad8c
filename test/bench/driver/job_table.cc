#include "jobs.h"

namespace vfs::bench {

namespace {

constexpr std::uint32_t k4K = 4U << 10;
constexpr std::uint32_t k128K = 128U << 10;
constexpr std::uint32_t k1M = 1U << 20;
constexpr auto kSeq = Order::kSequential;
constexpr auto kRand = Order::kRandom;
constexpr std::uint32_t kOrdinaryUser = 1000;
// One large file for all who work in one: tmpfs is memory.
constexpr std::string_view kData = "data";

constexpr JobRow kRows[] = {
    {"statfs", "STATFS", "operation", make_statfs},
    {"getattr", "GETATTR", "operation", make_getattr},
    {"lookup-known", "LOOKUP of a known inode", "operation", make_lookup_known},
    {"lookup-new", "LOOKUP of a new inode + FORGET", "operation", make_lookup_new},
    {"lookup-missing", "LOOKUP of a missing name", "operation", make_lookup_missing},
    {"open-release", "OPEN + RELEASE", "operation", make_open_release},
    {"read-4k-seq", "READ 4 KiB, sequential", "read", [] { return make_read(k4K, kSeq); }, kData},
    {"read-4k-rand", "READ 4 KiB, random", "read", [] { return make_read(k4K, kRand); }, kData},
    {"read-128k-seq", "READ 128 KiB, sequential", "read", [] { return make_read(k128K, kSeq); }, kData},
    {"read-128k-rand", "READ 128 KiB, random", "read", [] { return make_read(k128K, kRand); }, kData},
    {"read-1m-seq", "READ 1 MiB, sequential", "read", [] { return make_read(k1M, kSeq); }, kData},
    {"read-1m-rand", "READ 1 MiB, random", "read", [] { return make_read(k1M, kRand); }, kData},
    {"write-4k-seq", "WRITE 4 KiB, sequential", "write", [] { return make_write(k4K, kSeq); }, kData},
    {"write-4k-rand", "WRITE 4 KiB, random", "write", [] { return make_write(k4K, kRand); }, kData},
    {"write-128k-seq", "WRITE 128 KiB, sequential", "write", [] { return make_write(k128K, kSeq); }, kData},
    {"write-128k-rand", "WRITE 128 KiB, random", "write", [] { return make_write(k128K, kRand); }, kData},
    {"write-1m-seq", "WRITE 1 MiB, sequential", "write", [] { return make_write(k1M, kSeq); }, kData},
    {"write-1m-rand", "WRITE 1 MiB, random", "write", [] { return make_write(k1M, kRand); }, kData},
    {"create-unlink", "CREATE + RELEASE + UNLINK + FORGET", "operation", [] { return make_create_unlink(0); }},
    {"create-unlink-user", "the same by uid 1000", "operation", [] { return make_create_unlink(kOrdinaryUser); }},
    {"mkdir-rmdir", "MKDIR + RMDIR + FORGET", "operation", make_mkdir_rmdir},
    {"rename", "RENAME2", "operation", make_rename},
    {"readdir-1k", "READDIR of 1 000 entries", "listing", [] { return make_readdir(1000); }},
    {"readdir-10k", "READDIR of 10 000 entries", "listing", [] { return make_readdir(10000); }},
    {"readdirplus-1k", "READDIRPLUS of 1 000 known entries", "listing", [] { return make_readdirplus(1000); }},
    {"readdirplus-10k", "READDIRPLUS of 10 000 known entries", "listing", [] { return make_readdirplus(10000); }},
    {"getxattr", "GETXATTR", "operation", make_getxattr},
    {"setxattr", "SETXATTR", "operation", make_setxattr},
    {"fsync", "WRITE 4 KiB + FSYNC", "operation", make_fsync, kData},
    {"walk-find", "walk of 10 000 new files by READDIRPLUS", "file", make_walk_find},
    {"walk-read", "walk of 10 000 files: LOOKUP, OPEN, READ, RELEASE, FORGET", "file", make_walk_read},
    {"mix-fsync", "GETATTR beside an FSYNC of 16 MiB", "operation", make_mix_fsync},
    {"mix-blocked", "GETATTR beside a FALLOCATE that is blocked for 200 ms", "operation", make_mix_blocked},
};

// Found by name, and in no list.
constexpr JobRow kHold = {"hold", "LOOKUP of new inodes that are kept", "operation", make_hold};

}  // namespace

std::span<const JobRow> job_rows() { return kRows; }

const JobRow* find_job(std::string_view name) {
  for (const JobRow& row : kRows) {
    if (row.name == name) return &row;
  }
  return name == kHold.name ? &kHold : nullptr;
}

}  // namespace vfs::bench
