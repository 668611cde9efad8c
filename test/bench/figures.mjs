// From raw rounds to figures: medians, and ratios to the peers and to the limit.

export function median(values) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What is reported of one run, by name: how to get it, or undefined where there is nothing. */
const FIGURES = {
  perSecond: (run) => (run.units / run.measuredNs) * 1e9,
  cpuUs: (run) => run.backend.cpuNs / run.unitsInAll / 1e3,
  switches: (run) => (run.backend.voluntarySwitches + run.backend.involuntarySwitches) / run.unitsInAll,
  kicks: (run) => run.kicks / run.unitsInAll,
  calls: (run) => run.waits / run.unitsInAll,
  p50Us: (run) => run.latencyNs && run.latencyNs.p50 / 1e3,
  p99Us: (run) => run.latencyNs && run.latencyNs.p99 / 1e3,
  p999Us: (run) => run.latencyNs && run.latencyNs.p999 / 1e3,
  maxUs: (run) => run.latencyNs && run.latencyNs.max / 1e3,
};

/** The median of each figure over the rounds, or undefined if there were none. */
export function figuresOf(runs) {
  if (runs === undefined || runs.length === 0) return undefined;
  return Object.fromEntries(
    Object.entries(FIGURES).map(([name, get]) => [
      name,
      median(runs.map(get).filter((value) => Number.isFinite(value))) ?? null,
    ]),
  );
}

const ratio = (a, b) => (a === undefined || b === undefined || !(b > 0) ? null : a / b);

/**
 * Adds to a result the figures of each subject, and `ratios`: of us to each peer, to the best of them and to the limit,
 * in operations per second, and what our CPU time per operation is above the limit's.
 */
export function withFigures(result) {
  const figures = {};
  for (const [name, runs] of Object.entries(result.raw)) {
    const of = figuresOf(runs);
    if (of !== undefined) figures[name] = of;
  }
  const { ours, limit, ...peers } = figures;
  const rates = Object.fromEntries(Object.entries(peers).map(([name, { perSecond }]) => [name, perSecond]));
  // Ours with other options is no peer of ours.
  const ofOthers = Object.entries(rates).filter(([name]) => !name.startsWith('ours'));
  const best = ofOthers.length === 0 ? undefined : Math.max(...ofOthers.map(([, rate]) => rate));
  const ratios = {
    ...Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, ratio(ours?.perSecond, rate)])),
    bestPeer: ratio(ours?.perSecond, best),
    limit: ratio(ours?.perSecond, limit?.perSecond),
    cpuUsAboveLimit: ours === undefined || limit === undefined ? null : ours.cpuUs - limit.cpuUs,
  };
  return { ...result, figures, ratios };
}

/** What is missing in a report: empty if it is complete. A job that a place cannot have is not missing. */
export function gaps(report) {
  const missing = [];
  const subjects = [...report.peers.map(({ name }) => name), 'limit'];
  for (const { name } of report.jobs) {
    const results = report.results.filter(({ job }) => job === name);
    if (results.length === 0) missing.push(`${name}: no result`);
    for (const result of results) {
      for (const subject of subjects) {
        const what = `${name} at depth ${result.depth} on ${result.fileSystem}, ${subject}`;
        if (result.failures[subject] !== undefined) continue;
        const figures = result.figures[subject];
        if (figures === undefined) missing.push(`${what}: no figures`);
        else if (!(figures.perSecond > 0)) missing.push(`${what}: nothing was done`);
        else if (!(figures.cpuUs > 0)) missing.push(`${what}: no CPU time`);
      }
    }
  }
  return missing;
}
