// What every Event Grid function does: one hint for every event that can be understood, a record of every other.
import { CmkError } from '../../shared/domain/errors.ts';
import type { Hint, RejectedInput } from '../../shared/operations/hint.ts';
import { type EventType, parseKeyEvent, readEventId, splitEvents } from './parse-key-event.ts';
import type { VaultRules } from './parse-target.ts';

export interface EventPorts {
  readonly submitHint: (hint: Hint) => Promise<void>;
  readonly rejectInput: (input: RejectedInput) => Promise<void>;
  readonly vaultRules: VaultRules;
}

/**
 * A malformed event is recorded and acknowledged. Only a port that fails makes the handler throw, so that Event Grid
 * delivers again; the other events of the delivery are taken first.
 * @param source the name of the function
 */
export const makeEventHandler =
  (source: string, ownType: EventType, { submitHint, rejectInput, vaultRules }: EventPorts) =>
  async (input: unknown): Promise<void> => {
    const takeEvent = async (event: unknown): Promise<void> => {
      const hint = await orReject(
        () => parseKeyEvent(event, ownType, vaultRules),
        (problem) => rejectInput({ source, id: readEventId(event), problem }),
      );
      if (hint !== 'ignored') await submitHint(hint);
    };
    const events = await orReject(
      () => splitEvents(input),
      (problem) => rejectInput({ source, id: null, problem }),
    );
    if (events !== 'ignored') await takeAll(events, takeEvent);
  };

/** What `parse` returns; `ignored` where it throws a CmkError, which is given to `reject`. */
export async function orReject<T>(
  parse: () => T,
  reject: (problem: CmkError) => Promise<void>,
): Promise<T | 'ignored'> {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof CmkError)) throw error;
    await reject(error);
    return 'ignored';
  }
}

/** Takes each item, whatever becomes of the ones before; then throws what was thrown first. */
export async function takeAll<T>(items: readonly T[], take: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  for (const item of items) await take(item).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
