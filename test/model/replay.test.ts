// Whether the model tells the truth: traces of it are done again with the real operations on real tables, step by step,
// with the same faults at the same steps. In the end both must have come to the same.

import { TableClient } from '@azure/data-tables';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../local/azurite.ts';
import { makeTableStores } from '../../shared/azure/tables/table-stores.ts';
import type { Stores } from '../contracts/stores.ts';
import { makeMemoryStores } from '../fakes/memory-stores.ts';
import { type Action, givenBack, lateOrder, toText } from './actions.ts';
import { anyAction } from './commands.ts';
import { Machine, type Plants } from './machine.ts';
import { Real } from './real.ts';
import { viewOf } from './view.ts';

const runs = Number(process.env['FC_RUNS'] ?? 0);
const onAzurite = runs > 0 ? Math.ceil(runs / 20) : 4;
const inMemory = runs > 0 ? runs : 25;
const RUN_MS = 120_000 + 2000 * runs;

/**
 * Both, through the trace, to rest, and through what gives everything back. `closely`: they are compared after every
 * action, and must have taken as many steps.
 */
async function replay(
  trace: readonly Action[],
  stores: Stores,
  closely: boolean,
  plants: Plants = {},
): Promise<void> {
  const machine = new Machine(plants);
  const real = await Real.begin(stores);
  const perform = async (actions: readonly Action[]): Promise<void> => {
    for (const action of actions) {
      machine.perform(action);
      await real.perform(action);
      if (!closely) continue;
      expect(await real.view(), `after ${toText(action)}`).toEqual(viewOf(machine));
      expect(real.steps, `steps after ${toText(action)}`).toBe(machine.steps);
    }
  };
  const settle = async (): Promise<void> => {
    machine.settle();
    await real.settle();
    expect(await real.view(), 'when all is quiet').toEqual(viewOf(machine));
    expect(real.steps, 'steps').toBe(machine.steps);
  };
  await perform(trace);
  await settle();
  await perform(givenBack(4));
  await settle();
}

const anyTrace = fc.array(anyAction, { minLength: 15, maxLength: 40, size: 'max' });

describe('traces of the model, replayed with the real operations', () => {
  test(
    'on memory',
    async () => {
      await fc.assert(
        fc.asyncProperty(anyTrace, (trace) => replay(trace, makeMemoryStores(), true)),
        { numRuns: inMemory, ...(runs > 0 ? {} : { seed: 1 }) },
      );
    },
    RUN_MS,
  );

  test('an order that comes too late', () => replay(lateOrder, makeMemoryStores(), true));

  test('a machine that goes its own way is told from the real operations', async () => {
    const outage: readonly Action[] = [
      { do: 'trouble', key: 0, how: '503' },
      { do: 'probe' },
      { do: 'work' },
    ];
    await replay(outage, makeMemoryStores(), true);
    const astray = replay(outage, makeMemoryStores(), true, { takes503AsDisabled: true });
    await expect(astray).rejects.toThrow('after work');
  });

  describe('on Azurite', () => {
    let azurite: Azurite;
    beforeAll(async () => {
      azurite = await startAzurite();
    });
    afterAll(() => azurite.stop());

    const makeStores = async (): Promise<Stores> => {
      for (const name of ['keks', 'servers', 'serverindex', 'audit']) {
        const options = { allowInsecureConnection: true };
        const table = TableClient.fromConnectionString(azurite.connectionString, name, options);
        await table.deleteTable();
      }
      const connection = { kind: 'connectionString', value: azurite.connectionString } as const;
      const stores = makeTableStores({
        connection,
        onInvalid: (error) => {
          throw error;
        },
      });
      await stores.ensureTables();
      return stores;
    };

    test(
      'on Azurite',
      async () => {
        await fc.assert(
          fc.asyncProperty(anyTrace, async (trace) => replay(trace, await makeStores(), false)),
          { numRuns: onAzurite, seed: 2, endOnFailure: true },
        );
      },
      RUN_MS,
    );
  });
});
