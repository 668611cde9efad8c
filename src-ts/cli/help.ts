/** The text of `virtio-fs --help`. */
import { CLI_OPTIONS } from './options.js';

/** Exit codes of the command, and what they mean. */
export const EXIT_CODES = {
  /** Ended by SIGTERM or SIGINT, or with --fd by the frontend; also after --help and --version. */
  done: 0,
  /** The share, the socket or the connection failed; the reason is on standard error. */
  failed: 1,
  /** The command line or the configuration is wrong, or the sandbox was not disabled. */
  usage: 2,
} as const;

const COLUMN = 24;

/** The whole text, with a newline at its end. */
export function helpText(): string {
  const lines = Object.entries(CLI_OPTIONS).flatMap(([name, { value, help }]) => {
    const option = `  --${name}${value === null ? '' : ` ${value}`}`;
    return help.map((line, i) => (i === 0 ? option : '').padEnd(COLUMN) + line);
  });
  return [
    'Usage: virtio-fs --socket-path PATH --tag TAG --shared-dir DIR --disable-sandbox',
    '',
    'Shares a directory with a virtual machine: a vhost-user device for virtio-fs.',
    'Runs in the foreground, prints one line when it is ready, logs to standard',
    'error, and ends on SIGTERM or SIGINT.',
    '',
    'Options (--name VALUE or --name=VALUE):',
    ...lines,
    '',
    'Exit codes:',
    `  ${EXIT_CODES.done}  ended by a signal, or with --fd by the frontend`,
    `  ${EXIT_CODES.failed}  the share, the socket or the connection failed`,
    `  ${EXIT_CODES.usage}  the command line is wrong`,
    '',
  ].join('\n');
}
