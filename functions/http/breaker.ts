// What an operator does to the app as a whole.
import type { ClearBreaker } from '../../shared/operations/clear-breaker.ts';
import type { Handlers } from './route.ts';

export interface BreakerPorts {
  readonly clearBreaker: ClearBreaker;
}

export const makeBreakerHandlers = ({ clearBreaker }: BreakerPorts): Pick<Handlers, 'clearBreaker'> => ({
  clearBreaker: async ({ caller }) => {
    const cleared = await clearBreaker({ by: caller.principalId });
    return { status: 200, body: { ...cleared, vaults: [...cleared.vaults] } };
  },
});
