/** How the command and its subcommands say what went wrong. */
import { fromNative } from '../errors.js';
import { EXIT_CODES } from './help.js';
import type { LogSink } from './log.js';

/** Codes that mean: the user asked for something that cannot be, and nothing was tried. */
const USAGE = /^ERR_VIRTIOFS_(USAGE|OPTION_|TAG_|CONFIG_|SANDBOX_|POLICY_|NOT_SUPPORTED)/;

/** Says it, points to the help if that helps, and returns the exit code. */
export function reportFailure(cause: unknown, log: LogSink, help: string): number {
  const error = fromNative(cause);
  log(`${error.message} (${error.code})`, 'error');
  if (error.code === 'ERR_VIRTIOFS_USAGE') log(`try ${help}`, 'error');
  return USAGE.test(error.code) ? EXIT_CODES.usage : EXIT_CODES.failed;
}
