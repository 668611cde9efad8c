/** Boots a guest of whatever kind by its name. */
import type { BootOptions, Guest } from './guest.js';
import { type GuestName, findKernel } from './manifest.js';
import { bootQemu } from './qemu.js';
import { bootUml } from './uml.js';

export function bootGuest(name: GuestName, options: BootOptions): Promise<Guest> {
  return findKernel(name).kind === 'uml' ? bootUml(name, options) : bootQemu(name, options);
}
