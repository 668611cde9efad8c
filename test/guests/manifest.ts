/** Finds the guest kernels that `node scripts/guests.mjs` has put into the cache. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** Version of the manifest's layout; scripts/guests.mjs writes it. */
const FORMAT = 2;

export type GuestName = 'uml-6.1' | 'uml-6.12' | 'uml-sid' | 'qemu-6.1' | 'qemu-10' | 'qemu-11';
/** What the cache holds beside kernels. */
export type ResourceName = GuestName | 'debian-tree';

interface InstalledKernel {
  /** As `uname -r` says. */
  readonly release: string;
  /** Debian packages with versions. */
  readonly packages: readonly string[];
  /** In the order in which they must be loaded. */
  readonly modules: readonly string[];
}

export interface UmlKernel extends InstalledKernel {
  readonly kind: 'uml';
  readonly executable: string;
  /** The directory of the program's own C library, if it needs one. */
  readonly libraries?: string;
}

export interface QemuKernel extends InstalledKernel {
  readonly kind: 'qemu';
  readonly emulator: string;
  /** What a QEMU that is not this machine's brings: directories. */
  readonly libraries?: string;
  readonly firmware?: string;
  readonly emulatorModules?: string;
  readonly image: string;
}

export type GuestKernel = UmlKernel | QemuKernel;

interface Manifest {
  readonly format: number;
  readonly busybox?: string;
  readonly guests: Partial<Record<GuestName, GuestKernel>>;
  /** A Debian system as a tar archive. */
  readonly debianTree?: { readonly archive: string };
  readonly unavailable: Partial<Record<ResourceName, string>>;
}

/** Where kernels are kept; the same rule as in scripts/guests.mjs. */
export function guestsDirectory(): string {
  const cache = process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache');
  return path.resolve(process.env['VIRTIO_FS_GUESTS'] || path.join(cache, 'virtio-fs', 'guests'));
}

function readManifest(): Manifest {
  const file = path.join(guestsDirectory(), 'manifest.json');
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
  } catch (cause) {
    throw new Error(`No guest kernels in ${path.dirname(file)}. Get them with: node scripts/guests.mjs`, { cause });
  }
  if (manifest.format !== FORMAT) {
    throw new Error(`${file} is from another version. Renew it with: node scripts/guests.mjs`);
  }
  return manifest;
}

/** Why this machine cannot have one of these, or undefined if it can have all. */
export function unavailableReason(...names: ResourceName[]): string | undefined {
  const { unavailable } = readManifest();
  return names.map((name) => unavailable[name]).find((reason) => reason !== undefined);
}

/** The kernel; throws if it was not installed. */
export function findKernel(name: GuestName): GuestKernel {
  const manifest = readManifest();
  const kernel = manifest.guests[name];
  if (kernel !== undefined) return kernel;
  const reason = manifest.unavailable[name] ?? `get it with: node scripts/guests.mjs ${name}`;
  throw new Error(`There is no guest ${name}: ${reason}`);
}

/** The static busybox that is every guest's userland. */
export function findBusybox(): string {
  const { busybox } = readManifest();
  if (busybox === undefined) throw new Error('There is no busybox for guests. Get it with: node scripts/guests.mjs');
  return busybox;
}

/** The archive of the Debian tree. */
export function findDebianTree(): string {
  const { debianTree, unavailable } = readManifest();
  if (debianTree !== undefined) return debianTree.archive;
  const reason = unavailable['debian-tree'] ?? 'get it with: node scripts/guests.mjs debian-tree';
  throw new Error(`There is no Debian tree for guests: ${reason}`);
}
