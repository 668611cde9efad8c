/** A sandbox for an agent: a repository that it reads, a directory in it that it writes, and secrets that it does not see. */
import { FsBackend, FuseError, allow, definePolicy, handlers, hide, overlay, readOnly } from 'virtio-fs';

/** The repository may be read, only `out` be written, and these do not exist. */
const RULES = [readOnly(), allow('./out', 'write'), hide(['.env', './.git/config', '*.pem'])];

/**
 * Serves `repository` copy-on-write: what the agent does goes to `changes`, and is logged in `auditFile`. `approve` is asked
 * about each file before the agent makes it; it may take its time, as a person does.
 */
export function openSandbox({ repository, changes, auditFile, approve }) {
  const box = overlay({ lower: repository, upper: changes });
  const asking = handlers(
    {
      create: async (request, next) => {
        if (!(await approve(request.path))) throw new FuseError('EPERM');
        return next();
      },
    },
    // Who does not answer has said no.
    { paths: './out', deadlineMs: 60_000, onDeadline: 'EPERM' },
  );
  const backend = new FsBackend({
    tag: 'repository',
    sharedDir: box,
    policy: definePolicy({ rules: RULES, on: [asking] }),
    audit: { file: auditFile },
  });
  return { backend, box };
}
