/** Numbers of errors and their names. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

const NAME_BY_ERRNO = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno)) {
  // EAGAIN and EWOULDBLOCK, ENOTSUP and EOPNOTSUPP are the same number: Node prefers the first of each.
  if (!NAME_BY_ERRNO.has(value)) NAME_BY_ERRNO.set(value, name);
}

/** `2` → `ENOENT`. An errno that the C library does not name is `E` and the number. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? NAME_BY_ERRNO.get(errno) ?? `E${errno}`;
}
