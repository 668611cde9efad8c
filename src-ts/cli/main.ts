#!/usr/bin/env node
/** The command `virtio-fs`: joins run.ts to this process. */
import { run } from './run.js';

/** The first signal ends the command cleanly; the second one, with its default effect, at once. */
const stop = new Promise<string>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      process.removeAllListeners('SIGTERM').removeAllListeners('SIGINT');
      resolve(signal);
    });
  }
});

// Whoever started the command may have closed its end of a pipe: not a reason to stop serving.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

const output = {
  out: (text: string) => void process.stdout.write(text),
  log: (line: string) => void process.stderr.write(`virtio-fs: ${line}\n`),
};

void run(process.argv.slice(2), output, stop).then((code) => {
  process.exitCode = code;
});
