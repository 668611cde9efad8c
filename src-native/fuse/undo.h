// Undo: what a reply would have given to the guest, a node to be forgotten or a handle to be released, is taken back,
// because the guest never gets that reply.
#pragma once

#include "fuse/file_system.h"
#include "fuse/op_table.h"

namespace vfs::fuse {

// `payload`: of a success, as the server has made it. `given`: of the reply that the guest gets instead; empty if that
// is an error. Nodes that it names too are not taken back. What the operation has done to the share stays.
void take_back(FileSystem& file_system, const Call& call, const OpRow& row, ByteSpan payload, ByteSpan given);

}  // namespace vfs::fuse
