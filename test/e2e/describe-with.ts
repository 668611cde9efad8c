/** Tests that need what not every machine has. */
import { describe } from '@jest/globals';
import * as guests from '../guests/index.js';

/** `describe` where this machine has all that is named, else `describe.skip` with the reason in the title. */
export function describeWith(resources: readonly guests.ResourceName[], title: string, body: () => void): void {
  const reason = guests.unavailableReason(...resources);
  if (reason === undefined) describe(title, body);
  else describe.skip(`${title} (${reason})`, body);
}
