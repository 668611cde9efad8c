// What an application offers to its guest besides a directory: files that it computes, takes and streams, and a scratch
// directory that is gone with it.
import { VirtualDirectory, VirtualFile, VirtualSymlink } from 'virtio-fs';

/** `jobs`: by number, `{ state, log }`. `accept(name, content)`: gets what the guest hands in, and may throw. */
export function toolsFor({ jobs, accept }) {
  return new VirtualDirectory({
    'README.md': 'Hand in results by writing to inbox/; state of jobs is in jobs/.\n',

    // Computed whenever somebody opens it.
    'status.json': new VirtualFile({ read: () => JSON.stringify({ running: countRunning(jobs) }) }),

    // As many entries as there are jobs at that moment.
    jobs: new VirtualDirectory(() =>
      Object.fromEntries(
        Object.entries(jobs).map(([number, job]) => [
          number,
          {
            state: new VirtualFile({
              read: () => `${job.state}\n`,
              // `echo cancelled > state`
              write: (content) => setState(job, content.toString().trim()),
            }),
            log: new VirtualFile({ read: () => lines(job.log) }),
          },
        ]),
      ),
    ),

    inbox: new VirtualDirectory({ report: new VirtualFile({ write: (content) => accept('report', content) }) }),

    // In the memory of this process; the guest does there what it likes.
    scratch: new VirtualDirectory({}, { writable: true }),
    tmp: new VirtualSymlink('scratch'),
  });
}

function countRunning(jobs) {
  return Object.values(jobs).filter(({ state }) => state === 'running').length;
}

function setState(job, state) {
  if (state !== 'cancelled') throw Object.assign(new Error(`no such state: ${state}`), { code: 'EINVAL' });
  job.state = state;
}

/** A stream: what is large need not be in memory at once. */
async function* lines(log) {
  for (const line of log) yield `${line}\n`;
}
