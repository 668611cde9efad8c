/** A name as it may be in a listing, and be looked up then: one component of a path. */
export function isName(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}
