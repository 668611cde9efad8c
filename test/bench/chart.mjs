// The chart of a run: for each job a bar per backend, as a part of the limit. No library: a few rectangles.

const COLOURS = ['#2f6fbf', '#c0504d', '#e0a030', '#6a9a48', '#8064a2', '#777777'];
const BAR = 10;
const GAP = 10;
const LEFT = 190;
const WIDTH = 620;
const TOP = 70;

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const text = (x, y, content, more = '') => `<text x="${x}" y="${y}" ${more}>${escape(content)}</text>`;

/** The group of results that is drawn: the deepest of those that every job has. */
export function chartedResults(report) {
  const [fileSystem] = report.results.map((result) => result.fileSystem);
  const depths = report.results.map(({ depth }) => depth);
  const depth = depths.includes(16) ? 16 : Math.max(...depths);
  const charted = report.results.filter(
    (result) => result.fileSystem === fileSystem && result.depth === depth && result.wait === 'eventfd',
  );
  return { fileSystem, depth, results: charted.filter(({ figures }) => figures.limit !== undefined) };
}

export function chartOf(report) {
  const names = report.peers.map(({ name }) => name);
  const { fileSystem, depth, results } = chartedResults(report);
  const rowHeight = BAR * names.length + GAP;
  const height = TOP + rowHeight * results.length + 20;
  const parts = [
    text(10, 22, `Operations per second, as a part of the limit (${fileSystem}, depth ${depth})`, 'font-size="15"'),
    ...names.map((name, i) => {
      const x = 10 + i * 145;
      return `<rect x="${x}" y="36" width="10" height="10" fill="${COLOURS[i % COLOURS.length]}"/>${text(x + 15, 45, name)}`;
    }),
  ];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const x = LEFT + share * WIDTH;
    parts.push(`<line x1="${x}" y1="${TOP - 5}" x2="${x}" y2="${height - 15}" stroke="#ccc"/>`);
    parts.push(text(x, TOP - 8, `${share * 100} %`, 'text-anchor="middle" fill="#666"'));
  }
  results.forEach(({ job, figures }, row) => {
    const y = TOP + row * rowHeight;
    parts.push(text(LEFT - 8, y + rowHeight / 2, job, 'text-anchor="end"'));
    names.forEach((name, i) => {
      const share = (figures[name]?.perSecond ?? 0) / figures.limit.perSecond;
      const width = (Math.min(share, 1.2) * WIDTH).toFixed(1);
      const fill = COLOURS[i % COLOURS.length];
      parts.push(`<rect x="${LEFT}" y="${y + i * BAR}" width="${width}" height="${BAR - 1}" fill="${fill}"/>`);
    });
  });
  const size = `width="${LEFT + WIDTH * 1.2 + 20}" height="${height}"`;
  const style = 'font-family="sans-serif" font-size="11"';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${style}>\n${parts.join('\n')}\n</svg>\n`;
}
