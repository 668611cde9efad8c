// How each job is made; the table of them is job_table.cc.
#pragma once

#include <memory>

#include "job.h"

namespace vfs::bench {

std::unique_ptr<Job> make_statfs();
std::unique_ptr<Job> make_getattr();
std::unique_ptr<Job> make_lookup_known();
std::unique_ptr<Job> make_lookup_new();
std::unique_ptr<Job> make_lookup_missing();
std::unique_ptr<Job> make_open_release();
std::unique_ptr<Job> make_getxattr();
std::unique_ptr<Job> make_setxattr();

enum class Order { kSequential, kRandom };
std::unique_ptr<Job> make_read(std::uint32_t bytes, Order order);
std::unique_ptr<Job> make_write(std::uint32_t bytes, Order order);
std::unique_ptr<Job> make_fsync();

// `id` is the uid and gid of the caller.
std::unique_ptr<Job> make_create_unlink(std::uint32_t id);
std::unique_ptr<Job> make_mkdir_rmdir();
std::unique_ptr<Job> make_rename();

std::unique_ptr<Job> make_readdir(std::uint32_t entries);
std::unique_ptr<Job> make_readdirplus(std::uint32_t entries);

std::unique_ptr<Job> make_walk_find();
std::unique_ptr<Job> make_walk_read();

std::unique_ptr<Job> make_mix_fsync();
std::unique_ptr<Job> make_mix_blocked();

std::unique_ptr<Job> make_hold();

}  // namespace vfs::bench
