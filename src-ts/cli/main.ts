#!/usr/bin/env node
/** The command `virtio-fs`: joins run.ts to this process. */
import { run } from './run.js';

// Node starts its debugger on SIGUSR1, for whoever may send a signal: here that must never happen.
let report: (() => void) | undefined;
process.on('SIGUSR1', () => report?.());

const STOPPING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

let reload: (() => void) | undefined;

/**
 * The first signal ends the command cleanly; the second one, with its default effect, at once. SIGHUP does neither where
 * there is something to read again.
 */
const stop = new Promise<string>((resolve) => {
  for (const signal of STOPPING) {
    process.on(signal, () => {
      if (signal === 'SIGHUP' && reload !== undefined) {
        reload();
        return;
      }
      for (const each of STOPPING) process.removeAllListeners(each);
      resolve(signal);
    });
  }
});

const opened = new Set<NodeJS.WriteStream>();

/** Node makes its streams when they are first looked at, which takes a while, and the process outside of a sandbox says little. */
function ready(stream: NodeJS.WriteStream): NodeJS.WriteStream {
  // Whoever started the command may have closed its end of a pipe: not a reason to stop serving.
  if (!opened.has(stream)) stream.on('error', () => undefined);
  opened.add(stream);
  return stream;
}

const outside = {
  out: (text: string) => void ready(process.stdout).write(text),
  log: (line: string) => void ready(process.stderr).write(`virtio-fs: ${line}\n`),
  openStreams: () => [process.stdout, process.stderr].forEach(ready),
  environment: process.env,
  stop,
  onReport: (next: (() => void) | undefined) => void (report = next),
  onReload: (next: (() => void) | undefined) => void (reload = next),
};

void run(process.argv.slice(2), outside).then((code) => {
  process.exitCode = code;
});
