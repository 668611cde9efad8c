// What a backend takes from the heap: allocations per operation once it is warm, and memory per known inode. For each the
// backends are started once more, for the first with a library that counts.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ALLOCATIONS_LIBRARY } from './driver.mjs';
import { Subject } from './peers.mjs';
import { anonymousBytes } from './processes.mjs';

const OPERATIONS = 1600;
const OPERATIONS_OF_LONG = 32;
const LONG = /^(readdir|readdirplus|walk-find)/;
/** So many files warm up, those after them are weighed. */
const HELD_FIRST = 1000;

function counting(peer, file) {
  return { ...peer, env: { ...peer.env, LD_PRELOAD: ALLOCATIONS_LIBRARY, VIRTIO_FS_BENCH_ALLOCATIONS: file } };
}

async function allocationsOf(subject, job, file) {
  const operations = LONG.test(job) ? OPERATIONS_OF_LONG : OPERATIONS;
  const warm = await subject.driver.run(job, { depth: 16, operations });
  if (warm.failure !== undefined) return undefined;
  const before = readFileSync(file).readBigUInt64LE();
  const { unitsInAll } = await subject.driver.run(job, { depth: 16, operations });
  return Number(readFileSync(file).readBigUInt64LE() - before) / unitsInAll;
}

/** Of a backend that has its descriptors for this alone. */
async function bytesPerInode(peer, place, setting) {
  const subject = await Subject.start({ ...peer, name: `${peer.name}-held` }, place, setting);
  try {
    return await bytesPerInodeOf(subject, setting.held);
  } finally {
    await subject.end();
  }
}

async function bytesPerInodeOf(subject, held) {
  await subject.driver.run('hold', { depth: 16, operations: HELD_FIRST });
  const before = anonymousBytes(subject.processes);
  const { failure } = await subject.driver.run('hold', { depth: 16, operations: held });
  if (failure !== undefined) {
    // A limit on descriptors, mostly.
    console.error(`${subject.name} does not keep so many inodes: ${failure}`);
    return undefined;
  }
  return (anonymousBytes(subject.processes) - before) / held;
}

export async function measureMemory(peers, place, setting, jobs) {
  const counted = jobs.filter(({ name }) => !name.startsWith('mix-'));
  const result = { allocations: counted.map(({ name }) => ({ job: name, counts: {} })), bytesPerInode: {} };
  for (const peer of peers) {
    const file = path.join(place.directory, `${peer.name}.allocations`);
    writeFileSync(file, Buffer.alloc(4096));
    const subject = await Subject.start(counting({ ...peer, name: `${peer.name}-counted` }, file), place, setting);
    try {
      for (const { job, counts } of result.allocations) counts[peer.name] = await allocationsOf(subject, job, file);
    } finally {
      await subject.end();
    }
    result.bytesPerInode[peer.name] = await bytesPerInode(peer, place, setting);
    console.error(`memory of ${peer.name}`);
  }
  return result;
}
