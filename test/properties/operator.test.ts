// Whatever operators, customers, servers and crashes do at the same time: no DEK is lost, none is given to whom it isn't
// for, one row answers for each server, and when the faults have stopped everything is as keys and holds say. `FC_RUNS`
// sets the number of runs; fast-check prints the seed and the path of one that fails.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KekPolicy } from '../../shared/domain/kek.ts';
import type { WriteOperation } from '../fakes/memory-stores.ts';
import { COPIES, KEKS, SERVERS, System } from './operator-system.ts';
import { type Step, step } from './steps.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 15);
const RUN_MS = 60_000 + numRuns * 1000;
const MOST_STEPS = 50;

type Act = (system: System) => void | Promise<void>;
const always = (label: string, act: Act) => fc.constant(step(label, act));

const anyServer = fc.constantFrom(...SERVERS, ...COPIES);
const registered = fc.constantFrom(...SERVERS, ...SERVERS, ...COPIES);
const keyIndex = fc.nat(KEKS.length - 1);
const pin = fc.option(fc.nat(3), { freq: 3 });

/** What commands and events are about: any of all, or of few, so that they meet. */
interface About {
  readonly server: fc.Arbitrary<string>;
  readonly key: fc.Arbitrary<number>;
}
const ANYTHING: About = { server: anyServer, key: keyIndex };

type KeyAct = (system: System, key: System['keys'][number], version: number) => void;
const onKey = (keyIndex: fc.Arbitrary<number>, label: string, act: KeyAct) =>
  fc.tuple(keyIndex, fc.nat(3), fc.boolean()).map(([index, version, hints]) =>
    step<System>(`${label}(k${index}, v${version}${hints ? ', hint' : ''})`, (system) => {
      const key = system.keys[index];
      if (key === undefined) return;
      act(system, key, version);
      return hints ? system.hint(key) : undefined;
    }),
  );

const keyEvents = ({ key }: About) =>
  fc.oneof(
    { weight: 3, arbitrary: onKey(key, 'rotate', (system, one) => system.rotate(one)) },
    onKey(key, 'disable', (system, one, version) => system.update(one, version, { enabled: false })),
    {
      weight: 2,
      arbitrary: onKey(key, 'enable', (system, one, version) =>
        system.update(one, version, { enabled: true }),
      ),
    },
    onKey(key, 'expire', (system, one, version) => system.update(one, version, { expired: true })),
    onKey(key, 'extend', (system, one, version) => system.update(one, version, { expired: false })),
    onKey(key, 'deleteKey', (system, one) => system.setDeleted(one, true)),
    { weight: 2, arbitrary: onKey(key, 'recoverKey', (system, one) => system.setDeleted(one, false)) },
    onKey(key, 'outage', (system, one) => system.setOutage(one, true)),
    { weight: 2, arbitrary: onKey(key, 'heal', (system, one) => system.setOutage(one, false)) },
  );

const policy = fc.record<Partial<KekPolicy>>(
  {
    rewrapPaused: fc.boolean(),
    canaryServers: fc.uniqueArray(registered, { maxLength: 2 }),
    waveServers: fc.option(fc.integer({ min: 1, max: 2 })),
    waveSoakSeconds: fc.constantFrom(0, 40),
    expiredKeyPolicy: fc.constantFrom('revoke', 'warn'),
    rewrapVerification: fc.constantFrom('sample', 'every'),
  },
  { requiredKeys: [] },
);

const commands = ({ server, key }: About) =>
  fc.oneof(
    fc
      .record({
        id: server,
        kek: key,
        pin,
        principal: fc.constantFrom('p', 'q'),
        label: fc.constantFrom('a', 'b'),
      })
      .map(({ id, kek, ...change }) =>
        step<System>(`register(${id}, k${kek}, ${JSON.stringify(change)})`, (system) =>
          system.register(id, kek, change),
        ),
      ),
    fc
      .tuple(server, fc.option(fc.constantFrom('breach', 'audit')))
      .map(([serverId, reason]) =>
        step<System>(`holdServer(${serverId}, ${reason})`, (system) => system.hold(serverId, reason)),
      ),
    fc.tuple(key, fc.option(fc.constant('breach'), { freq: 1 })).map(([index, reason]) =>
      step<System>(`holdKey(k${index}, ${reason})`, (system) => {
        const kek = KEKS[index];
        if (kek === undefined) return;
        return system.holdKey(index, kek, reason);
      }),
    ),
    {
      weight: 3,
      arbitrary: fc.tuple(server, key, pin).map(([serverId, index, version]) =>
        step<System>(`move(${serverId}, k${index}, v${version})`, (system) => {
          const keyId = system.keyIdOf(index, version);
          return system.command(`move ${serverId}`, (app) =>
            app.moveServer({ serverId, keyId, by: 'anna', ifMatch: null }),
          );
        }),
      ),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(server, fc.constantFrom(...COPIES), fc.constantFrom('replica', 'restore'), fc.option(key), pin)
        .map(([source, copy, kind, index, version]) =>
          step<System>(`copy(${source}, ${copy}, ${kind}, k${index}, v${version})`, (system) =>
            system.copy(source, copy, kind, index === null ? null : system.keyIdOf(index, version)),
          ),
        ),
    },
    fc
      .tuple(server, fc.boolean(), fc.boolean())
      .map(([id, force, purge]) =>
        step<System>(`delete(${id}${force ? ', force' : ''}${purge ? ', purge' : ''})`, (system) =>
          system.remove(id, force, purge),
        ),
      ),
    {
      weight: 2,
      arbitrary: fc
        .tuple(key, fc.nat(3))
        .map(([index, version]) =>
          step<System>(`retire(k${index}, v${version})`, (system) => system.retire(index, version)),
        ),
    },
    fc.tuple(key, policy).map(([index, change]) =>
      step<System>(`policy(k${index}, ${JSON.stringify(change)})`, (system) => {
        const kek = KEKS[index];
        if (kek === undefined) return;
        return system.command(`policy k${index}`, (app) =>
          app.changePolicy({ kek, change, by: 'anna', ifMatch: null }),
        );
      }),
    ),
    key.map((index) =>
      step<System>(`rewrap(k${index})`, (system) => {
        const kek = KEKS[index];
        if (kek === undefined) return;
        return system.command(`rewrap k${index}`, (app) => app.startRewrap({ kek, by: 'anna' }));
      }),
    ),
    server.map((serverId) =>
      step<System>(`drill(${serverId})`, (system) =>
        system.command(`drill ${serverId}`, (app) => app.drillServer({ serverId, by: 'anna' })),
      ),
    ),
    server.map((serverId) =>
      step<System>(`revalidate(${serverId})`, (system) =>
        system.command(`revalidate ${serverId}`, (app) => app.revalidateServer({ serverId, by: 'anna' })),
      ),
    ),
    {
      weight: 2,
      arbitrary: fc
        .tuple(server, fc.constantFrom('p', 'p', 'q', 'mallory'))
        .map(([id, who]) =>
          step<System>(`release(${id}, ${who})`, (system) => system.release(id, `${who}-${id}`)),
        ),
    },
  );

const deliver = fc.integer({ min: 1, max: 8 }).map((count) =>
  step<System>(`deliver(${count})`, async ({ world }) => {
    for (let delivery = 0; delivery < count; delivery += 1) await world.queue.step();
  }),
);
const inPassing = fc.oneof(
  { weight: 3, arbitrary: deliver },
  always('probe', (system) => system.work((app) => app.probes.probeAll())),
  always('sweep', (system) => system.work((app) => app.sweepFleet())),
  always('outbox', (system) => system.work((app) => app.deliverOutbox())),
);

const looking = fc.oneof(
  { weight: 3, arbitrary: inPassing },
  fc
    .constantFrom(10, 60, 700)
    .map((seconds) => step<System>(`live(${seconds})`, (system) => system.work(() => system.live(seconds)))),
);

const WRITES: readonly WriteOperation[] = [
  'keks.commit',
  'servers.commit',
  'servers.remove',
  'servers.removeHistory',
  'index.claim',
  'index.point',
  'index.release',
  'outbox.put',
];
const circumstances = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(1, 3, 10, 70, 400, 8000)
      .map((seconds) => step<System>(`wait(${seconds})`, ({ world }) => world.clock.advance(seconds))),
  },
  fc.nat(20).map((index) =>
    step<System>(`pick(${index})`, ({ world }) => {
      world.queue.pick = (count) => index % count;
    }),
  ),
  fc.constantFrom('keep' as const, 'keep' as const, 'duplicate' as const, 'drop' as const).map((fate) =>
    step<System>(`messages(${fate})`, ({ world }) => {
      world.queue.fate = () => fate;
    }),
  ),
  always('lose', ({ world }) => world.queue.clear()),
  always('restart', (system) => system.restart()),
  fc
    .tuple(fc.constantFrom(...WRITES), fc.constantFrom('before' as const, 'after' as const))
    .map(([operation, when]) =>
      step<System>(`fail(${operation}, ${when})`, ({ world }) => world.stores.failNext(operation, when)),
    ),
  {
    weight: 3,
    arbitrary: fc.nat(40).map((calls) =>
      step<System>(`cut(${calls})`, (system) => {
        system.cut = calls;
      }),
    ),
  },
  fc
    .tuple(anyServer, fc.boolean())
    .map(([id, isDown]) =>
      step<System>(`${isDown ? 'stop' : 'start'}(${id})`, (system) => system.setDown(id, isDown)),
    ),
);

const cutAt = (calls: number, { label, act }: Step<System>): Step<System> =>
  step(`cut(${calls}) ${label}`, async (system) => {
    system.cut = calls;
    await act(system);
    system.cut = null;
  });
/** Now and then a command is cut short, at any call that it makes. */
const cutShort = (about: About) =>
  fc
    .tuple(fc.option(fc.oneof(fc.nat(10), fc.nat(35)), { freq: 2 }), commands(about))
    .map(([calls, made]) => (calls === null ? made : cutAt(calls, made)));

const one = (single: fc.Arbitrary<Step<System>>) => single.map((made): readonly Step<System>[] => [made]);
/** Two or three things at once, more often than not about the same server and its key. */
const atOnce = fc.tuple(anyServer, keyIndex).chain(([id, index]) => {
  const about: About = {
    server: fc.oneof({ weight: 4, arbitrary: fc.constant(id) }, anyServer),
    key: fc.oneof({ weight: 3, arbitrary: fc.constant(index) }, keyIndex),
  };
  const single = fc.oneof(
    { weight: 5, arbitrary: cutShort(about) },
    { weight: 2, arbitrary: inPassing },
    keyEvents(about),
  );
  return fc.array(single, { minLength: 2, maxLength: 3 });
});
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: one(cutShort(ANYTHING)) },
    { weight: 2, arbitrary: one(keyEvents(ANYTHING)) },
    { weight: 3, arbitrary: one(looking) },
    { weight: 3, arbitrary: one(circumstances) },
    { weight: 8, arbitrary: atOnce },
  ),
  { minLength: 5, maxLength: MOST_STEPS, size: 'max' },
);

test(
  'I-03 I-08 I-11 I-12: whatever is done at once and cut short, it all comes to rest as keys and holds say',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        steps,
        fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }),
        async (seed, made, repeats) => {
          const system = await System.begin(seed);
          for (const together of made) await system.perform(together);
          await system.comeToRest(repeats);
          await system.putRight();
          await system.releaseAll();
          expect(system.world.log.errors().filter((line) => line.includes('does not parse'))).toEqual([]);
        },
      ),
      { numRuns },
    );
  },
  RUN_MS,
);
