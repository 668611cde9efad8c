/** A policy in a file: JSON, with messages that point at the place. */
import { readFileSync } from 'node:fs';
import { VirtioFsError, fromNative } from '../errors.js';
import { checkedPolicy } from './compile.js';
import { JsonSource, JsonSyntaxError, lineAndColumn } from './json-source.js';
import { placeText, reported } from './problem.js';
import type { PolicyObject } from './rules.js';

/** More than any policy has; a file that is something else is not read into memory. */
const BYTES_MAX = 4 * 1024 * 1024;

/** Reads and checks a policy. Throws ERR_VIRTIOFS_POLICY_INVALID, or ERR_VIRTIOFS_SYSTEM if the file cannot be read. */
export function readPolicyFile(path: string): PolicyObject {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw fromNative(error, path);
  }
  return parsePolicyFile(bytes, path);
}

/** The same for what has been read already; `name` stands in messages, which begin with `name:line:column`. */
export function parsePolicyFile(bytes: Uint8Array, name: string): PolicyObject {
  const invalid = (detail: string): VirtioFsError => new VirtioFsError('ERR_VIRTIOFS_POLICY_INVALID', { detail });
  if (bytes.length > BYTES_MAX) throw invalid(`${name}: it has more than ${BYTES_MAX} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid(`${name}: it is not UTF-8`);
  }
  let source: JsonSource;
  try {
    source = new JsonSource(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw invalid(`${name}:${lineAndColumn(text, error.offset)}: ${error.message}`);
  }
  reported(
    () => checkedPolicy(source.value, false),
    (place) => {
      const at = `${name}:${lineAndColumn(text, source.offsetOf(place))}`;
      return place.length === 0 ? at : `${at}: ${placeText(place)}`;
    },
  );
  const { value } = source;
  return (Array.isArray(value) ? { rules: value } : value) as PolicyObject;
}
