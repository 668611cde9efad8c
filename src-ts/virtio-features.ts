/** Feature bits of virtio and of vhost-user that this device knows, by number. A bit number is not a mask: see maskOf. */

export const VIRTIO_FEATURES = {
  /** virtio 1.3 §6: descriptors may point to tables of descriptors. */
  RING_INDIRECT_DESC: 28,
  /** virtio 1.3 §6: used_event and avail_event suppress notifications. */
  RING_EVENT_IDX: 29,
  /** vhost-user: the protocol features below can be negotiated, and rings start disabled. */
  PROTOCOL_FEATURES: 30,
  /** virtio 1.3 §6: not a legacy device. */
  VERSION_1: 32,
} as const;

/** The mask that has exactly these bits. */
export function maskOf(...bits: readonly number[]): bigint {
  return bits.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);
}

/** True if `mask` has the bit. */
export function hasBit(mask: bigint, bit: number): boolean {
  return ((mask >> BigInt(bit)) & 1n) === 1n;
}
