/**
 * `virtio-fs/testing`: a guest for tests, without a virtual machine. See docs/testing.md.
 */
export { LoopbackGuest } from './loopback-guest.js';
export type { GuestStats, LoopbackOptions, WriteListener } from './loopback-guest.js';
export type { LoopbackBackend } from './backend-transport.js';
export { errnoName } from '../errno.js';
export { GuestError, ProtocolViolation } from './guest-error.js';
export { GuestFs } from './guest-fs-tree.js';
export type { ReaddirOptions, RmOptions } from './guest-fs-tree.js';
export type { FileOptions } from './guest-fs.js';
export type { SetXattrOptions, XattrOptions } from './guest-fs-xattr.js';
export { GuestFileHandle } from './guest-file-handle.js';
export type { Data, EncodingOption, ReadPosition } from './guest-file-handle.js';
export { GuestDir } from './guest-dir.js';
export { FuseClient, nameBytes } from './fuse-client.js';
export type { CallOptions, CreationOptions, InitOptions, Name, RawRequest } from './fuse-client.js';
export type { ReleaseOptions, WaitOptions } from './fuse-client.js';
export * from '../fuse/abi.js';
export { StructWriter, encodeExtensions, encodeInHeader, encodeInit, encodeSetattr } from '../fuse/structs.js';
export { decodeAttr, decodeDirents, decodeDirentsPlus, decodeEntry, decodeInit } from '../fuse/structs.js';
export type * from '../fuse/structs.js';
export { RequestEngine } from './request-engine.js';
export type { Caller, EngineOptions, EngineStats, FuseReply, FuseRequest, GuestBuffer } from './request-engine.js';
export { BorrowedRam, SharedRam } from './guest-ram.js';
export type { GuestRam } from './guest-ram.js';
export type { GuestTransport, QueueLink, QueueState } from './transport.js';
export { DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, Virtqueue } from './virtqueue.js';
export type { QueueLayout, RawDescriptor, Segment, UsedChain, VirtqueueOptions } from './virtqueue.js';
export { replay } from '../replay/index.js';
export type { ReplayDifference, ReplayOptions, ReplayResult } from '../replay/index.js';
