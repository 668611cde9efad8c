/**
 * One row for each request of the protocol: what its body looks like, which descriptors come along, what must have
 * been negotiated, in which state it may come, how it is answered and by whom. The checks belong to the row: a handler
 * runs only when all of them have passed. No column is optional and no request is left out, so a decision that was
 * forgotten does not compile. docs/protocol-support.md is compared with this table.
 */
import type { OwnedFd } from '../owned-fd.js';
import * as bodies from './bodies.js';
import type { BodyLayout, ReplyKind, ReplyValues } from './bodies.js';
import { MEMORY_SLOTS_MAX, REQUESTS, VRING_NOFD, type ProtocolFeatureName, type RequestName } from './protocol.js';
import type { Session } from './session.js';

/** How many descriptors a request carries, given its body. */
interface FdRule<T> {
  /** For the documentation. */
  readonly name: string;
  readonly fits: (count: number, value: T) => boolean;
}

const NO_FDS: FdRule<unknown> = { name: 'none', fits: (count) => count === 0 };
const ONE_FD: FdRule<unknown> = { name: 'one', fits: (count) => count === 1 };
/** Older frontends send one, which is closed unused. */
const MAYBE_FD: FdRule<unknown> = { name: 'none or one', fits: (count) => count <= 1 };
const FD_UNLESS_NOFD: FdRule<bigint> = {
  name: 'one, or none with the NOFD bit',
  fits: (count, value) => count === ((value & VRING_NOFD) === 0n ? 1 : 0),
};
const FD_PER_REGION: FdRule<readonly unknown[]> = {
  name: 'one per region',
  fits: (count, regions) => count === regions.length,
};

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
  /** The failure in the request's own reply, a u64, if it has one; else it fails as `end`. */
  readonly answer: bigint | undefined;
}

function row<T, R extends ReplyKind>(columns: Row<T, R>): RequestRow {
  return columns as unknown as RequestRow;
}

function refuse(refused: string, answer?: bigint): RefusedRow {
  return { refused, answer };
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
    handle: (session, regions, fds) => session.rings.setMemoryTable(regions, fds),
  }),
  SET_LOG_BASE: row({
    body: bodies.LOG_AREA,
    fds: ONE_FD,
    feature: 'LOG_SHMFD',
    state: 'any',
    reply: 'u64',
    // A frontend that went on without a log would lose pages.
    fault: 'end',
    handle: (session, area, fds) => session.setLogBase(area, fds),
  }),
  SET_LOG_FD: row({
    body: bodies.NOTHING,
    fds: ONE_FD,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, _nothing, fds) => {
      session.rings.log.event = fds[0];
    },
  }),
  SET_VRING_NUM: row({
    body: bodies.VRING_STATE,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, { index, num }) => session.rings.change(index, (ring) => (ring.size = num)),
  }),
  SET_VRING_ADDR: row({
    body: bodies.VRING_ADDRESSES,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, addresses) => session.rings.setAddresses(addresses),
  }),
  SET_VRING_BASE: row({
    body: bodies.VRING_STATE,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, { index, num }) => session.rings.change(index, (ring) => (ring.nextAvail = num & 0xffff)),
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
    handle: (session, ring, fds) => session.setErr(ring, fds),
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
    handle: (session) => BigInt(session.rings.count),
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
  IOTLB_MSG: refuse('no IOMMU: ACCESS_PLATFORM is not on offer', 1n),
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
  POSTCOPY_END: refuse('no postcopy migration: PAGEFAULT is not on offer', 1n),
  GET_INFLIGHT_FD: row({
    body: bodies.IN_FLIGHT_AREA,
    fds: NO_FDS,
    feature: 'INFLIGHT_SHMFD',
    state: 'any',
    reply: 'inFlight',
    fault: 'end',
    handle: (session, asked) => session.getInFlight(asked),
  }),
  SET_INFLIGHT_FD: row({
    body: bodies.IN_FLIGHT_AREA,
    fds: ONE_FD,
    feature: 'INFLIGHT_SHMFD',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, area, fds) => session.rings.setInFlight(area, fds[0] as OwnedFd),
  }),
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
  GET_MAX_MEM_SLOTS: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'CONFIGURE_MEM_SLOTS',
    state: 'any',
    reply: 'u64',
    fault: 'end',
    handle: () => BigInt(MEMORY_SLOTS_MAX),
  }),
  ADD_MEM_REG: row({
    body: bodies.SINGLE_REGION,
    fds: ONE_FD,
    feature: 'CONFIGURE_MEM_SLOTS',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, region, fds) => session.rings.addRegion(region, fds[0] as OwnedFd),
  }),
  REM_MEM_REG: row({
    body: bodies.SINGLE_REGION,
    fds: MAYBE_FD,
    feature: 'CONFIGURE_MEM_SLOTS',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, region) => session.rings.removeRegion(region),
  }),
  SET_STATUS: row({
    body: bodies.U64,
    fds: NO_FDS,
    feature: 'STATUS',
    state: 'any',
    reply: 'none',
    fault: 'end',
    handle: (session, status) => session.setStatus(status),
  }),
  GET_STATUS: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'STATUS',
    state: 'any',
    reply: 'u64',
    fault: 'end',
    handle: (session) => session.status,
  }),
  GET_SHARED_OBJECT: refuse('SHARED_OBJECT is not on offer'),
  SET_DEVICE_STATE_FD: refuse('no migration: DEVICE_STATE is not on offer', 0x101n),
  CHECK_DEVICE_STATE: refuse('no migration: DEVICE_STATE is not on offer', 1n),
  // No DAX window. The answer to whoever asks, though SHMEM is not on offer.
  GET_SHMEM_CONFIG: row({
    body: bodies.NOTHING,
    fds: NO_FDS,
    feature: 'none',
    state: 'any',
    reply: 'sharedMemory',
    fault: 'end',
    handle: () => [],
  }),
} satisfies Record<RequestName, RequestRow | RefusedRow>;

const NAMES = new Map<number, RequestName>(
  (Object.keys(REQUESTS) as RequestName[]).map((name) => [REQUESTS[name], name]),
);

/** The name and row of a request number, or undefined for a number that the protocol does not know. */
export function requestRow(request: number): { name: RequestName; row: RequestRow | RefusedRow } | undefined {
  const name = NAMES.get(request);
  return name === undefined ? undefined : { name, row: REQUEST_ROWS[name] };
}
