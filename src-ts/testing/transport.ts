/**
 * What the test guest's driver needs from the machine around it. A backend in this process is one such machine
 * (backend-transport.ts); a device behind a vhost-user socket can be another.
 */
import type { GuestRam } from './guest-ram.js';
import type { QueueLayout } from './virtqueue.js';

export interface QueueState {
  readonly nextAvail: number;
  readonly nextUsed: number;
}

/** The wires of one queue: a way to notify the device, and to be called by it. They outlast stop and start. */
export interface QueueLink {
  /** The device reads the ring from now on. */
  start(nextAvail: number): Promise<void>;
  /** The device has finished what it had taken and reads no more. */
  stop(): Promise<QueueState>;
  /** Tells the device that there are new chains. */
  notify(): void;
  /** Whether waiting for a call keeps the process alive. */
  keepAlive(yes: boolean): void;
  /** Frees the wires. The queue has been stopped. */
  close(): void;
}

export interface GuestTransport {
  readonly ram: GuestRam;
  /** Feature bits that the device offers. */
  readonly features: bigint;
  /** From the device's configuration; the hiprio queue not counted. */
  readonly requestQueues: number;
  ackFeatures(bits: bigint): Promise<void>;
  /** Makes the wires of a queue; `onCall` runs when the device has used chains. */
  link(index: number, layout: QueueLayout, onCall: () => void): QueueLink;
  /** Frees what the transport itself holds. All links are closed. */
  close(): Promise<void>;
}
