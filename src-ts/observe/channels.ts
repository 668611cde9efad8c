/** The channels of node:diagnostics_channel on which requests and their replies are told (observer.ts). */
import { channel } from 'node:diagnostics_channel';

export const REQUEST = channel('virtio-fs:request');
export const REPLY = channel('virtio-fs:reply');

/** Whether somebody listens to one of them. */
export function anySubscribers(): boolean {
  return REQUEST.hasSubscribers || REPLY.hasSubscribers;
}
