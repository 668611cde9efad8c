/** A sequence: made from a seed, tried on a backend of its own, and made shorter if the model does not foretell it. */
import { isDeepStrictEqual } from 'node:util';
import { Random } from '../../../ts/support/random.js';
import { Harness, WRITEBACK, type Variant } from '../harness.js';
import { Driver, linesOfHost, linesOfModel, plantOnHost } from './driver.js';
import { randomPlanted, randomPolicy, randomStep } from './generator.js';
import { Model } from './model.js';
import type { Result, Step } from './steps.js';
import { plantInto, type Inode, type Planted } from './tree.js';

const STEPS = 100;
/** How long one policy holds, in steps. */
const POLICY_STEPS = 20;
/** A failure is made shorter by so many trials at most. */
const TRIALS_MAX = 400;

export interface Sequence {
  readonly planted: readonly Planted[];
  readonly steps: readonly Step[];
}

export interface Difference {
  readonly step: Step | 'the share, as the host has it';
  readonly foretold: Result;
  readonly got: Result;
}

export function randomSequence(seed: number): Sequence {
  const random = new Random(seed);
  const planted = randomPlanted(random);
  const countsNames = random.chance(0.4);
  const model = new Model(WRITEBACK);
  plantInto(model.view.root, planted);
  const steps: Step[] = [];
  for (let i = 0; i < STEPS; i++) {
    const step: Step =
      i % POLICY_STEPS === 0
        ? { do: 'policy', policy: randomPolicy(random, countsNames) }
        : randomStep(random, model.situation);
    model.foretell(step);
    steps.push(step);
  }
  return { planted, steps };
}

/** Everything in the share, whether the guest may know of it or not. */
function looksAround(root: Inode): Step[] {
  return [...root.below()].flatMap(([path, { kind }]): Step[] => [
    { do: 'lstat', path },
    { do: kind === 'directory' ? 'list' : 'readFile', path },
  ]);
}

/** undefined: all was as foretold. */
export async function tryOn(variant: Variant, { planted, steps }: Sequence): Promise<Difference | undefined> {
  const model = new Model(WRITEBACK);
  const put = plantInto(model.view.root, planted);
  const harness = new Harness(variant, {}, []);
  const driver = new Driver(harness);
  const differs = async (step: Step): Promise<Difference | undefined> => {
    const foretold = model.foretell(step);
    if (foretold === undefined) return undefined;
    const got = await driver.perform(step);
    return isDeepStrictEqual(got, foretold) ? undefined : { step, foretold, got };
  };
  try {
    plantOnHost(harness.share, put);
    await harness.boot();
    for (const step of steps) {
      const difference = await differs(step);
      if (difference !== undefined) return difference;
    }
    for (const step of [{ do: 'list', path: '/' } as const, ...looksAround(model.view.root)]) {
      const difference = await differs(step);
      if (difference !== undefined) return difference;
    }
    const [foretold, got] = [linesOfModel(model.view.root), linesOfHost(harness.share)];
    if (!isDeepStrictEqual(got, foretold)) return { step: 'the share, as the host has it', foretold, got };
    return undefined;
  } finally {
    await driver.close();
    await harness.end();
  }
}

/** What is left when nothing can be left out any more without the difference going away. */
export async function shortened(variant: Variant, found: Sequence): Promise<Sequence & Difference> {
  let trials = 0;
  const fails = async (sequence: Sequence): Promise<boolean> => {
    trials++;
    return trials <= TRIALS_MAX && (await tryOn(variant, sequence)) !== undefined;
  };
  let { steps, planted } = found;
  const rulesOf = (step: Step): number => (step.do === 'policy' ? (step.policy.rules?.length ?? 0) : 0);
  // From large parts to single ones, and from the end.
  for (let size = steps.length >> 1; size >= 1; size >>= 1) {
    for (let at = steps.length - size; at >= 0; at -= size) {
      const rest = steps.toSpliced(at, size);
      if (await fails({ planted, steps: rest })) steps = rest;
    }
  }
  for (let size = planted.length >> 1; size >= 1; size >>= 1) {
    for (let at = planted.length - size; at >= 0; at -= size) {
      const rest = planted.toSpliced(at, size);
      if (await fails({ planted: rest, steps })) planted = rest;
    }
  }
  for (let index = 0; index < steps.length; index++) {
    for (let rule = rulesOf(steps[index] as Step) - 1; rule >= 0; rule--) {
      const { policy } = steps[index] as Extract<Step, { do: 'policy' }>;
      const less: Step = { do: 'policy', policy: { ...policy, rules: (policy.rules ?? []).toSpliced(rule, 1) } };
      const rest = steps.toSpliced(index, 1, less);
      if (await fails({ planted, steps: rest })) steps = rest;
    }
  }
  const difference = await tryOn(variant, { planted, steps });
  if (difference === undefined) throw new Error('what has failed has not failed again');
  return { planted, steps, ...difference };
}
