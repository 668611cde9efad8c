/**
 * Extended attributes, which node:fs does not have: the calls of xattr(7), by path.
 */
import type { PathLike } from 'node:fs';
import type { Name } from './fuse-client.js';
import { GuestError } from './guest-error.js';
import { GuestFsBase } from './guest-fs.js';

export interface XattrOptions {
  /** False: of a symlink itself (lgetxattr(2) and its kind). Default true. */
  readonly follow?: boolean;
}

export interface SetXattrOptions extends XattrOptions {
  /** XATTR_CREATE or XATTR_REPLACE. */
  readonly flags?: number;
}

export class GuestFsXattr extends GuestFsBase {
  getxattr(path: PathLike, name: Name, options: XattrOptions = {}): Promise<Buffer> {
    return this.#on('getxattr', path, options, (nodeId) => this.client.getxattr(nodeId, name));
  }

  setxattr(path: PathLike, name: Name, value: Uint8Array | string, options: SetXattrOptions = {}): Promise<void> {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    return this.#on('setxattr', path, options, (nodeId) => this.client.setxattr(nodeId, name, bytes, options.flags));
  }

  /** The names, in the order of the device. */
  listxattr(path: PathLike, options: XattrOptions = {}): Promise<string[]> {
    return this.#on('listxattr', path, options, async (nodeId) =>
      (await this.client.listxattr(nodeId)).toString().split('\0').slice(0, -1),
    );
  }

  removexattr(path: PathLike, name: Name, options: XattrOptions = {}): Promise<void> {
    return this.#on('removexattr', path, options, (nodeId) => this.client.removexattr(nodeId, name));
  }

  #on<Result>(
    syscall: string,
    path: PathLike,
    { follow = true }: XattrOptions,
    work: (nodeId: bigint) => Promise<Result>,
  ): Promise<Result> {
    return this.at(syscall, path, () =>
      this.walker.with(path, { follow }, async ({ nodeId }) => {
        try {
          return await work(nodeId);
        } catch (error) {
          // As Linux tells its programs of a device without attributes.
          if (!(error instanceof GuestError) || error.code !== 'ENOSYS') throw error;
          throw new GuestError('ENOTSUP', { syscall });
        }
      }),
    );
  }
}
