// Plays the story on a world and reports every step with its time and its vault calls.

import { type ChainedRecord, findBrokenRecord } from '../../shared/domain/audit.ts';
import { kekKey } from '../../shared/domain/key-id.ts';
import type { AuditStore } from '../../shared/ports/outbox-store.ts';
import type { DemoReport, StepReport } from './report.ts';
import { type Outcome, STORY, type Step, seesRegistered } from './story.ts';
import { fingerprintDeks, until, type World } from './world.ts';

const FIRST: Step = {
  name: 'register the fleet',
  expected: 'every server ready, with a DEK of its own',
  run: seesRegistered,
};

/** @param onStep called with each step as it is known */
export async function playStory(
  world: World,
  onStep: (step: StepReport, index: number) => void,
): Promise<DemoReport> {
  const steps: StepReport[] = [];
  const play = async ({ name, expected, run }: Step) => {
    const vaults = world.stack.vaultEmulator.vaults();
    for (const vault of vaults) vault.resetCounters();
    const since = Date.now();
    const { held, observed } = await run(world).catch(
      (error: unknown): Outcome => ({ held: false, observed: String(error) }),
    );
    const step: StepReport = {
      name,
      held,
      expected,
      observed,
      ms: Date.now() - since,
      vaultCalls: sum(vaults.map((vault) => vault.counters())),
    };
    steps.push(step);
    onStep(step, steps.length - 1);
  };

  await play(FIRST);
  const before = await fingerprintDeks(world);
  for (const step of STORY) await play(step);
  await play({
    name: 'look back',
    expected:
      'every DEK is the same bytes as at the start, the audit chains are whole, own events were published',
    run: async () => lookBack(world, before),
  });
  return { held: steps.every((step) => step.held), servers: world.servers, steps };
}

function sum(counters: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const total: Record<string, number> = {};
  for (const counter of counters) {
    for (const [kind, count] of Object.entries(counter)) total[kind] = (total[kind] ?? 0) + count;
  }
  return total;
}

async function lookBack(world: World, before: ReadonlyMap<string, string>): Promise<Outcome> {
  const after = await fingerprintDeks(world);
  const same = after.size === before.size && [...before].every(([id, print]) => after.get(id) === print);
  const { audit } = world.stack.stores;
  const chains = [world.payments.kek, world.ledger.kek].map(kekKey);
  const delivered = await until(
    async () => (await world.stack.stores.outbox.pageOutbox(chains[0] ?? '', false, 1)).length === 0,
    10,
  );
  const whole = await Promise.all(chains.map((chain) => isWhole(audit, chain)));
  const types = new Set(world.stack.eventGrid.received().map((event) => event.eventType));
  const expected = [
    'PgCmk.KeyUnusable',
    'PgCmk.KeyUsable',
    'PgCmk.RotationStarted',
    'PgCmk.RotationCompleted',
    'PgCmk.ServerInaccessible',
    'PgCmk.ServerReady',
  ];
  const published = expected.every((type) => types.has(type));
  const records = whole.reduce((count, one) => count + one.records, 0);
  return {
    held: same && delivered && published && whole.every((one) => one.broken === null && one.records > 0),
    observed: `${before.size} DEKs compared, the same: ${same}; ${records} audit records in ${chains.length} chains, whole: ${whole.every((one) => one.broken === null)}; ${world.stack.eventGrid.received().length} own events of ${types.size} types`,
  };
}

async function isWhole(
  audit: AuditStore,
  chain: string,
): Promise<{ readonly records: number; readonly broken: number | null }> {
  const records: ChainedRecord[] = [];
  for await (const record of audit.readChain(chain)) records.push(record);
  return { records: records.length, broken: findBrokenRecord(chain, records) };
}
