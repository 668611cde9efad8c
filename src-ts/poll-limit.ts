/** The longest that a queue's thread looks for more to do, µs. */
export const POLL_US_MAX = 10_000;
