// What every queue function does: a message that will never work is recorded and leaves the queue; one that may work
// later goes back to it, up to its last attempt (poison.ts).
import { isCmkError } from '../../shared/domain/errors.ts';
import type { RejectedInput } from '../../shared/operations/hint.ts';

/** The part of an InvocationContext that is read. */
export interface QueueContext {
  readonly triggerMetadata?: Readonly<Record<string, unknown>>;
}

export interface RejectPort {
  readonly rejectInput: (input: RejectedInput) => Promise<void>;
}

/** @param source the name of the function */
export const makeMessageHandler =
  <T>(
    source: string,
    parse: (input: unknown) => T,
    work: (message: T, context: QueueContext) => Promise<void>,
    { rejectInput }: RejectPort,
  ) =>
  async (input: unknown, context: QueueContext): Promise<void> => {
    try {
      await work(parse(input), context);
    } catch (error) {
      if (!isCmkError(error) || error.retryable) throw error;
      await rejectInput({ source, id: readMessageId(context), problem: error });
    }
  };

/** The queue's own id of the message. */
export function readMessageId(context: QueueContext): string | null {
  const id = readMetadata(context, 'id');
  return typeof id === 'string' && id !== '' ? id : null;
}

/** When the message was put into the queue; null where the host doesn't say. */
export function readInsertedAt(context: QueueContext): Date | null {
  const time = readMetadata(context, 'insertionTime');
  const insertedAt =
    time instanceof Date ? time : typeof time === 'string' ? new Date(time.replaceAll('"', '')) : null;
  return insertedAt === null || Number.isNaN(insertedAt.getTime()) ? null : insertedAt;
}

/** The host says InsertionTime, the library insertionTime. */
const readMetadata = ({ triggerMetadata = {} }: QueueContext, name: string): unknown =>
  triggerMetadata[name] ?? triggerMetadata[name.charAt(0).toUpperCase() + name.slice(1)];
