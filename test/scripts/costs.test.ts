// The tables of docs/limits.md against the code: made anew they are the same, and what is multiplied in them is what a
// fleet on fakes really asks for.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { DEFAULTS, type Fleet, quietFor } from '../../scripts/costs/quantities.ts';
import { costsOf, FLEETS, probeSeconds, rotationSeconds, withTables } from '../../scripts/costs/tables.ts';
import { costOf, limitClassOf, PUBLISHED_LIMITS } from '../../shared/azure/vault/vault-limits.ts';
import { RANGE_SERVERS } from '../../shared/domain/message.ts';
import { makeReadProbePeriod } from '../../shared/operations/probe-period.ts';
import { settingsTable } from '../../shared/settings.ts';
import { KEK, makeWorld, RULES } from '../fakes/world.ts';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
const page = read('docs/limits.md');

test('docs/limits.md is what `node scripts/costs.ts` makes of it', () => {
  expect(withTables(page)).toBe(page);
});

test('a page that lacks a table is refused', () => {
  expect(() => withTables(page.replace('<!-- costs:', '<!-- lost:'))).toThrow('no table costs');
});

describe('a quiet fleet on fakes', () => {
  const HOUR = 3600;
  const fleet: Fleet = { servers: 120, keys: 1, versions: 1, keyClass: 'RSA-3072' };

  /** An hour as the timers make it, with the outbox as often as in the real app. */
  async function quietHour() {
    const world = makeWorld();
    await world.begin(fleet.servers);
    await world.settle();
    await world.runFor(2 * RULES.sweepSeconds);
    const before = {
      trips: world.stores.roundTrips(),
      pages: world.stores.roundTrips('outbox.page'),
      calls: world.vault.calls.length,
      sent: world.queue.sent.length,
    };
    await world.runFor(HOUR);
    for (let ticks = 1; ticks < HOUR / DEFAULTS.outboxSeconds; ticks += 1) await world.app.deliverOutbox();
    const sent = world.queue.sent.slice(before.sent);
    const pages = world.stores.roundTrips('outbox.page') - before.pages;
    return {
      // A page of the outbox is asked of two tables.
      tableRequests: world.stores.roundTrips() - before.trips + pages,
      vaultOperations: world.vault.calls.length - before.calls,
      reconciles: sent.filter(({ queue }) => queue === 'reconcile-keks').length,
      accessMessages: sent.filter(({ queue }) => queue === 'server-access').length,
    };
  }

  test('asks for exactly what is reckoned with', async () => {
    const hour = await quietHour();
    const reckoned = quietFor(HOUR, fleet, {
      ...DEFAULTS,
      sweepSeconds: RULES.sweepSeconds,
      inspectSeconds: RULES.inspection.grantedSeconds,
    });
    expect(hour).toEqual(reckoned);
  });
});

test('an inspection of a range asks for its rows, the key, and three times for each server', async () => {
  const world = makeWorld();
  await world.begin(RANGE_SERVERS);
  world.clock.advance(RULES.inspection.grantedSeconds);
  const range = await world.rangeOf();
  const before = world.stores.roundTrips();
  await world.app.applyServerAccess(range);
  const asked = world.stores.roundTrips() - before;
  expect(asked).toBe(2 + 3 * RANGE_SERVERS);
});

describe('the probe', () => {
  test.each([
    [1, 256],
    [60, 384],
    [60, 512],
  ])('of %i versions with %i bytes stretches as the app stretches it', async (versions, bytes) => {
    const cost = costOf(limitClassOf('RSA-HSM', bytes), { share: 0.5, maxInstances: 2 });
    const world = makeWorld();
    for (let index = 0; index < versions; index += 1) {
      const kek = { ...KEK, name: `key-${index}` };
      world.vault.createVersion(kek);
      await world.register(1, { prefix: `s${index}-`, kek });
    }
    await world.settle();
    const readPeriod = makeReadProbePeriod({ keks: world.stores.keks, costOf: () => cost });
    expect(probeSeconds(versions, bytes, 0)).toBeCloseTo(await readPeriod(KEK.vault), 9);
  });
});

test('the README says of quotas what the tables say', () => {
  const quotas = read('README.md').replaceAll(/\s+/g, ' ');
  const minutes = Math.ceil(rotationSeconds(100_000, 'RSA-3072') / 60);
  const seconds = Math.ceil(rotationSeconds(1_000, 'RSA-3072'));
  expect(quotas).toContain(
    `can be probed every ${probeSeconds(50, 384)} s, 500 every ${probeSeconds(500, 384)} s`,
  );
  expect(quotas).toContain(`takes the vault ${seconds} s with RSA 3072, of 100,000 ${minutes} minutes`);
});

test('a rotation takes as long as the vault makes it', () => {
  // 250 ÷ 10 × 0.5 × 0.9 = 11.25 a second; 98 servers, one proof, and the target twice.
  expect(rotationSeconds(98, 'RSA-HSM-4096')).toBeCloseTo(101 / 11.25, 9);
  expect(rotationSeconds(98, 'RSA-2048')).toBeCloseTo(101 / 180, 9);
  expect(PUBLISHED_LIMITS['RSA-HSM-4096']).toBe(250);
});

describe('costs', () => {
  test('are of each fleet for the same things, and more for more servers', () => {
    const totals = FLEETS.map((fleet) => costsOf(fleet).reduce((sum, { usd }) => sum + usd, 0));
    expect(totals).toEqual(totals.toSorted((a, b) => a - b));
    const names = FLEETS.map((fleet) => costsOf(fleet).map(({ name }) => name));
    expect(new Set(names.map((one) => one.join())).size).toBe(1);
  });

  test.each(FLEETS)('of $servers servers are about what the README says', (fleet) => {
    const [, fixed, key, server] =
      /^USD ≈ ([\d.]+) \+ ([\d.]+) × keys \+ ([\d.]+) × servers$/m.exec(read('README.md')) ?? [];
    const said = Number(fixed) + Number(key) * fleet.keys + Number(server) * fleet.servers;
    const total = costsOf(fleet).reduce((sum, { usd }) => sum + usd, 0);
    expect(Math.abs(said / total - 1)).toBeLessThan(0.01);
  });

  test('take off what is free, and never less than nothing', () => {
    const [small] = FLEETS;
    const line = (small === undefined ? [] : costsOf(small)).find(({ name }) => name === 'logData');
    expect(line?.quantity).toBeLessThan(5);
    expect(line?.usd).toBe(0);
  });
});

describe('the defaults are those of', () => {
  const setting = (name: string) => settingsTable.find((row) => row.name === name)?.default;

  test('the settings', () => {
    expect(setting('PGCMK_PROBE_SCHEDULE')).toBe(`*/${DEFAULTS.probeSeconds} * * * * *`);
    expect(setting('PGCMK_SWEEP_SCHEDULE')).toBe('0 * * * * *');
    expect(setting('PGCMK_OUTBOX_SCHEDULE')).toBe(`*/${DEFAULTS.outboxSeconds} * * * * *`);
    expect(setting('PGCMK_SWEEP_SECONDS')).toBe(String(DEFAULTS.sweepSeconds));
    expect(setting('PGCMK_INSPECT_GRANTED_SECONDS')).toBe(String(DEFAULTS.inspectSeconds));
    expect(setting('PGCMK_VAULT_SHARE')).toBe('0.5');
    expect(setting('PGCMK_MAX_INSTANCES')).toBe('2');
  });

  test('host.json', () => {
    expect(read('host.json')).toContain('"maxPollingInterval": "00:00:00.500"');
    expect(DEFAULTS.pollSeconds).toBe(0.5);
  });

  test('the templates', () => {
    const main = read('infra/main.bicep');
    expect(main).toContain(`param instanceMemoryMb int = ${DEFAULTS.memoryGb * 1024}`);
    const ready = [...main.matchAll(/name: 'function:(\w+)', instanceCount: 1/g)].map(([, name]) => name);
    expect(ready).toHaveLength(DEFAULTS.readyInstances);
    const source = read('functions/register-app.ts');
    expect(ready.filter((name) => source.includes(`'${name}'`) || source.includes(`${name}`))).toEqual(ready);
    const minutes = [...read('infra/app/alerts.bicep').matchAll(/^ {4}every: 'PT(\d+)([MH])'/gm)].map(
      ([, count, unit]) => Number(count) * (unit === 'H' ? 60 : 1),
    );
    expect({
      every1Minute: minutes.filter((one) => one < 5).length,
      every5Minutes: minutes.filter((one) => one >= 5 && one < 15).length,
      every15Minutes: minutes.filter((one) => one >= 15).length,
    }).toEqual(DEFAULTS.alerts);
  });
});
