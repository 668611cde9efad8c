/** Lets a store work on a share with faults, and looks at what is there afterwards. */
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { FsBackend } = require('virtio-fs');
const { Faults, LoopbackGuest } = require('virtio-fs/testing');

/** Small: there are hundreds of them. */
const MACHINE = { memoryBytes: 4 << 20 };

/** What the application does; `told` hears of each record before and after. */
async function work(StoreClass, files, told) {
  const store = await StoreClass.open(files, '/');
  const set = async (key, value) => {
    told.begun = [key, value];
    await store.set(key, value);
    told.acknowledged.set(key, value);
    told.begun = undefined;
  };
  await set('colour', 'green');
  await set('size', 'large');
  await set('colour', 'blue');
  await store.compact();
  await set('shape', 'round');
  await store.close();
}

/** What is not as it was promised. */
async function lossesOf(StoreClass, files, { acknowledged, begun }) {
  const losses = [];
  // Twice: what the first recovery leaves behind must be as good.
  for (const round of ['first', 'second']) {
    const store = await StoreClass.open(files, '/');
    for (const [key, value] of acknowledged) {
      const possible = begun?.[0] === key ? [value, begun[1]] : [value];
      if (!possible.includes(store.get(key)))
        losses.push(`${key} is ${store.get(key)} and was ${possible.join(' or ')}`);
    }
    await store.set(round, 'written after the crash');
    acknowledged.set(round, 'written after the crash');
    await store.close();
  }
  return losses;
}

/**
 * One run: `arrange(faults)` asks for what goes wrong. Returns the faults, the error of the application, if it had one, and
 * what was lost.
 */
async function trial(StoreClass, arrange, seed = 0) {
  const sharedDir = fs.mkdtempSync(path.join(os.tmpdir(), 'fault-injection-'));
  const faults = new Faults({ seed, sharedDir });
  const backend = new FsBackend({ tag: 'store', sharedDir, policy: { on: [faults.handlers] } });
  const told = { acknowledged: new Map(), begun: undefined };
  try {
    arrange(faults);
    const guest = await LoopbackGuest.boot(backend, MACHINE);
    const error = await work(StoreClass, guest.fs, told).then(
      () => undefined,
      (failed) => failed,
    );
    await guest.powerOff();
    faults.clear();
    faults.restore();
    const next = await LoopbackGuest.boot(backend, MACHINE);
    const losses = await lossesOf(StoreClass, next.fs, told);
    await next.close();
    return { faults, error, losses };
  } finally {
    faults.close();
    await backend.close();
    fs.rmSync(sharedDir, { recursive: true });
  }
}

/** A run with the fault after 0 requests, one after 1, and so on, until none is hit. Returns the losses of all. */
async function trialAtEach(StoreClass, arrange) {
  const losses = [];
  for (let after = 0; ; after++) {
    let fault;
    const run = await trial(StoreClass, (faults) => (fault = arrange(faults, after)), after);
    losses.push(...run.losses);
    if (fault.hits === 0) {
      if (run.error !== undefined) throw run.error;
      return { runs: after, losses };
    }
  }
}

module.exports = { trial, trialAtEach };
