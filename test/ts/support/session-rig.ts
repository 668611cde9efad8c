/** A backend that is served on a fake socket, and the frontend at its other end. */
import { FsBackend, VhostUserServer, type DisconnectedEvent } from 'virtio-fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FakeDevice } from './fake-binding.js';
import { FakeFrontend } from './fake-frontend.js';
import { settle, type FakeHolder } from './with-fake.js';

export interface SessionRig {
  readonly backend: FsBackend;
  readonly device: FakeDevice;
  readonly server: VhostUserServer;
  readonly frontend: FakeFrontend;
  readonly ended: DisconnectedEvent[];
}

export interface SessionRigOptions {
  readonly requestQueues?: number;
  readonly config?: string;
}

/** A frontend that has connected and said nothing yet. */
export async function connect(fake: FakeHolder, options: SessionRigOptions = {}): Promise<SessionRig> {
  const directory = mkdtempSync(join(tmpdir(), 'vfs-session-'));
  fake.cleanups.push(() => rmSync(directory, { recursive: true }));
  const socketPath = join(directory, 's');
  const backend = new FsBackend({ tag: 'work', sharedDir: '/srv', ...options });
  fake.cleanups.push(() => backend.close());
  const server = await VhostUserServer.listen({ backend, socketPath });
  fake.cleanups.push(() => server.close());
  const ended: DisconnectedEvent[] = [];
  server.on('disconnected', (event) => ended.push(event));
  const frontend = await reconnect(fake, server);
  return { backend, device: fake.current.device, server, frontend, ended };
}

/** The next frontend. */
export async function reconnect(fake: FakeHolder, server: VhostUserServer): Promise<FakeFrontend> {
  const frontend = new FakeFrontend(fake.current, fake.current.sockets.connect(server.socketPath as string));
  await settle();
  return frontend;
}

/** A frontend that has negotiated everything and has given the guest's memory. */
export async function ready(fake: FakeHolder, options?: SessionRigOptions): Promise<SessionRig> {
  const rig = await connect(fake, options);
  await rig.frontend.negotiate();
  return rig;
}
