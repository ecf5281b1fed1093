import { describe, expect, test } from 'vitest';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { makeSeededRandom } from '../../fakes/runtime.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

/** Two servers that were rewrapped from `old` to `target` and proven, more than the soak ago. */
async function rotated(pause?: () => Promise<void>) {
  const world = makeWorld(pause === undefined ? {} : { pause });
  const old = await world.begin(2);
  world.clock.advance(60);
  const target = world.vault.createVersion(KEK);
  await world.hint();
  await world.queue.drain();
  for (const { serverId } of await world.rows())
    await world.changeRow(serverId, { provenAt: world.clock.now() });
  await world.settle();
  world.clock.advance(2 * 3600);
  const access = world.postgres.addServer({ host: 'copy.test' }).access;
  return { world, old, target, access };
}
type Rotated = Awaited<ReturnType<typeof rotated>>;

/** What puts a server under a version: the id of that server, and the order. */
interface Way {
  readonly serverId: string;
  readonly run: (of: Rotated, app?: World['app']) => Promise<unknown>;
}

const WAYS: Readonly<Record<string, Way>> = {
  'a registration': {
    serverId: 'new',
    run: ({ world, old }, app = world.app) =>
      app.registerServer(world.orderOf('new', { keyId: keyUrl(KEK, old) })),
  },
  'an update': {
    serverId: 's001',
    run: ({ world, old }, app = world.app) =>
      app.registerServer(
        world.orderOf('s001', { keyId: keyUrl(KEK, old), access: world.server('s001').access }),
      ),
  },
  'a copy': {
    serverId: 'copy',
    run: ({ world, old, access }, app = world.app) =>
      app.copyServer({
        sourceId: 's001',
        serverId: 'copy',
        kind: 'restore',
        access,
        principalId: null,
        keyId: keyUrl(KEK, old),
        keyLossPolicy: null,
        labels: {},
        by: 'anna',
      }),
  },
  'a move': {
    serverId: 's001',
    run: ({ world, old }, app = world.app) =>
      app.moveServer({ serverId: 's001', keyId: keyUrl(KEK, old), by: 'anna', ifMatch: null }),
  },
};
const names = Object.entries(WAYS);
const RETIRED = { code: 'KekNotProven', retryable: false, detail: { reason: 'VersionRetired' } };

/** Marks `version` in the moment before the row of the server is written, when nobody has counted it. */
const retireMeanwhile = ({ world, old }: Rotated, version = old, act?: () => Promise<unknown>): void => {
  const stop = world.stores.onBeforeCommit(async (operation) => {
    if (operation !== 'servers.commit') return;
    stop();
    await act?.();
    await world.changeVersion(version, { retiredAt: world.clock.now(), inUse: false });
  });
};

describe.each(names)(
  'I-12: %s that pins to a version retired in that very moment',
  (_, { serverId, run }) => {
    test('is refused, and the server follows the rotation', async () => {
      const of = await rotated();
      retireMeanwhile(of);
      await expect(run(of)).rejects.toMatchObject(RETIRED);
      const { world, old, target } = of;
      expect(await world.row(serverId)).toMatchObject({ pinned: false, wrapped: { kekVersion: old } });
      const records = (await world.audited('server.moved')).filter(
        ({ reason }) => reason === 'VersionRetired',
      );
      expect(records).toMatchObject([{ servers: [serverId], versionBefore: old, detail: { pinned: false } }]);
      await world.queue.drain();
      expect(await world.row(serverId)).toMatchObject({ pinned: false, wrapped: { kekVersion: target } });
      await world.settle();
      expect(await world.version(old)).toMatchObject({ retiredAt: expect.any(Date), inUse: false });
    });

    test('and that ends there is taken up by the same command', async () => {
      const of = await rotated();
      const { world, target } = of;
      retireMeanwhile(of);
      // The instance is gone when it would look at the mark.
      world.stores.failNext('servers.commit', 'after');
      await expect(run(of)).rejects.toMatchObject({ code: 'StoreUnavailable' });
      expect(await world.row(serverId)).toMatchObject({ pinned: true });
      await expect(run(of)).rejects.toMatchObject(RETIRED);
      await world.queue.drain();
      expect(await world.row(serverId)).toMatchObject({ pinned: false, wrapped: { kekVersion: target } });
    });

    test('leaves alone what somebody else has made of the row meanwhile', async () => {
      for (const change of ['freed', 'gone'] as const) {
        const of = await rotated();
        const { world } = of;
        retireMeanwhile(of);
        let commits = 0;
        world.stores.onBeforeCommit(async (operation) => {
          if (operation !== 'servers.commit') return;
          commits += 1;
          // The second is the one that takes the pin away.
          if (commits !== 2) return;
          if (change === 'freed') return world.changeRow(serverId, { pinned: false, labels: { by: 'ben' } });
          const { etag } = (await world.stores.servers.read(KEK, serverId)) ?? { etag: '' };
          await world.stores.servers.remove(KEK, serverId, etag);
        });
        await expect(run(of)).rejects.toMatchObject(RETIRED);
        expect(commits).toBe(2);
        const stored = await world.stores.servers.read(KEK, serverId);
        if (change === 'gone') expect(stored).toBeUndefined();
        else expect(stored?.value).toMatchObject({ pinned: false, labels: { by: 'ben' } });
      }
    });

    test('whoever is first: no server is left under a retired version', async () => {
      const ends = new Set<string>();
      for (let seed = 1; seed <= 40; seed += 1) {
        const random = makeSeededRandom(seed);
        let racing = false;
        const of = await rotated(async () => {
          for (let turns = racing ? random.integer(6) : 0; turns > 0; turns -= 1) await Promise.resolve();
        });
        const { world, old, target } = of;
        racing = true;
        const wait = random.integer(300);
        const [retired, pinned] = await Promise.allSettled([
          (async () => {
            for (let turns = wait; turns > 0; turns -= 1) await Promise.resolve();
            return world.app.retireVersion({ kek: KEK, version: old, by: 'anna' });
          })(),
          run(of, world.startInstance()),
        ]);
        racing = false;
        await world.settle();
        const isRetired = (await world.version(old)).retiredAt !== null;
        const row = (await world.rows()).find((one) => one.serverId === serverId);
        ends.add([isRetired, pinned.status].join(' '));
        expect(isRetired).toBe(retired.status === 'fulfilled');
        if (isRetired) expect([undefined, target]).toContain(row?.wrapped.kekVersion);
        if (pinned.status === 'fulfilled')
          expect(row).toMatchObject({ pinned: true, wrapped: { kekVersion: old } });
        if (retired.status === 'rejected') expect(retired.reason).toMatchObject({ code: 'VersionInUse' });
        if (pinned.status === 'rejected') expect(pinned.reason).toMatchObject({ code: 'KekNotProven' });
      }
      // Each of the two was first in some of them.
      expect(ends).toContain('true rejected');
      expect(ends).toContain('false fulfilled');
    });
  },
);

describe('a server that is not pinned', () => {
  test.each([
    ['registered', 'new', ({ world }: Rotated) => world.app.registerServer(world.orderOf('new'))],
    [
      'copied',
      'copy',
      ({ world, access }: Rotated) =>
        world.app.copyServer({
          sourceId: 's001',
          serverId: 'copy',
          kind: 'replica',
          access,
          principalId: null,
          keyId: null,
          keyLossPolicy: null,
          labels: {},
          by: 'anna',
        }),
    ],
  ] as const)(
    'and is %s while its version is rotated away and retired follows the rotation',
    async (_, serverId, run) => {
      const of = await rotated();
      const { world, target } = of;
      const third: string[] = [];
      retireMeanwhile(of, target, async () => {
        world.clock.advance(60);
        third.push(world.vault.createVersion(KEK));
        await world.hint();
        await world.queue.drain();
      });
      await run(of);
      expect(await world.row(serverId)).toMatchObject({ pinned: false, wrapped: { kekVersion: target } });
      await world.queue.drain();
      expect((await world.row(serverId)).wrapped.kekVersion).toBe(third[0]);
    },
  );
});
