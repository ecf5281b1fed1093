// The story of the demo: what happens to a key in its life, and what the fleet makes of it. Everything is done to the
// vault as its owner would, and seen at the servers by their own clients.
import { setTimeout as sleep } from 'node:timers/promises';
import { RANGE_SERVERS } from '../../shared/domain/message.ts';
import {
  allClients,
  areAll,
  isAsBefore,
  KEY_NAME,
  readBeside,
  readProgress,
  readRows,
  until,
  type World,
} from './world.ts';

export interface Outcome {
  readonly held: boolean;
  readonly observed: string;
}

export interface Step {
  readonly name: string;
  readonly expected: string;
  readonly run: (world: World) => Promise<Outcome>;
}

const YEAR_SECONDS = 365 * 86_400;
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const nowSeconds = (world: World) => Math.floor(world.payments.vault.now().getTime() / 1000);
const probeSeconds = (world: World) => world.stack.times.probeSeconds;
const newest = (world: World) => {
  const key = world.payments.vault.keys().find((one) => one.name === KEY_NAME);
  return key?.versions.at(-1)?.version ?? '';
};

/** The fleet loses its access: every session ends, new ones are refused, every server says so. */
async function seesRevoked(world: World, since: number, limit: number): Promise<Outcome> {
  const clients = allClients(world);
  const ended = () =>
    clients.every((one) => !one.isConnected() && one.sessionEndedAt() !== null && one.refusedAt() !== null);
  const all = await until(ended, limit);
  const states = await until(() => areAll(world, world.payments.kek, 'Inaccessible'), limit);
  const last = (times: readonly (number | null)[]) =>
    Math.max(...times.map((at) => (at ?? Date.now()) - since));
  const sessions = last(clients.map((one) => one.sessionEndedAt()));
  const refused = last(clients.map((one) => one.refusedAt()));
  const codes = new Set(clients.map((one) => one.refusal()));
  const progress = await readProgress(world, world.payments.kek);
  return {
    held: all && states && [...codes].every((code) => code === '55000'),
    observed: `last of ${clients.length} sessions ended after ${seconds(sessions)}, all refused (${[...codes].join()}) after ${seconds(refused)}; states ${JSON.stringify(progress.states)}`,
  };
}

/** The fleet gets back what it had: the same databases, no more and no fewer, and its clients reconnect. */
async function seesRestored(world: World, since: number, limit: number): Promise<Outcome> {
  const clients = allClients(world);
  const back = await until(() => clients.every((one) => one.isConnected()), limit);
  const states = await until(() => areAll(world, world.payments.kek, 'Ready'), limit);
  const exact = await isAsBefore(world);
  const last = Math.max(...clients.map((one) => (one.connectedAt() ?? Date.now()) - since));
  return {
    held: back && states && exact,
    observed: `all ${clients.length} clients back after ${seconds(last)}; the databases that were open, and only those, are open: ${exact}`,
  };
}

/** Nothing happens for a while: no session ends, no server changes. */
async function seesNothing(world: World, forSeconds: number): Promise<Outcome> {
  const clients = allClients(world);
  await sleep(forSeconds * 1000);
  const kept = clients.every((one) => one.isConnected() && one.sessionEndedAt() === null);
  const progress = await readProgress(world, world.payments.kek);
  const served = (progress.states.Ready ?? 0) + (progress.states.Suspect ?? 0);
  return {
    held: kept && served === progress.servers,
    observed: `in ${seconds(forSeconds * 1000)} no session ended; states ${JSON.stringify(progress.states)}`,
  };
}

/** Does something to the key, with the clients' memory wiped just before. */
const act = async (world: World, deed: () => unknown): Promise<number> => {
  for (const client of allClients(world)) client.forget();
  const since = Date.now();
  await deed();
  return since;
};

/** All servers under the newest version, with nobody having lost access meanwhile. */
async function seesRewrapped(world: World, since: number, limit: number): Promise<Outcome> {
  const target = newest(world);
  const moved = await until(async () => {
    const { versions, servers, rotation } = await readProgress(world, world.payments.kek);
    return versions[target]?.servers === servers && rotation.state === 'completed';
  }, limit);
  const took = Date.now() - since;
  const ready = await until(() => areAll(world, world.payments.kek, 'Ready'), limit);
  const kept = allClients(world).every((one) => one.isConnected() && one.sessionEndedAt() === null);
  const { servers } = await readProgress(world, world.payments.kek);
  const deks = world.payments.vault.counters()['unwrapkey:64'] ?? 0;
  const each = deks / servers;
  // One for each server and one proof for each range; 1.1 leaves room for a range that is delivered again.
  const budget = Math.max(1.1 * servers, servers + Math.ceil(servers / RANGE_SERVERS));
  return {
    held: moved && ready && kept && deks <= budget,
    observed: `${servers} servers under ${target.slice(0, 8)}… after ${seconds(took)}, no session ended, ${each.toFixed(2)} DEK operations a server`,
  };
}

/** Reads what is beside the story before and after a step: it must be the same. */
const guarded =
  (run: Step['run']): Step['run'] =>
  async (world) => {
    const before = await readBeside(world);
    const outcome = await run(world);
    const same = before === (await readBeside(world));
    return same
      ? outcome
      : { held: false, observed: `${outcome.observed}; servers of the other KEK changed` };
  };

const update = (
  world: World,
  version: string,
  change: { readonly enabled?: boolean; readonly exp?: number },
) => world.payments.vault.updateKey(KEY_NAME, version, change);

const limitOf = (world: World) => probeSeconds(world) + 5;

const STEPS: readonly Step[] = [
  {
    name: 'rotate the key',
    expected:
      'every DEK rewrapped under the new version, access untouched, at most 1.1 DEK operations a server',
    run: async (world) => {
      const since = await act(world, () => world.payments.vault.rotateKey(KEY_NAME));
      return seesRewrapped(world, since, 20);
    },
  },
  {
    name: 'disable the old version',
    expected: 'nothing: nobody depends on it',
    run: async (world) => {
      const old =
        world.payments.vault.keys().find((one) => one.name === KEY_NAME)?.versions[0]?.version ?? '';
      await act(world, () => update(world, old, { enabled: false }));
      return seesNothing(world, probeSeconds(world) * 2);
    },
  },
  {
    name: 'disable the current version',
    expected: 'every session ends and new ones are refused within the probe period + 5 s',
    run: async (world) => {
      const since = await act(world, () => update(world, newest(world), { enabled: false }));
      return seesRevoked(world, since, limitOf(world));
    },
  },
  {
    name: 'enable it again',
    expected: 'exactly what was open is open again',
    run: async (world) => {
      const since = await act(world, () => update(world, newest(world), { enabled: true }));
      return seesRestored(world, since, 20);
    },
  },
  {
    name: 'let the version expire, with a newer one there (its event lost)',
    expected: 'servers move to the newer version, nobody loses access',
    run: async (world) => {
      const old = newest(world);
      world.stack.eventGrid.setFaults({ lose: 1 });
      const since = await act(world, async () => {
        await world.payments.vault.rotateKey(KEY_NAME);
        update(world, old, { exp: nowSeconds(world) - 600 });
      });
      const outcome = await seesRewrapped(world, since, 25);
      world.stack.eventGrid.setFaults({ lose: 0 });
      return outcome;
    },
  },
  {
    name: 'let the newest version expire',
    expected: 'access is revoked',
    run: async (world) => {
      const since = await act(world, () => update(world, newest(world), { exp: nowSeconds(world) - 600 }));
      return seesRevoked(world, since, limitOf(world));
    },
  },
  {
    name: 'extend its expiry',
    expected: 'access is restored',
    run: async (world) => {
      const since = await act(world, () =>
        update(world, newest(world), { exp: nowSeconds(world) + YEAR_SECONDS }),
      );
      return seesRestored(world, since, 20);
    },
  },
  {
    name: "take away the app's rights on the key",
    expected: 'suspect first, confirmed over time, then revoked',
    run: async (world) => {
      const since = await act(world, () => world.payments.vault.setSwitches({ rbac: 'denied' }));
      const early = await seesNothing(world, world.stack.times.confirmSuspectSeconds / 2);
      const outcome = await seesRevoked(world, since, world.stack.times.confirmSuspectSeconds + 10);
      return {
        held: early.held && outcome.held,
        observed: `first ${early.observed}; then ${outcome.observed}`,
      };
    },
  },
  {
    name: 'grant them again',
    expected: 'access is restored',
    run: async (world) => {
      const since = await act(world, () => world.payments.vault.setSwitches({ rbac: 'allowed' }));
      return seesRestored(world, since, 20);
    },
  },
  {
    name: 'the vault has an outage',
    expected: 'nobody loses access',
    run: async (world) => {
      await act(world, () => world.payments.vault.setSwitches({ outage: 'error503' }));
      const outcome = await seesNothing(world, world.stack.times.confirmSuspectSeconds + 2);
      await world.payments.vault.setSwitches({ outage: 'none' });
      const ready = await until(() => areAll(world, world.payments.kek, 'Ready'), 15);
      return { held: outcome.held && ready, observed: `${outcome.observed}; all Ready after it: ${ready}` };
    },
  },
  {
    name: 'delete the key',
    expected: 'every session ends and new ones are refused within the probe period + 5 s',
    run: async (world) => {
      const since = await act(world, () => world.payments.vault.deleteKey(KEY_NAME));
      return seesRevoked(world, since, limitOf(world));
    },
  },
  {
    name: 'recover it',
    expected: 'exactly what was open is open again',
    run: async (world) => {
      const since = await act(world, () => world.payments.vault.recoverKey(KEY_NAME));
      return seesRestored(world, since, 20);
    },
  },
];

export const STORY: readonly Step[] = STEPS.map((step) => ({ ...step, run: guarded(step.run) }));

/** Registered servers are ready, each with a wrapping of its own. */
export async function seesRegistered(world: World): Promise<Outcome> {
  const ready = await until(
    async () =>
      (await areAll(world, world.payments.kek, 'Ready')) && (await areAll(world, world.ledger.kek, 'Ready')),
    30,
  );
  const rows = await readRows(world, world.payments.kek);
  const deks = new Set([...rows.values()].map((row) => row.wrapped.dekId));
  const progress = await readProgress(world, world.payments.kek);
  return {
    held: ready && deks.size === world.servers,
    observed: `${rows.size} servers under each KEK, ${deks.size} different DEKs; states ${JSON.stringify(progress.states)}`,
  };
}
