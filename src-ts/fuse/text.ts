/**
 * Names as strings, without loss: Linux names are bytes and need not be UTF-8. A byte that is part of no UTF-8 sequence
 * becomes U+DC00 plus the byte, a lone surrogate, which no valid UTF-8 decodes to (Python calls that surrogateescape).
 */
import { isUtf8 } from 'node:buffer';

const ESCAPED = /[\udc80-\udcff]/;

export function decodeText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    text +=
      length === 0 ? String.fromCharCode(0xdc00 + (bytes[at] as number)) : bytes.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

/** The bytes of the UTF-8 sequence that begins here; 0: there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; ++length) {
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  }
  return 0;
}

export function encodeText(text: string): Buffer {
  if (!ESCAPED.test(text)) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  // By code points: a surrogate of a pair is none that escapes.
  for (const point of text) {
    const code = point.codePointAt(0) as number;
    const escaped = code >= 0xdc80 && code <= 0xdcff;
    parts.push(escaped ? Buffer.from([code - 0xdc00]) : Buffer.from(point, 'utf8'));
  }
  return Buffer.concat(parts);
}
