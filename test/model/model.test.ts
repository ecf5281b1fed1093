// Servers, keys, queues and workers as a state machine (docs/reliability.md, The model): whatever happens, nothing is
// wrong after any step, and when the faults stop everything comes to what was promised. `FC_RUNS` sets the number of
// traces; fast-check prints the seed and the shortest trace of one that fails.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lateOrder } from './actions.ts';
import { Perform, runTrace, type Trace, traces } from './commands.ts';
import { Machine, type Plants } from './machine.ts';
import { Promised } from './promise.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 1000);
const A_HANDFUL = 5;
const RUN_MS = 120_000 + numRuns * 100;

describe('the model', () => {
  test(
    'I-01 I-02 I-03 I-08 I-11: any faults, in any order, and then quiet: what was promised holds all the way',
    () => {
      fc.assert(
        fc.property(traces(), (trace) => {
          expect(runTrace(trace)).toBeGreaterThan(0);
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );
});

/** The shortest trace that a machine with this fault doesn't survive; null: none was found. */
function findCounterexample(plants: Plants, seed: number): readonly string[] | null {
  const property = fc.property(traces(), (trace: Trace) => {
    runTrace(trace, plants);
  });
  const { counterexample } = fc.check(property, { numRuns: 2000, seed });
  return counterexample === null ? null : String(counterexample[0]).split(',');
}

test('a frozen worker that wakes up late is refused by its server, and nothing is left of its order', () => {
  const machine = new Machine();
  const promised = new Promised(machine);
  machine.onStep = () => promised.check(machine);
  for (const action of lateOrder) new Perform(action).run(promised, machine);
  expect(machine.postgres.get('s1')?.refused).toBeGreaterThan(0);
  machine.settle();
  promised.checkWhole(machine);
});

describe('a fault planted in the model is found, and its trace shrinks to a few commands', () => {
  test.for<readonly [string, Plants]>([
    ['writes that ignore the tag they name', { ignoresTags: true }],
    ['503 taken for a disabled key', { takes503AsDisabled: true }],
    ['databases closed and not written down', { forgetsClosed: true }],
  ])('%s', { timeout: RUN_MS }, ([, plants]) => {
    for (const seed of [1, 2, 3]) {
      const found = findCounterexample(plants, seed);
      expect(found, `seed ${seed}`).not.toBeNull();
      expect(found?.length, `${found}`).toBeLessThanOrEqual(A_HANDFUL);
    }
  });
});
