/**
 * A session: one frontend's connection, from its first message to the end. It owns the rings, the guest memory and the
 * descriptors that the frontend has sent; the backend outlives it.
 *
 * Requests are served strictly one after the other, though serving one may take many turns of the event loop: the next
 * message is not even read before the last is answered. Nothing that a peer sends throws out of here: a bad message is
 * answered with a failure where the protocol has an answer, and ends the session with a coded reason where it has not.
 */
import { VirtioFsError, fromNative } from '../errors.js';
import type { FsBackend } from '../fs-backend.js';
import type { OwnedFd } from '../owned-fd.js';
import { VIRTIO_FEATURES, hasBit, maskOf } from '../virtio-features.js';
import {
  REPLY_ENCODERS,
  encodeU64,
  type ConfigSpace,
  type FileArea,
  type InFlightArea,
  type ReplyValues,
  type VringState,
} from './bodies.js';
import type { Connection, Message } from './connection.js';
import { makeInFlightRegion } from './in-flight.js';
import { PROTOCOL_FEATURES, STATUS_NEEDS_RESET, VHOST_FEATURES, VRING_INDEX_MASK, VRING_NOFD } from './protocol.js';
import { requestRow, type RequestRow } from './requests.js';
import { Rings } from './rings.js';

/** Features that are between the frontend and this session; the backend has nothing to do with them. */
const SESSION_FEATURES = maskOf(VHOST_FEATURES.LOG_ALL);

interface Reply {
  readonly body: Buffer;
  readonly fd?: OwnedFd;
}

export class Session {
  /** Protocol feature bits on offer. */
  readonly protocolFeatures: bigint;
  readonly rings: Rings;
  readonly #backend: FsBackend;
  readonly #connection: Connection;
  /** The channel for requests of ours, of which there are none yet. */
  #backendChannel: OwnedFd | undefined;
  #owned = false;
  #negotiated = 0n;
  #status = 0;

  /** `protocolFeatures` are on offer in this session: all of the backend's, or fewer. */
  constructor(backend: FsBackend, connection: Connection, protocolFeatures = backend.protocolFeatures) {
    this.#backend = backend;
    this.#connection = connection;
    this.protocolFeatures = protocolFeatures;
    this.rings = new Rings(backend);
  }

  /** Serves until the session ends, and says why; never rejects. Call `dispose` next. */
  async run(): Promise<VirtioFsError> {
    try {
      for (;;) {
        const message = await this.#connection.receive();
        if (message === undefined) return new VirtioFsError('ERR_VIRTIOFS_PEER_CLOSED');
        try {
          await this.#serve(message);
        } finally {
          for (const fd of message.fds) fd.close();
        }
      }
    } catch (error) {
      return fromNative(error);
    } finally {
      this.#connection.close();
    }
  }

  /**
   * Frees everything of the session and makes the backend ready for the next one. The FUSE session ends too: the guest
   * is gone or will start with a FUSE_INIT, and until then its open files, their locks and space must not linger.
   */
  async dispose(): Promise<void> {
    this.#connection.close();
    try {
      await this.#backend.reset();
    } catch (error) {
      // A backend that was closed has stopped and freed everything already.
      if (!(error instanceof VirtioFsError) || error.code !== 'ERR_VIRTIOFS_CLOSED') throw error;
    } finally {
      this.rings.dispose();
      this.#backendChannel?.close();
      this.#backendChannel = undefined;
    }
  }

  // ── What the rows of requests.ts call ──────────────────────────────────────────────────────────────────────────────

  get features(): bigint {
    return this.#backend.features | SESSION_FEATURES;
  }

  setOwner(): void {
    this.#owned = true;
  }

  /** Deprecated, and read in two ways by others; disabling all rings is what the specification recommends. */
  async resetOwner(): Promise<void> {
    this.#owned = false;
    await this.rings.changeAll((ring) => (ring.enabled = false));
  }

  /**
   * Rings start disabled, and are enabled one by one; a frontend that does not negotiate bit 30 cannot, so that its
   * rings are all enabled here. Features of the rings hold from their next start: rings that run are restarted. The log
   * is switched without that.
   */
  async setFeatures(features: bigint): Promise<void> {
    const unknown = features & ~this.features;
    if (unknown !== 0n) throw badValue(`feature bits 0x${unknown.toString(16)} are not on offer`);
    const enableAll = !hasBit(features, VIRTIO_FEATURES.PROTOCOL_FEATURES);
    const ofDevice = features & ~SESSION_FEATURES;
    this.rings.log.enabled = hasBit(features, VHOST_FEATURES.LOG_ALL);
    if (!enableAll && ofDevice === this.#backend.ackedFeatures) return;
    await this.rings.changeAll(
      (ring) => {
        if (enableAll) ring.enabled = true;
      },
      () => this.#backend.ackFeatures(ofDevice),
    );
  }

  setProtocolFeatures(features: bigint): void {
    const unknown = features & ~this.protocolFeatures;
    if (unknown !== 0n) throw badValue(`protocol feature bits 0x${unknown.toString(16)} are not on offer`);
    this.#negotiated = features;
  }

  async setEnabled(index: number, value: number): Promise<void> {
    if (value > 1) throw badValue(`ring ${index} is to be enabled by ${value}, not 0 or 1`);
    await this.rings.change(index, (ring) => (ring.enabled = value === 1));
  }

  /** Answers where the ring stopped. It keeps everything but its kick, and starts again by the next one. */
  async stopRing(index: number): Promise<VringState> {
    const ring = this.rings.at(index);
    await ring.pause();
    ring.kick = undefined;
    return { index, num: ring.nextAvail };
  }

  async setKick(value: bigint, fds: OwnedFd[]): Promise<void> {
    const index = ringIndex(value);
    this.rings.at(index);
    if (fds.length === 0) throw refused(`ring ${index} without a kick descriptor would have to be polled`);
    await this.rings.change(index, (ring) => (ring.kick = fds.shift()));
  }

  async setCall(value: bigint, fds: OwnedFd[]): Promise<void> {
    const ring = this.rings.at(ringIndex(value));
    await ring.setCall(fds.shift());
  }

  async setErr(value: bigint, fds: OwnedFd[]): Promise<void> {
    const ring = this.rings.at(ringIndex(value));
    await ring.setErr(fds.shift());
  }

  setLogBase(area: FileArea, fds: readonly OwnedFd[]): bigint {
    this.rings.log.map(fds[0] as OwnedFd, area);
    return 0n;
  }

  getInFlight(asked: InFlightArea): ReplyValues['inFlight'] {
    return makeInFlightRegion(asked, this.rings.count);
  }

  get status(): bigint {
    return BigInt(this.#status | (this.rings.broken ? STATUS_NEEDS_RESET : 0));
  }

  /**
   * A status of 0 stops the rings. It does not end the FUSE session: QEMU sends it also for a guest that is paused, and
   * a driver that really begins anew says so by FUSE_INIT.
   */
  async setStatus(status: bigint): Promise<void> {
    if (status > 0xffn) throw badValue(`the device status 0x${status.toString(16)}`);
    if (status === 0n) await this.rings.stop();
    this.#status = Number(status);
  }

  /** The descriptor stays open until the end, because its end would tell the frontend that we are gone. */
  setBackendChannel(fds: OwnedFd[]): void {
    this.#backendChannel?.close();
    this.#backendChannel = fds.shift();
  }

  readConfig({ offset, size }: ConfigSpace): Uint8Array {
    const bytes = new Uint8Array(size);
    this.#backend.readConfig(offset, bytes);
    return bytes;
  }

  refuseConfig(): never {
    throw refused('the configuration of a virtio-fs device cannot be written');
  }

  /** Everything but the connection's own state (owner, protocol features, memory) goes back to the beginning. */
  async resetDevice(): Promise<void> {
    await this.#backend.reset();
    this.rings.forget();
    this.#status = 0;
  }

  // ── The life of a message ──────────────────────────────────────────────────────────────────────────────────────────

  async #serve(message: Message): Promise<void> {
    const known = requestRow(message.request);
    const row = known === undefined || 'refused' in known.row ? undefined : known.row;
    let reply: Reply | undefined;
    try {
      if (known === undefined) throw refused(`request ${message.request} is unknown`);
      if ('refused' in known.row) {
        if (known.row.answer === undefined) throw refused(`${known.name}: ${known.row.refused}`);
        reply = { body: encodeU64(known.row.answer) };
      } else {
        reply = await this.#answer(known.name, known.row, message);
      }
    } catch (cause) {
      reply = this.#failure(row, message, fromNative(cause));
    }
    if (reply === undefined) return;
    try {
      await this.#connection.reply(message.request, reply.body, reply.fd);
    } finally {
      reply.fd?.close();
    }
  }

  /** Checks what the row says, handles the request, and returns the reply, if there is one. */
  async #answer(name: string, row: RequestRow, message: Message): Promise<Reply | undefined> {
    this.#checkState(name, row);
    const value = row.body.decode(message.body);
    if (!row.fds.fits(message.fds.length, value)) {
      const detail = `${name} with ${message.fds.length} descriptors, not ${row.fds.name}`;
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_FDS', { detail });
    }
    const result = await row.handle(this, value, message.fds);
    if (row.reply !== 'none') {
      const body = (REPLY_ENCODERS[row.reply] as (value: unknown) => Buffer)(result);
      return row.reply === 'inFlight' ? { body, fd: (result as ReplyValues['inFlight']).fd } : { body };
    }
    // After the handler: User Mode Linux wants an answer to the very message that negotiates REPLY_ACK.
    return this.#wantsAcknowledgement(message) ? { body: encodeU64(0n) } : undefined;
  }

  /** The reply that says "failed", nothing if the request can be ignored, or else the end of the session. */
  #failure(row: RequestRow | undefined, message: Message, error: VirtioFsError): Reply | undefined {
    if (row?.fault === 'empty') return { body: Buffer.alloc(0) };
    const own = row !== undefined && row.reply !== 'none';
    if (!own && this.#wantsAcknowledgement(message)) return { body: encodeU64(1n) };
    if (row?.fault === 'ignore') return undefined;
    throw error;
  }

  #checkState(name: string, row: RequestRow): void {
    if (row.state === 'unowned' && this.#owned) {
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_STATE', { detail: `${name}: the session has an owner` });
    }
    if (row.feature === 'none') return;
    const negotiated =
      row.feature === 'F_PROTOCOL_FEATURES'
        ? hasBit(this.#backend.ackedFeatures, VIRTIO_FEATURES.PROTOCOL_FEATURES)
        : hasBit(this.#negotiated, PROTOCOL_FEATURES[row.feature]);
    if (!negotiated) throw refused(`${name} needs ${row.feature}, which was not negotiated`);
  }

  #wantsAcknowledgement(message: Message): boolean {
    return message.needReply && hasBit(this.#negotiated, PROTOCOL_FEATURES.REPLY_ACK);
  }
}

function ringIndex(value: bigint): number {
  if ((value & ~(VRING_INDEX_MASK | VRING_NOFD)) !== 0n) throw badValue(`ring 0x${value.toString(16)}`);
  return Number(value & VRING_INDEX_MASK);
}

function badValue(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
}

function refused(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_REQUEST', { detail });
}
