/**
 * QEMU with its own instruction emulation: slow, but a stock distribution kernel on a PC with PCI, on any machine and
 * without KVM.
 */
import { type BootContext, type BootOptions, Guest, type GuestCommand } from './guest.js';
import { type GuestName, type QemuKernel, findKernel } from './manifest.js';

/** QEMU starts at a tenth of the host's speed. */
const BOOT_TIMEOUT_MS = 180_000;

export function qemuCommand(kernel: QemuKernel, context: BootContext): GuestCommand {
  const memory = `${context.memoryMiB}M`;
  const append = 'console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off random.trust_cpu=on';
  const args = [
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35,memory-backend=ram', '-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', memory],
    // vhost-user needs guest memory that the device can map too.
    ...['-object', `memory-backend-memfd,id=ram,size=${memory},share=on`],
    ...['-chardev', `socket,id=fs,path=${context.socketPath}`],
    ...['-device', `vhost-user-fs-pci,chardev=fs,tag=${context.tag}`],
    ...['-serial', 'stdio', '-kernel', kernel.image, '-initrd', context.initrd, '-append', append],
  ];
  const { emulator, libraries, firmware, emulatorModules } = kernel;
  if (libraries === undefined || firmware === undefined || emulatorModules === undefined) {
    return { command: emulator, args };
  }
  const environment = [`LD_LIBRARY_PATH=${libraries}`, `QEMU_MODULE_DIR=${emulatorModules}`];
  return { command: 'env', args: [...environment, emulator, '-L', firmware, ...args] };
}

export async function bootQemu(name: GuestName, options: BootOptions): Promise<Guest> {
  const kernel = findKernel(name);
  if (kernel.kind !== 'qemu') throw new Error(`${name} is not a kernel for QEMU`);
  // Debian builds the drivers of disks and of ext4 as a dozen modules; User Mode Linux has them built in.
  if (options.diskMiB !== undefined) throw new Error('Only User Mode Linux can have a disk');
  return Guest.boot(kernel, { bootTimeoutMs: BOOT_TIMEOUT_MS, ...options }, (context) => qemuCommand(kernel, context));
}
