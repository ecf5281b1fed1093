// A worker's program, as a generator: it stops before every step to the outside, and there the machine may spoil the
// step, leave the worker standing for as long as it likes, or never let it go on.
import { CmkError, isCmkError } from '../../shared/domain/errors.ts';

/** What the next step is to. */
export type Place = 'store.read' | 'store.write' | 'queue' | 'vault' | 'postgres';

export const PLACES: readonly Place[] = ['store.read', 'store.write', 'queue', 'vault', 'postgres'];

/** What a worker runs into at its next step of a kind. */
export interface Trap {
  readonly place: Place;
  readonly how: 'crash' | 'freeze';
}

/**
 * What happens to a step. `before`: it doesn't take effect. `after`: it does, and its answer is lost. `conflict`:
 * somebody else has written the row; it means nothing but to a write.
 */
export type Fault = 'none' | 'before' | 'after' | 'conflict';

export type Program<T> = Generator<Place, T, Fault>;

export const unavailable = () =>
  new CmkError('StoreUnavailable', 'no answer', { remedy: 'Wait.', retryable: true });
export const conflict = () =>
  new CmkError('WriteConflict', 'the row changed meanwhile', { remedy: 'Read again and decide again.' });

/** One step. @throws CmkError StoreUnavailable, WriteConflict, as the fault has it */
export function* io<T>(place: Place, act: () => T): Program<T> {
  const fault = yield place;
  if (fault === 'before') throw unavailable();
  if (fault === 'conflict' && place === 'store.write') throw conflict();
  const result = act();
  if (fault === 'after') throw unavailable();
  return result;
}

/** One step whose failure is an answer too. */
export function* ask<T>(place: Place, act: () => T, lost: () => T): Program<T> {
  const fault = yield place;
  if (fault === 'before') return lost();
  const result = act();
  return fault === 'after' ? lost() : result;
}

const ATTEMPTS = 8;

/** As the operations do it: read again, decide again. */
export function* onConflict<T>(attempt: () => Program<T>): Program<T> {
  for (let left = ATTEMPTS - 1; ; left -= 1) {
    try {
      return yield* attempt();
    } catch (error) {
      if (left === 0 || !isCmkError(error, 'WriteConflict')) throw error;
    }
  }
}

/**
 * Programs of one worker at the same time, at most `limit` of them; their steps come in the order in which they were
 * asked for. All come to their end before the first error is thrown.
 */
export function* together<T>(programs: readonly Program<T>[], limit: number): Program<readonly T[]> {
  const results: T[] = [];
  const errors: unknown[] = [];
  const waiting: { readonly program: Program<T>; readonly index: number; readonly place: Place }[] = [];
  let next = 0;
  const resume = (program: Program<T>, index: number, fault: Fault): void => {
    try {
      const { done, value } = program.next(fault);
      if (done !== true) {
        waiting.push({ program, index, place: value });
        return;
      }
      results[index] = value;
    } catch (error) {
      errors.push(error);
      return;
    }
    startNext();
  };
  const startNext = (): void => {
    const program = programs[next];
    const index = next;
    next += 1;
    if (program !== undefined) resume(program, index, 'none');
  };
  while (next < Math.min(limit, programs.length)) startNext();
  for (let one = waiting.shift(); one !== undefined; one = waiting.shift())
    resume(one.program, one.index, yield one.place);
  if (errors.length > 0) throw errors[0];
  return results;
}
