/**
 * Random policies and random operations: every result is what a simple model foretells, and so is what the guest and the
 * host find in the end.
 */
import { describe, expect, test } from '@jest/globals';
import { VARIANTS, type Variant } from './support/harness.js';
import { randomSequence, shortened, tryOn } from './support/policy-model/sequence.js';

/** Of each variant; VIRTIO_FS_PROPERTY_RUNS times that. */
const SEQUENCES = 10;
/** Each variant has seeds of its own, unless VIRTIO_FS_PROPERTY_SEED says which is the first. */
const SEEDS_OF_VARIANT = 1_000_000;
/** A sequence that fails is made shorter by trying it again and again; what hangs ends then. */
const SHORTENING_MS = 300_000;
const { VIRTIO_FS_PROPERTY_RUNS: TIMES = '1', VIRTIO_FS_PROPERTY_SEED: FIRST } = process.env;

describe.each(VARIANTS.map((variant, index) => [variant.name, variant, index] as const))(
  'random policies: %s',
  (_name, variant, index) => {
    const first = FIRST === undefined ? 1 + index * SEEDS_OF_VARIANT : Number(FIRST);
    const batches = Array.from({ length: Number(TIMES) }, (_, i) => first + i * SEQUENCES);
    test.each(batches)(
      'and operations are as the model foretells, from seed %d on',
      async (begin) => {
        // Of the guest's processes and of those of the host.
        process.umask(0o022);
        for (let seed = begin; seed < begin + SEQUENCES; seed++) await trySeed(variant, seed);
      },
      SHORTENING_MS,
    );
  },
);

async function trySeed(variant: Variant, seed: number): Promise<void> {
  const again = `again: VIRTIO_FS_PROPERTY_SEED=${seed}`;
  const sequence = randomSequence(seed);
  const first = await tryOn(variant, sequence).catch((cause: unknown) => {
    throw new Error(again, { cause });
  });
  if (first === undefined) return;
  const { planted, steps, step, foretold, got } = await shortened(variant, sequence);
  const left = [...planted, ...steps].map((each) => JSON.stringify(each)).join('\n');
  const what = `${again}; this is left of it:\n${left}\nlast: ${JSON.stringify(step)}`;
  expect({ what, got }).toEqual({ what, got: foretold });
}
