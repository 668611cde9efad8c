/** What is wrong with a policy, and where. */
import { VirtioFsError } from '../errors.js';

/** The way from the policy's root: names of properties and indices. */
export type Place = readonly (string | number)[];

/** Thrown within src-ts/policy; users get a VirtioFsError. */
export class PolicyProblem extends Error {
  readonly place: Place;

  constructor(place: Place, message: string) {
    super(message);
    this.name = 'PolicyProblem';
    this.place = place;
  }
}

/** `rules[2].paths[0]`. */
export function placeText(place: Place): string {
  return place.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}

/** Runs something that throws a PolicyProblem; users are told the place by `where`. */
export function reported<T>(run: () => T, where: (place: Place) => string): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof PolicyProblem)) throw error;
    const place = where(error.place);
    const detail = place === '' ? error.message : `${place}: ${error.message}`;
    throw new VirtioFsError('ERR_VIRTIOFS_POLICY_INVALID', { detail });
  }
}
