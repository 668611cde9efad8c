/** `virtio-fs/testing/jest`: matchers with the types that jest's `expect` gets. Needs jest for its types alone. */
import type {} from 'expect';
import type { Operations } from './intercept.js';
import type { RequestStep, ToHaveRequestedOptions } from './requests/matchers.js';

export { matchers } from './requests/matchers.js';
export type { MatcherResult, RequestSource, RequestStep, ToHaveRequestedOptions } from './requests/matchers.js';

/** What `expect.extend(matchers)` adds. `R`: what a matcher returns. */
export interface RequestMatchers<R> {
  /** There was such a request of the operation (or of one of them), or `times` of them. */
  toHaveRequested(operation: Operations, options?: ToHaveRequestedOptions): R;
  /** There were such requests, each asked when the one before had been answered. */
  toHaveRequestedInOrder(steps: readonly RequestStep[]): R;
  /** What changed the file (or the names in the directory) was synced afterwards. */
  toHaveSynced(path: string): R;
}

/* eslint-disable @typescript-eslint/no-empty-object-type, @typescript-eslint/no-namespace, @typescript-eslint/no-unused-vars --
   these are interfaces of others, to be named as they name them, with their parameters */

// For @jest/globals.
declare module 'expect' {
  interface Matchers<R extends void | Promise<void>, T = unknown> extends RequestMatchers<R> {}
}

// For @types/jest.
declare global {
  namespace jest {
    interface Matchers<R, T = {}> extends RequestMatchers<R> {}
  }
}
