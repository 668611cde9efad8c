/**
 * The items of `-o`, with which QEMU's own virtiofsd (in C, up to QEMU 7.2) was configured, and which virtiofsd in Rust,
 * libvirt and Kata still know. Each stands for an option, or for a key of the configuration.
 */

export interface LegacyRow {
  readonly takesValue: boolean;
  /** The option that it stands for. */
  readonly option?: string;
  /** Words of the item that the option calls otherwise. */
  readonly words?: Readonly<Record<string, string>>;
  /** The configuration that it stands for, as for --cfg. */
  readonly config?: (value: string) => string;
  /** Why it does nothing. Scripts pass it; that it does nothing is said. */
  readonly noEffect?: string;
  /** For docs/cli.md. */
  readonly meaning: string;
}

const value = (option: string, words: Record<string, string> = {}): LegacyRow => {
  const also = Object.entries(words).map(([word, other]) => `; "${word}" is ${other}`);
  return { takesValue: true, option, words, meaning: `--${option}${also.join('')}` };
};
const flag = (option: string): LegacyRow => ({ takesValue: false, option, meaning: `--${option}` });
const key = (config: string): LegacyRow => ({ takesValue: false, config: () => config, meaning: `--cfg ${config}` });

export const LEGACY_ITEMS: Readonly<Record<string, LegacyRow>> = {
  source: value('shared-dir'),
  cache: value('cache', { none: 'never' }),
  loglevel: value('log-level', { err: 'error' }),
  log_level: value('log-level', { err: 'error' }),
  sandbox: value('sandbox'),
  modcaps: value('modcaps'),
  xattrmap: value('xattrmap'),
  timeout: { takesValue: true, config: (seconds) => `timeout=${seconds}`, meaning: '--cfg timeout=' },
  xattr: flag('xattr'),
  no_xattr: key('xattr=false'),
  readdirplus: key('readdirplus=true'),
  no_readdirplus: flag('no-readdirplus'),
  writeback: flag('writeback'),
  no_writeback: key('writeback=false'),
  allow_direct_io: flag('allow-direct-io'),
  no_allow_direct_io: key('allow_direct_io=false'),
  killpriv_v2: flag('killpriv-v2'),
  no_killpriv_v2: flag('no-killpriv-v2'),
  posix_acl: flag('posix-acl'),
  no_posix_acl: key('posix_acl=false'),
  security_label: flag('security-label'),
  no_security_label: key('security_ctx=false'),
  announce_submounts: flag('announce-submounts'),
  no_announce_submounts: flag('no-announce-submounts'),
  posix_lock: key('posix_locks=true'),
  no_posix_lock: key('posix_locks=false'),
  flock: key('flock=true'),
  no_flock: key('flock=false'),
  allow_root: { takesValue: false, ...idle('it means something for mounts of FUSE only') },
  max_idle_threads: { takesValue: true, ...idle('threads end by themselves when there is nothing to do') },
};

function idle(why: string): { noEffect: string; meaning: string } {
  return { noEffect: why, meaning: `none: ${why}` };
}
