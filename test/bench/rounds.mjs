// The measurement itself: every job at every depth, round by round, the subjects one after the other within a round, so
// that what changes on the machine meanwhile changes for all.

/** Settings of a run: which depths, how long, how often. */
export const NORMAL = { depths: [1, 16, 64], rounds: 5, warmMs: 40, ms: 250 };
/** To see that everything works. The figures mean nothing. */
export const QUICK = { depths: [1, 16], rounds: 1, warmMs: 2, ms: 10 };

/** The subjects, beginning with another one each round: none is always the first after a pause. */
function* turns(subjects, round) {
  for (let i = 0; i < subjects.length; i++) yield subjects[(i + round) % subjects.length];
}

async function measure(subjects, job, settings, { rounds, warmMs, ms }) {
  const raw = Object.fromEntries(subjects.map(({ name }) => [name, []]));
  const failures = {};
  for (let round = -1; round < rounds; round++) {
    for (const subject of turns(subjects, round + subjects.length)) {
      if (failures[subject.name] !== undefined) continue;
      // The first round makes files, warms caches, and is not counted.
      const length = round < 0 ? { warm: 0, ms: Math.min(ms, 50) } : { warm: warmMs, ms };
      const answer = await subject.driver.run(job, { ...settings, ...length });
      if (answer.failure !== undefined) failures[subject.name] = answer.failure;
      else if (round >= 0) raw[subject.name].push(answer);
    }
  }
  return { raw, failures };
}

/** Runs all jobs in one place; calls `onResult` after each. Returns the results. */
export async function measureAll(subjects, jobs, { depths, waits, fileSystem, ...lengths }, onResult) {
  const results = [];
  for (const { name } of jobs) {
    for (const wait of waits) {
      for (const depth of depths) {
        // Beside one that is slow there must be one that is not.
        if (name.startsWith('mix-') && depth === 1) continue;
        const measured = await measure(subjects, name, { depth, poll: wait === 'poll' }, lengths);
        results.push({ fileSystem, job: name, depth, wait, ...measured });
        onResult(results.at(-1));
      }
    }
  }
  return results;
}
