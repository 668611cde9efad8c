/**
 * One row for each request of the protocol: what its body looks like, which descriptors come along, what must have
 * been negotiated, in which state it may come, how it is answered and by whom. The checks belong to the row: a handler
 * runs only when all of them have passed. No column is optional and no request is left out, so a decision that was
 * forgotten does not compile. docs/protocol-support.md is compared with this table.
 */
import type { OwnedFd } from '../owned-fd.js';
import * as bodies from './bodies.js';
import type { BodyLayout, ReplyKind, ReplyValues } from './bodies.js';
import { REQUESTS, VRING_NOFD, type ProtocolFeatureName, type RequestName } from './protocol.js';
import type { Session } from './session.js';

/** How many descriptors a request carries, given its body. */
interface FdRule<T> {
  /** For the documentation. */
  readonly name: string;
  readonly count: (value: T) => number;
}

const NO_FDS: FdRule<unknown> = { name: 'none', count: () => 0 };
const ONE_FD: FdRule<unknown> = { name: 'one', count: () => 1 };
const FD_UNLESS_NOFD: FdRule<bigint> = { name: 'one, or none with the NOFD bit', count: nofdCount };
const FD_PER_REGION: FdRule<readonly unknown[]> = { name: 'one per region', count: (regions) => regions.length };

function nofdCount(value: bigint): number {
  return (value & VRING_NOFD) === 0n ? 1 : 0;
}

/** What must have been negotiated: nothing, a protocol feature, or virtio feature bit 30. */
export type NeededFeature = 'none' | ProtocolFeatureName | 'F_PROTOCOL_FEATURES';

/** In which state a request may come: any, or only while nobody owns the session. */
export type NeededState = 'any' | 'unowned';

/**
 * What becomes of a request that fails.
 * - end: the connection ends, unless the request has no reply of its own and an acknowledgement was asked for; then
 *   the answer is 1 and the session goes on.
 * - empty: a reply without a body says that it failed.
 * - ignore: like end, but without an acknowledgement the request has no effect.
 */
export type FaultAnswer = 'end' | 'empty' | 'ignore';

interface Row<T, R extends ReplyKind> {
  readonly body: BodyLayout<T>;
  readonly fds: FdRule<T>;
  readonly feature: NeededFeature;
  readonly state: NeededState;
  readonly reply: R;
  readonly fault: FaultAnswer;
  /** Takes out of `fds` what it keeps. */
  readonly handle: (session: Session, value: T, fds: OwnedFd[]) => ReplyValues[R] | Promise<ReplyValues[R]>;
}

/** A request that is handled; the types of its columns have been matched by `row`. */
export type RequestRow = Row<unknown, ReplyKind>;

/** A request that is refused, and why. */
export interface RefusedRow {
  readonly refused: string;
}

function row<T, R extends ReplyKind>(columns: Row<T, R>): RequestRow {
  return columns as unknown as RequestRow;
}

function refuse(refused: string): RefusedRow {
  return { refused };
}

export const REQUEST_ROWS = {
  GET_FEATURES: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'u64',
    fault: 'end',
    handle: (session) => session.features,
  }),
  SET_FEATURES: row({
    body: bodies.U64,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, features) => session.setFeatures(features),
  }),
  SET_OWNER: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'none',
    state: 'unowned',
    reply: 'none',
    fault: 'end',
    handle: (session) => session.setOwner(),
  }),
  RESET_OWNER: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session) => session.resetOwner(),
  }),
  SET_MEM_TABLE: row({
    body: bodies.MEMORY_TABLE,
    fds: FD_PER_REGION,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, regions, fds) => session.setMemoryTable(regions, fds),
  }),
  SET_LOG_BASE: refuse('no dirty log: LOG_ALL is not on offer'),
  SET_LOG_FD: refuse('no dirty log: LOG_ALL is not on offer'),
  SET_VRING_NUM: row({
    body: bodies.VRING_STATE,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, { index, num }) => session.changeRing(index, (ring) => (ring.size = num)),
  }),
  SET_VRING_ADDR: row({
    body: bodies.VRING_ADDRESSES,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, addresses) => session.changeRing(addresses.index, (ring) => (ring.addresses = addresses)),
  }),
  SET_VRING_BASE: row({
    body: bodies.VRING_STATE,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, { index, num }) => session.changeRing(index, (ring) => (ring.nextAvail = num & 0xffff)),
  }),
  GET_VRING_BASE: row({
    body: bodies.VRING_STATE,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'vringState',
    fault: 'end',
    handle: (session, { index }) => session.stopRing(index),
  }),
  SET_VRING_KICK: row({
    body: bodies.U64,
    fds: FD_UNLESS_NOFD,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, ring, fds) => session.setKick(ring, fds),
  }),
  SET_VRING_CALL: row({
    body: bodies.U64,
    fds: FD_UNLESS_NOFD,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, ring, fds) => session.setCall(ring, fds),
  }),
  SET_VRING_ERR: row({
    body: bodies.U64,
    fds: FD_UNLESS_NOFD,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, ring) => session.setErr(ring),
  }),
  GET_PROTOCOL_FEATURES: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'u64',
    fault: 'end',
    handle: (session) => session.protocolFeatures,
  }),
  SET_PROTOCOL_FEATURES: row({
    body: bodies.U64,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, features) => session.setProtocolFeatures(features),
  }),
  GET_QUEUE_NUM: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'MQ',
    state: 'any',
    reply: 'u64',
    fault: 'end',
    handle: (session) => BigInt(session.ringCount),
  }),
  SET_VRING_ENABLE: row({
    body: bodies.VRING_STATE,
    fds: NO_FDS,
    feature: 'F_PROTOCOL_FEATURES',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, { index, num }) => session.setEnabled(index, num),
  }),
  SEND_RARP: refuse('for network devices'),
  NET_SET_MTU: refuse('for network devices'),
  SET_BACKEND_REQ_FD: row({
    body: bodies.NOTHING,
    fds: ONE_FD,
    feature: 'BACKEND_REQ',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, _nothing, fds) => session.setBackendChannel(fds),
  }),
  IOTLB_MSG: refuse('no IOMMU: ACCESS_PLATFORM is not on offer'),
  SET_VRING_ENDIAN: refuse('no legacy rings: VERSION_1 is always on offer'),
  GET_CONFIG: row({
    body: bodies.CONFIG_SPACE,
    fds: NO_FDS,
    feature: 'CONFIG',
    state: 'any',
    reply: 'config',
    fault: 'empty',
    handle: (session, at) => ({ at, bytes: session.readConfig(at) }),
  }),
  SET_CONFIG: row({
    body: bodies.CONFIG_SPACE,
    fds: NO_FDS,
    feature: 'CONFIG',
    state: 'any',
    reply: 'none',
    // A guest can cause this through its frontend, and the configuration stays as it is: no reason to end anything.
    fault: 'ignore',
    handle: (session) => session.refuseConfig(),
  }),
  CREATE_CRYPTO_SESSION: refuse('for crypto devices'),
  CLOSE_CRYPTO_SESSION: refuse('for crypto devices'),
  POSTCOPY_ADVISE: refuse('no postcopy migration: PAGEFAULT is not on offer'),
  POSTCOPY_LISTEN: refuse('no postcopy migration: PAGEFAULT is not on offer'),
  POSTCOPY_END: refuse('no postcopy migration: PAGEFAULT is not on offer'),
  GET_INFLIGHT_FD: refuse('no reconnect with requests in flight: INFLIGHT_SHMFD is not on offer'),
  SET_INFLIGHT_FD: refuse('no reconnect with requests in flight: INFLIGHT_SHMFD is not on offer'),
  GPU_SET_SOCKET: refuse('for GPU devices'),
  RESET_DEVICE: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'RESET_DEVICE',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session) => session.resetDevice(),
  }),
  VRING_KICK: refuse('no notifications by message: INBAND_NOTIFICATIONS is not on offer'),
  GET_MAX_MEM_SLOTS: refuse('memory comes as a table: CONFIGURE_MEM_SLOTS is not on offer'),
  ADD_MEM_REG: refuse('memory comes as a table: CONFIGURE_MEM_SLOTS is not on offer'),
  REM_MEM_REG: refuse('memory comes as a table: CONFIGURE_MEM_SLOTS is not on offer'),
  SET_STATUS: refuse('STATUS is not on offer'),
  GET_STATUS: refuse('STATUS is not on offer'),
  GET_SHARED_OBJECT: refuse('SHARED_OBJECT is not on offer'),
  SET_DEVICE_STATE_FD: refuse('no migration: DEVICE_STATE is not on offer'),
  CHECK_DEVICE_STATE: refuse('no migration: DEVICE_STATE is not on offer'),
  GET_SHMEM_CONFIG: refuse('no DAX window: SHMEM is not on offer'),
} satisfies Record<RequestName, RequestRow | RefusedRow>;

const NAMES = new Map<number, RequestName>(
  (Object.keys(REQUESTS) as RequestName[]).map((name) => [REQUESTS[name], name]),
);

/** The name and row of a request number, or undefined for a number that the protocol does not know. */
export function requestRow(request: number): { name: RequestName; row: RequestRow | RefusedRow } | undefined {
  const name = NAMES.get(request);
  return name === undefined ? undefined : { name, row: REQUEST_ROWS[name] };
}
