/**
 * JSON about what a guest does. It decides about names: none of them ends a line before its time, and no terminal is told
 * anything by one.
 */

/** JSON.stringify leaves characters alone that end a line for some programs, or that steer a terminal. */
export function safeJson(value: unknown): string {
  const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return (JSON.stringify(value) ?? 'nothing').replace(/[\u007f-\u009f\u2028\u2029]/g, escape);
}

/** An object on a line of its own. */
export function jsonLine(entry: object): string {
  return `${safeJson(entry)}\n`;
}
