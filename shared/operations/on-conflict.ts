// Reading again and deciding again after a conflicting write.
import { isCmkError } from '../domain/errors.ts';

const ATTEMPTS = 8;

/**
 * Runs `attempt` until it meets no conflict. It must read, decide and write afresh each time.
 * @throws CmkError WriteConflict after 8 conflicts in a row: another instance is at it, and the caller's caller retries
 */
export async function onConflict<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS - 1; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0 || !isCmkError(error, 'WriteConflict')) throw error;
    }
  }
}
