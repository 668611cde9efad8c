/** A guest on a backend of this process, with everything that belongs to it, for one test file. */
import { type BackendStats, FsBackend, type FsBackendOptions, type Policy, VhostUserServer } from 'virtio-fs';
import * as guests from '../guests/index.js';
import { Place } from './place.js';

export const TAG = 'work';
/** For filling a share and booting, which may take long on a loaded machine: this only ends what hangs. */
export const BOOT_TIMEOUT_MS = 400_000;

export interface ServedGuestOptions extends Partial<guests.BootOptions> {
  readonly config?: FsBackendOptions['config'];
  readonly policy?: FsBackendOptions['policy'];
  /** The directory to share; default: one of its own, which goes with it. */
  readonly share?: string;
  /** Fills the share before the guest boots. */
  readonly fill?: (share: string) => void;
}

/** A backend, its server and what they complained of. */
class Served {
  readonly failures: unknown[] = [];
  readonly place = new Place();
  readonly share: string;
  backend: FsBackend | undefined;
  server: VhostUserServer | undefined;

  constructor(share: string | undefined) {
    this.share = share ?? this.place.share;
  }

  async start({ config, policy }: Pick<ServedGuestOptions, 'config' | 'policy'>): Promise<void> {
    const { share } = this;
    const { socketPath } = this.place;
    this.backend = new FsBackend({
      tag: TAG,
      sharedDir: share,
      ...(config === undefined ? {} : { config }),
      ...(policy === undefined ? {} : { policy }),
    });
    this.backend.on('queueError', (event) => this.failures.push(event));
    this.server = await VhostUserServer.listen({ backend: this.backend, socketPath });
    this.server.on('disconnected', ({ error }) => error !== undefined && this.failures.push(error));
  }

  async dispose(): Promise<void> {
    await this.server?.close();
    await this.backend?.close();
    this.place.dispose();
  }
}

export class ServedGuest {
  readonly #served: Served;

  private constructor(
    served: Served,
    readonly guest: guests.Guest,
  ) {
    this.#served = served;
  }

  static async boot(name: guests.GuestName, options: ServedGuestOptions): Promise<ServedGuest> {
    const { config, policy, share, fill, ...bootOptions } = options;
    const served = new Served(share);
    try {
      fill?.(served.share);
      await served.start({ config, policy });
      const { socketPath } = served.place;
      return new ServedGuest(served, await guests.bootGuest(name, { ...bootOptions, socketPath, tag: TAG }));
    } catch (error) {
      await served.dispose();
      throw error;
    }
  }

  /** The shared directory. */
  get share(): string {
    return this.#served.share;
  }

  /** Rules for the backend from now on; it must have begun with some, if only with none: `[]`. */
  setPolicy(policy: Policy): void {
    this.#served.backend?.setPolicy(policy);
  }

  /** What the device has done and holds. */
  stats(): BackendStats {
    if (this.#served.backend === undefined) throw new Error('The device was not started');
    return this.#served.backend.stats();
  }

  /** What the device, its connection and the guest's kernel have to say against one another; empty if all is well. */
  async complaints(): Promise<unknown[]> {
    return [...this.#served.failures, ...(await this.guest.complaints())];
  }

  async dispose(): Promise<void> {
    await this.guest.kill();
    await this.#served.dispose();
  }
}
