// A registration that is cut short at any call to a store, the escrow, a queue or the vault, and repeated.
import { describe, expect, test } from 'vitest';
import { Dek } from '../../shared/domain/dek.ts';
import { keyUrl } from '../../shared/domain/key-id.ts';
import { bindDek, type WrappedDek } from '../../shared/domain/wrapped-dek.ts';
import type { RegisterCommand } from '../../shared/operations/register-server.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import { storeUnavailable } from '../fakes/memory-tables.ts';
import { KEK, makeWorld, type World } from '../fakes/world.ts';

type Call = (...input: unknown[]) => Promise<unknown>;
const RESET = { ok: false, fault: { kind: 'network', cause: 'reset' }, vaultNow: null };

/** Counts the calls to every port; the one of that number fails: before it takes effect, or so that its answer is lost. */
function cutAt(world: World, number: number, when: 'before' | 'after') {
  const done = { calls: 0, cut: null as string | null };
  const intercept = (name: string, port: object, methods: readonly string[], fail: () => unknown) => {
    for (const method of methods) {
      const original: Call = Reflect.get(port, method).bind(port);
      const replaced: Call = async (...input) => {
        done.calls += 1;
        if (done.calls !== number) return original(...input);
        done.cut = `${name}.${method}`;
        if (when === 'after') await original(...input);
        return fail();
      };
      Reflect.set(port, method, replaced);
    }
  };
  const throws = () => {
    throw storeUnavailable('cut by the test');
  };
  const { stores, escrow, queue, vault } = world;
  intercept('keks', stores.keks, ['read', 'commit', 'readBreaker', 'writeBreaker'], throws);
  intercept('servers', stores.servers, ['read', 'commit', 'page', 'hasServersOff'], throws);
  intercept('index', stores.index, ['find', 'claim'], throws);
  intercept('escrow', escrow, ['find', 'file'], throws);
  intercept('queue', queue, ['enqueueReconcile', 'enqueueRewrap', 'enqueueAccess'], throws);
  intercept('vault', vault, ['describe', 'describeVersion', 'unwrap'], () => RESET);
  return done;
}

const begin = () => {
  const world = makeWorld();
  const filed = new Set<string>();
  const version = world.vault.createVersion(KEK);
  const file = world.escrow.file.bind(world.escrow);
  // Also what the escrow didn't keep: a DEK that was wrapped for filing was made.
  world.escrow.file = async (serverId, kek, wrapped) => {
    const held = await file(serverId, kek, wrapped);
    filed.add(held.dekId);
    return held;
  };
  return { world, version, filed };
};

async function importedDek(world: World, kekVersion: string): Promise<WrappedDek> {
  const described = await world.vault.describeVersion(KEK, kekVersion);
  if (!described.ok || described.value.publicKey === null) throw new Error('not described');
  using dek = new Dek(world.random.bytes(32));
  const ciphertext = await world.vault.wrap(described.value.publicKey, bindDek(dek, 'db-1'));
  return { kekVersion, algorithm: 'RSA-OAEP-256', format: 'bound-1', dekId: dek.id, ciphertext };
}

type MakeChange = (
  world: World,
  version: string,
) => Partial<RegisterCommand> | Promise<Partial<RegisterCommand>>;
const COMMANDS: readonly [string, MakeChange][] = [
  ['a new DEK', () => ({ principalId: 'p' })],
  ['one pinned to a version', (_, version) => ({ keyId: keyUrl(KEK, version) })],
  ['an imported DEK', async (world, version) => ({ wrappedDek: await importedDek(world, version) })],
];

describe.each(COMMANDS)('I-03: registering %s', (_, makeChange) => {
  test.each(['before', 'after'] as const)(
    'cut short at any call (%s it takes effect) and repeated: one DEK, which is served',
    async (when) => {
      const cuts: string[] = [];
      for (let number = 1; ; number += 1) {
        const { world, version, filed } = begin();
        const { access } = world.postgres.addServer();
        const command = world.orderOf('db-1', { access, ...(await makeChange(world, version)) });
        const done = cutAt(world, number, when);
        const first = await world.app.registerServer(command).catch((error: unknown) => {
          expect(error).toMatchObject({ retryable: true });
          return null;
        });
        if (done.cut === null) {
          expect(first?.created).toBe(true);
          break;
        }
        cuts.push(done.cut);
        // Another process may take it up, and the key may have been rotated in between.
        if (number % 2 === 0 && command.keyId === keyUrl(KEK)) {
          world.clock.advance(60);
          world.vault.createVersion(KEK);
          await world.hint();
          await world.queue.drain();
        }
        const instance = number % 3 === 0 ? world.startInstance() : world.app;
        const { stored } = await instance.registerServer(command);
        await world.queue.drain();
        const row = await world.row('db-1');
        expect([...filed]).toEqual([row.wrapped.dekId]);
        expect(stored.value.wrapped.dekId).toBe(row.wrapped.dekId);
        expect(row).toMatchObject({ applied: 'granted', principalId: command.principalId });
        using dek = await unwrapDek(world.vault, KEK, 'db-1', row.wrapped);
        expect(dek.id).toBe(row.wrapped.dekId);
        expect(await world.audited('server.registered')).toHaveLength(1);
      }
      // The cuts were real ones, of every kind.
      for (const port of ['keks', 'servers', 'index', 'escrow', 'queue', 'vault'])
        expect(cuts.some((cut) => cut.startsWith(`${port}.`))).toBe(true);
    },
  );
});

describe('I-03: registrations side by side', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))('make one DEK (seed %i)', async (seed) => {
    const random = makeWorld({ seed }).random;
    const world = makeWorld({
      seed,
      pause: async () => {
        for (let turns = random.integer(6); turns > 0; turns -= 1) await Promise.resolve();
      },
    });
    world.vault.createVersion(KEK);
    const instances = [world.app, world.startInstance(), world.startInstance()];
    const answers = await Promise.all(
      instances.map((instance) => instance.registerServer(world.orderOf('db-1', { principalId: 'p' }))),
    );
    const { wrapped } = await world.row('db-1');
    expect(answers.map(({ stored }) => stored.value.wrapped.dekId)).toEqual(
      instances.map(() => wrapped.dekId),
    );
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
    expect([...world.escrow.filed.values()].map(({ dekId }) => dekId)).toEqual([wrapped.dekId]);
    await world.app.deliverOutbox();
    expect(world.topic.idsOf('PgCmk.DekAssigned')).toHaveLength(1);
  });
});
