/** Reads a record line by line; a record of any length takes the memory of its longest line. */
import { createReadStream } from 'node:fs';
import { VirtioFsError, fromNative } from '../errors.js';
import { TRANSFER_MAX, parseLine, type RecordLine } from '../record/format.js';

/** `cut`: the last line is not whole. */
export type NumberedLine = { readonly number: number } & (RecordLine | { readonly kind: 'cut' });

/** Base64 of the most that one request carries, and what stands around it. */
const LINE_BYTES_MAX = Math.ceil(TRANSFER_MAX / 3) * 4 + (1 << 20);
const NEWLINE = 0x0a;

/**
 * Lines count from 1; the first is the head. Throws ERR_VIRTIOFS_RECORD_INVALID, with the number of the line, or
 * ERR_VIRTIOFS_SYSTEM if the file cannot be read.
 */
export async function* readRecord(path: string): AsyncGenerator<NumberedLine> {
  let number = 0;
  let ended = false;
  for await (const { text, whole } of linesOf(path)) {
    number += 1;
    if (ended) throw invalid(path, number, 'something follows the end');
    const line = parsed(path, number, text, whole || number === 1);
    if ((line.kind === 'head') !== (number === 1)) {
      throw invalid(path, number, number === 1 ? 'this is no record' : 'this is the head of another record');
    }
    ended = line.kind === 'end';
    yield { number, ...line };
  }
  if (number === 0) throw invalid(path, 1, 'the file is empty');
}

function parsed(path: string, number: number, text: string, whole: boolean): RecordLine | { readonly kind: 'cut' } {
  try {
    return parseLine(text);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    if (!whole) return { kind: 'cut' };
    throw invalid(path, number, number === 1 ? `this is no record: ${error.message}` : error.message);
  }
}

async function* linesOf(path: string): AsyncGenerator<{ readonly text: string; readonly whole: boolean }> {
  let parts: Buffer[] = [];
  let length = 0;
  let number = 1;
  const add = (part: Buffer): void => {
    parts.push(part);
    length += part.length;
    if (length > LINE_BYTES_MAX) throw invalid(path, number, `it has more than ${LINE_BYTES_MAX} bytes`);
  };
  const take = (): string => {
    const text = Buffer.concat(parts, length).toString('utf8');
    [parts, length] = [[], 0];
    number += 1;
    return text;
  };
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        add(chunk.subarray(from, end));
        yield { text: take(), whole: true };
        from = end + 1;
      }
      add(chunk.subarray(from));
    }
  } catch (error) {
    throw fromNative(error, path);
  }
  if (length > 0) yield { text: take(), whole: false };
}

/** What is wrong with a record. */
export function invalid(path: string, line: number, why: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_RECORD_INVALID', { detail: `line ${line}: ${why}`, path });
}
