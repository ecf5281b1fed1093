// The host killed at a random moment of a rotation, a revocation or a restore, and started again: the fleet ends in
// the state that it would have ended in without the kill. KILL_SEED repeats a run.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type StartedWorld, startWorld } from '../../local/demo/start-world.ts';
import {
  areAll,
  fingerprintDeks,
  isAsBefore,
  KEY_NAME,
  readProgress,
  readRows,
  until,
} from '../../local/demo/world.ts';
import { mulberry32 } from '../../local/mulberry32.ts';
import { readOpenDatabases } from '../../local/stack/fleet-server.ts';
import { type ChainedRecord, findBrokenRecord } from '../../shared/domain/audit.ts';
import { kekKey } from '../../shared/domain/key-id.ts';

const ROUNDS = 12;
const LIMIT_SECONDS = 60;
const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 1_000_000);

describe('a host that is killed', () => {
  let world: StartedWorld;
  let before: ReadonlyMap<string, string>;
  const random = mulberry32(seed);

  beforeAll(async () => {
    console.log(`KILL_SEED=${seed}`);
    world = await startWorld({
      servers: 120,
      times: { probeSeconds: 2, sweepSeconds: 5, confirmSuspectSeconds: 6 },
      queueLeaseSeconds: 5,
      onHostLog: () => undefined,
    });
    expect(await until(() => areAll(world, world.payments.kek, 'Ready'), LIMIT_SECONDS)).toBe(true);
    before = await fingerprintDeks(world);
  }, 120_000);
  afterAll(() => world?.stop());

  const versions = () => world.payments.vault.keys().find((key) => key.name === KEY_NAME)?.versions ?? [];
  const newest = () => versions().at(-1)?.version ?? '';

  /** What each deed must end in, whatever was killed on the way. */
  const deeds = [
    {
      name: 'rotation',
      act: async () => void (await world.payments.vault.rotateKey(KEY_NAME)),
      isDone: async () => {
        const progress = await readProgress(world, world.payments.kek);
        return (
          progress.versions[newest()]?.servers === progress.servers &&
          progress.rotation.state === 'completed' &&
          progress.states.Ready === progress.servers
        );
      },
    },
    {
      name: 'revocation',
      act: async () => void world.payments.vault.updateKey(KEY_NAME, 'current', { enabled: false }),
      isDone: async () => {
        if (!(await areAll(world, world.payments.kek, 'Inaccessible'))) return false;
        const open = await Promise.all(world.realServers.map(({ server }) => readOpenDatabases(server)));
        return open.every((databases) => databases.length === 0);
      },
    },
    {
      name: 'restore',
      act: async () => void world.payments.vault.updateKey(KEY_NAME, 'current', { enabled: true }),
      isDone: async () => (await areAll(world, world.payments.kek, 'Ready')) && (await isAsBefore(world)),
    },
  ];

  test.each(Array.from({ length: ROUNDS }, (_, index) => index))(
    'round %i ends as without the kill',
    { timeout: 150_000 },
    async (round) => {
      const deed = deeds[round % deeds.length];
      if (deed === undefined) throw new RangeError('no deed');
      const delay = Math.floor(random() * 2500);
      await deed.act();
      await sleep(delay);
      await world.stack.restartHost();
      const done = await until(deed.isDone, LIMIT_SECONDS);
      const progress = await readProgress(world, world.payments.kek);
      expect({ deed: deed.name, delay, done, progress: done ? null : progress }).toMatchObject({
        done: true,
      });
    },
  );

  test('every DEK is the same, each wrapping was replaced once a rotation, and the audit chain is whole', async () => {
    expect(await fingerprintDeks(world)).toEqual(before);
    const rows = [...(await readRows(world, world.payments.kek)).values()];
    const rotations = versions().length - 1;
    expect(rotations).toBeGreaterThan(0);
    for (const row of rows) {
      const history = await world.stack.stores.servers.history(world.payments.kek, row.serverId);
      expect(history.length).toBe(row.sequence);
      expect(row.sequence).toBe(rotations);
    }
    const chain: ChainedRecord[] = [];
    const name = kekKey(world.payments.kek);
    for await (const record of world.stack.stores.audit.readChain(name)) chain.push(record);
    expect(chain.length).toBeGreaterThan(0);
    expect(findBrokenRecord(name, chain)).toBeNull();
  });
});
