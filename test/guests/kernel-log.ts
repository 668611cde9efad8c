/** Judges a guest's kernel log: what a virtio-fs device must never make a kernel say. */

/** Priorities of syslog; smaller is worse. */
const PRIORITY_WARNING = 4;

/** Messages of the drivers that we feed, with any prefix that kernels have given them. */
const OUR_DRIVERS = /virtio|fuse|vhost/i;
/** Signs of trouble whoever reports them, such as a request that we never answered. */
const TROUBLE = /\b(WARNING|BUG|Oops|INFO: task .* blocked|rcu: INFO|Call Trace|general protection|Kernel panic)\b/;

/**
 * Accepted complaints, each with its reason. Module signatures: Debian signs modules of QEMU's kernel and not those of
 * User Mode Linux. Command line: UML warns of options that it passes on to init.
 */
const ACCEPTED = [/module verification failed/, /Unknown kernel command line parameters/];

/** The lines of `dmesg -r` that speak against the device. */
export function kernelComplaints(log: string): string[] {
  return log.split('\n').filter((line) => {
    const match = /^<(\d+)>(.*)$/.exec(line);
    if (match === null) return false;
    const [, priority = '', text = ''] = match;
    if (ACCEPTED.some((pattern) => pattern.test(text))) return false;
    return TROUBLE.test(text) || (OUR_DRIVERS.test(text) && (Number(priority) & 7) <= PRIORITY_WARNING);
  });
}
