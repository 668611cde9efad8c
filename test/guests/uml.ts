/**
 * User Mode Linux: a kernel that is an ordinary host program. It connects to a vhost-user device by itself and boots in
 * a second, without KVM and without root. Its memory is a file that it shares with the device; it puts it into /dev/shm
 * or TMPDIR.
 */
import { type BootContext, type BootOptions, Guest, type GuestCommand } from './guest.js';
import { type GuestName, type UmlKernel, findKernel } from './manifest.js';

const VIRTIO_ID_FS = 26;

export function umlCommand(kernel: UmlKernel, context: BootContext): GuestCommand {
  const args = [
    `mem=${context.memoryMiB}M`,
    `initrd=${context.initrd}`,
    `virtio_uml.device=${context.socketPath}:${VIRTIO_ID_FS}`,
    // One console, on our pipes; the others would open terminal windows.
    'con=null',
    'con0=fd:0,fd:1',
    // Only a panic may come between the lines of a script's output.
    'quiet',
    'loglevel=1',
    'panic=1',
    'noreboot',
    `uml_dir=${context.directory}`,
    'umid=guest',
    ...(context.disk === undefined ? [] : [`ubd0=${context.disk}`]),
  ];
  if (kernel.libraries === undefined) return { command: kernel.executable, args };
  // By `env` and not in our own environment: programs that start UML must not see its C library.
  return { command: 'env', args: [`LD_LIBRARY_PATH=${kernel.libraries}`, kernel.executable, ...args] };
}

export async function bootUml(name: GuestName, options: BootOptions): Promise<Guest> {
  const kernel = findKernel(name);
  if (kernel.kind !== 'uml') throw new Error(`${name} is not a User Mode Linux`);
  return Guest.boot(kernel, options, (context) => umlCommand(kernel, context));
}
