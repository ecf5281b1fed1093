import { expect, test } from 'vitest';
import { makeDeliverOutboxHandler } from '../../../functions/timers/deliver-outbox.ts';
import { makeExportTablesHandler } from '../../../functions/timers/export-tables.ts';
import { makeProbeKeksHandler } from '../../../functions/timers/probe-keks.ts';
import { makeSweepFleetHandler } from '../../../functions/timers/sweep-fleet.ts';

test.each([
  ['probeKeks', (run: () => Promise<void>) => makeProbeKeksHandler({ probeKeks: run })],
  ['sweepFleet', (run: () => Promise<void>) => makeSweepFleetHandler({ sweepFleet: run })],
  ['exportTables', (run: () => Promise<void>) => makeExportTablesHandler({ exportTables: run })],
  ['deliverOutbox', (run: () => Promise<void>) => makeDeliverOutboxHandler({ deliverOutbox: run })],
])('%s runs its operation once, and fails with it', async (_, make) => {
  let runs = 0;
  await make(async () => {
    runs += 1;
  })();
  expect(runs).toBe(1);
  await expect(make(() => Promise.reject(new Error('no')))()).rejects.toThrow('no');
});
