/** What a share's configuration is: as it may be given, and as it is used. docs/config.md explains every key. */

/** What a guest's kernel may cache. */
export type CachePolicy = 'never' | 'auto' | 'always' | 'metadata';

/** How the device keeps hold of the inodes that the guest knows. */
export type InodeFileHandles = 'never' | 'prefer' | 'mandatory';

/** Who takes setuid, setgid and security.capability away when a file changes. */
export type KillPriv = 'auto' | 'off' | 'v2';

/** One translation of a range of uids or gids; `guest` and `host` are the first ids of the range on each side. */
export type IdTranslation =
  | {
      /**
       * `guest`: from the guest to the host only; `host`: from the host to the guest only; `map`: both ways;
       * `squash-guest`: all of the guest's range become the one host id; `squash-host`: the reverse.
       */
      readonly type: 'guest' | 'host' | 'map' | 'squash-guest' | 'squash-host';
      readonly guest: number;
      readonly host: number;
      /** Ids in the range, at least 1. */
      readonly count: number;
    }
  | {
      /** The guest may not use these ids: EPERM. */
      readonly type: 'forbid-guest';
      readonly guest: number;
      readonly count: number;
    };

/** What a rule says of the names that it matches. */
export type XattrRuleType = 'prefix' | 'ok' | 'bad' | 'unsupported';

/** Which names a rule is about: those that the guest sends, those that the host lists, or both. */
export type XattrRuleScope = 'client' | 'server' | 'all';

/** A rule of virtiofsd's xattrmap language in its long form. */
export interface XattrRule {
  readonly type: XattrRuleType;
  readonly scope: XattrRuleScope;
  /** Matches what begins with it among the names that the guest sends; empty: all of them. */
  readonly key: string;
  /** Matches what begins with it among the names that the host lists; `prefix` puts it in front and takes it away. */
  readonly prepend: string;
}

/** A rule as it may be given: the short form, `map`, stands for several. */
export type XattrRuleInput = XattrRule | { readonly type: 'map'; readonly key: string; readonly prepend: string };

/** Identity by path: crosvm's ugid_map. */
export interface UgidRule {
  /** Owner and group that the guest sees. */
  readonly guestUid: number;
  readonly guestGid: number;
  /** Owner and group of what the guest creates. */
  readonly hostUid: number;
  readonly hostGid: number;
  /** The guest sees the permissions 0777 without these bits; 0 to 0o777. */
  readonly umask: number;
  /** Absolute in the share: `/` is its root. The rule holds for this path and for all below it. */
  readonly path: string;
}

/** The configuration as an object; every key is optional. Lists may also be written as in the string form. */
export interface ConfigObject {
  /** How long the guest may trust names and attributes without asking; seconds, fractions allowed; default 5. */
  readonly timeout?: number;
  /** The same for names only; default `timeout`. */
  readonly entryTimeout?: number;
  /** The same for attributes only; default `timeout`. */
  readonly attrTimeout?: number;
  /** How long the guest may trust that a name does not exist; seconds, fractions allowed; default 0: not at all. */
  readonly negativeTimeout?: number;
  /** What the guest may cache; default 'auto'. */
  readonly cachePolicy?: CachePolicy;
  /** Lets the guest collect writes before it sends them; default false. */
  readonly writeback?: boolean;
  /** Lets the guest map files that it must not cache; default true. */
  readonly allowMmap?: boolean;
  /** Passes O_DIRECT on to the host; default false. */
  readonly allowDirectIo?: boolean;
  /** Passes O_NOATIME on to the host; default false. */
  readonly preserveNoatime?: boolean;
  /** Most bytes of one READ or WRITE: a power of two from 4096; default 1 MiB. */
  readonly maxWrite?: number;
  /** Lets the guest get attributes along with a listing; default true. */
  readonly readdirplus?: boolean;
  /** Refuses everything that changes the share; default false. */
  readonly readOnly?: boolean;
  /** Offers extended attributes; default true. */
  readonly xattr?: boolean;
  /** virtiofsd's rules for the names of extended attributes; default: names are as they are. */
  readonly xattrmap?: string | readonly XattrRuleInput[];
  /** Keeps security.* (but security.selinux) as user.virtiofs.security.*; default false. */
  readonly rewriteSecurityXattrs?: boolean;
  /** Offers POSIX ACLs; default true unless another key forbids it. */
  readonly posixAcl?: boolean;
  /** Refuses a session whose guest has no POSIX ACLs; default false. */
  readonly requirePosixAcl?: boolean;
  /** Takes a security label for what the guest creates; default true unless another key forbids it. */
  readonly securityCtx?: boolean;
  /** Refuses a session whose guest sends no labels; default false. */
  readonly requireSecurityCtx?: boolean;
  /** Who clears setuid, setgid and file capabilities on a change; default 'auto'. */
  readonly killpriv?: KillPriv;
  /** Finds names whatever the case of their ASCII letters; default false. */
  readonly asciiCasefold?: boolean;
  /** Tells the guest where other host file systems are mounted in the share; default true. */
  readonly announceSubmounts?: boolean;
  /** Keeps inodes by file handle instead of by descriptor; default 'never'. 'fallback' is 'prefer'. */
  readonly inodeFileHandles?: InodeFileHandles | 'fallback';
  /** Most descriptors for the guest's inodes and files; default 0: what the process can spare. */
  readonly descriptorsMax?: number;
  /** Real record locks (fcntl) on the host; default false: they hold among the guest's processes. */
  readonly posixLocks?: boolean;
  /** Real flock(2) locks on the host; default false: they hold among the guest's processes. */
  readonly flock?: boolean;
  /** Translations of uids; default: none. */
  readonly translateUid?: string | readonly IdTranslation[];
  /** Translations of gids; default: none. */
  readonly translateGid?: string | readonly IdTranslation[];
  /** Identity by path; default: none. */
  readonly ugidMap?: string | readonly UgidRule[];
  /** Keeps owner and mode in the attribute user.containers.override_stat instead of in the inode; default false. */
  readonly overrideStat?: boolean;
  /** Keeps guest memory out of child processes of this one; default false. */
  readonly unmapGuestMemoryOnFork?: boolean;
  /** Not available yet: true is an error. */
  readonly useDax?: boolean;
  /** ChromeOS: how many owners by path root of the guest may register (FS_IOC_SETPERMISSION); default 0. */
  readonly maxDynamicPerm?: number;
  /** ChromeOS: how many attributes by path root of the guest may register (FS_IOC_SETPATHXATTR); default 0. */
  readonly maxDynamicXattr?: number;
  /** ChromeOS: who may change a file's project besides its owner, where the guest does not check; default: nobody. */
  readonly privilegedQuotaUids?: string | readonly number[];
  /** ChromeOS: the operation OPEN_ATOMIC; default false. */
  readonly openAtomic?: boolean;
  /** ChromeOS: the operation TMPFILE under its old number; default false. */
  readonly chromeosTmpfile?: boolean;
  /** Files and directories are opened without a message; needs cachePolicy 'always'; default false. */
  readonly zeroMessageOpen?: boolean;
}

/** The keys whose value may be given in more than one shape. */
interface Normalised {
  /** In the long form. Empty: no map, names are as they are. */
  readonly xattrmap: readonly XattrRule[];
  readonly inodeFileHandles: InodeFileHandles;
  readonly translateUid: readonly IdTranslation[];
  readonly translateGid: readonly IdTranslation[];
  readonly ugidMap: readonly UgidRule[];
  readonly privilegedQuotaUids: readonly number[];
}

/** A complete, consistent configuration. */
export type Config = Omit<Required<ConfigObject>, keyof Normalised> & Normalised;
