// What Table Storage says when it refuses, as errors of ours.
//
// After a timeout, a 5xx or a reset nothing is assumed about a write: it may have taken effect. The SDK repeats such
// requests by itself, and then an insert that had taken effect comes back as 409 and a replace as 412. Both are
// WriteConflict; callers read again and find their own write there.
import * as z from 'zod';
import { CmkError, describeError } from '../../domain/errors.ts';

// A RestError. Outside transactions `code` is undefined on Azurite, and the code is in `details` (azure-facts 0).
const answer = z.object({
  statusCode: z.number().optional().catch(undefined),
  code: z.string().optional().catch(undefined),
  details: z
    .object({ odataError: z.object({ code: z.string().optional().catch(undefined) }) })
    .optional()
    .catch(undefined),
});

/** The HTTP status (null: no answer came) and the service's own code of anything the SDK threw. */
export function readFailure(thrown: unknown): {
  readonly status: number | null;
  readonly code: string | null;
} {
  const { data } = answer.safeParse(thrown);
  return { status: data?.statusCode ?? null, code: data?.code ?? data?.details?.odataError.code ?? null };
}

const GONE = ['ResourceNotFound', 'EntityNotFound'];
const TAKEN = ['EntityAlreadyExists', 'UpdateConditionNotSatisfied'];

/** Whether Table Storage said that the row isn't there. A 404 of anybody else, or about the table, says no such thing. */
export const isRowMissing = (thrown: unknown): boolean => {
  const { status, code } = readFailure(thrown);
  return status === 404 && code !== null && GONE.includes(code);
};

/** @param what the operation and the rows, for a person */
export function toStoreError(thrown: unknown, what: string): CmkError {
  const { status, code } = readFailure(thrown);
  const said = `${what}: ${status ?? 'no answer'} ${code ?? describeError(thrown)}`;
  if (isConflict(status, code)) {
    // Not to be sent again as it is: whoever wrote it reads and decides again.
    return new CmkError('WriteConflict', said, {
      remedy: 'Nothing: the row changed meanwhile, and the app reads and decides again.',
      cause: thrown,
    });
  }
  const unavailable = (retryable: boolean, remedy: string) =>
    new CmkError('StoreUnavailable', said, { remedy, retryable, cause: thrown });
  if (status === 401 || status === 403) {
    return unavailable(
      true,
      "Give the app's identity Storage Table Data Contributor, and let it through the firewall.",
    );
  }
  if (status === 404) return unavailable(true, 'Create the table; the app does so when it starts.');
  // Any other 4xx is about the request itself, and sending it again would be refused again.
  if (status !== null && status >= 400 && status < 500 && !PASSING.includes(status)) {
    return unavailable(
      false,
      'Report it: the app sent what Table Storage does not take. Nothing was written.',
    );
  }
  return unavailable(
    true,
    'Nothing if Storage has an outage or throttles. Otherwise check DNS, routes and firewall.',
  );
}

/** A 404 on a write that names an ETag: the row is gone. */
function isConflict(status: number | null, code: string | null): boolean {
  if (status === 409) return code === null || TAKEN.includes(code);
  return status === 412 || (status === 404 && code !== null && GONE.includes(code));
}

// What another time may go otherwise: a conflict over a table, a timeout, throttling.
const PASSING = [409, 408, 429];

/** Runs a call of the SDK. @throws CmkError WriteConflict, StoreUnavailable */
export async function asStore<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw toStoreError(thrown, what);
  }
}
