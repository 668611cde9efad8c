/** Puts a fake binding in place for each test of a file. */
import { afterEach, beforeEach } from '@jest/globals';
import { FakeBinding } from './fake-binding.js';
import { loader } from './internal.js';

export interface FakeHolder {
  /** The binding of the running test. */
  readonly current: FakeBinding;
  /** To be done at the end of the running test, in reverse order, before the binding goes. */
  readonly cleanups: (() => Promise<void> | void)[];
}

export function useFakeBinding(): FakeHolder {
  const holder = { current: undefined as unknown as FakeBinding, cleanups: [] as FakeHolder['cleanups'] };
  beforeEach(() => {
    holder.current = new FakeBinding();
    loader.injectBinding(holder.current);
  });
  afterEach(async () => {
    for (const cleanup of holder.cleanups.splice(0).reverse()) await cleanup();
    loader.injectBinding(undefined);
    holder.current.end();
  });
  return holder;
}

/** Lets everything happen that needs no time: `turns` turns of the event loop. */
export async function settle(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** The code that a function or promise fails with, or `no error`. */
export async function codeOf(action: (() => unknown) | Promise<unknown>): Promise<unknown> {
  try {
    await (typeof action === 'function' ? action() : action);
    return 'no error';
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}

/** The message that a function fails with. */
export function messageOf(action: () => unknown): string {
  try {
    action();
    return 'no error';
  } catch (error) {
    return (error as Error).message;
  }
}
