// Runs a job against a backend: keeps `depth` operations under way for a time and measures each.
#pragma once

#include <span>

#include <sys/types.h>

#include "client.h"
#include "job.h"
#include "report.h"

namespace vfs::bench {

// A wrong answer ends the run, not the program: a backend may lack an operation.
RunReport run_job(Client& client, Job& job, const RunOptions& options, std::span<const pid_t> backend);

}  // namespace vfs::bench
