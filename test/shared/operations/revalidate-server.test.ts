import { expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { nextRetry } from '../../../shared/domain/retry.ts';
import { makeRevalidateServer } from '../../../shared/operations/revalidate-server.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const revalidate = (world: World, serverId = 's001') => world.app.revalidateServer({ serverId, by: 'anna' });

test('a key that was disabled a moment ago is found out, and the server is closed in the same breath', async () => {
  const world = makeWorld();
  const version = await world.begin(2);
  world.vault.update(KEK, version, { enabled: false });
  const { value } = await revalidate(world);
  expect(value).toMatchObject({ desired: 'revoked', desiredReason: 'KeyDisabled', applied: 'revoked' });
  expect(world.isOpen('s001')).toBe(false);
  expect(await world.audited('kek.verdict')).toContainEqual(
    expect.objectContaining({ reason: 'KeyDisabled', cause: { kind: 'operator', by: 'anna' } }),
  );
  // The others have been told.
  await world.queue.drain();
  expect(world.isOpen('s002')).toBe(false);
});

test('a server is looked at though it is not due, and what drifted is repaired', async () => {
  const world = makeWorld();
  const version = await world.begin(1);
  world.clock.advance(10);
  expect((await revalidate(world)).value.inspectedAt).toEqual(world.clock.now());
  world.vault.update(KEK, version, { enabled: false });
  await revalidate(world);
  world.server('s001').allowConnections('app', true);
  await revalidate(world);
  expect(world.isOpen('s001')).toBe(false);
});

test('a server that has just come up need not wait for its next try; its chain of retries stays one', async () => {
  const world = makeWorld();
  const version = await world.begin(1);
  world.vault.update(KEK, version, { enabled: false });
  world.server('s001').setReachable(false);
  await revalidate(world);
  await world.queue.drainFor(40);
  expect((await world.row('s001')).failure?.attempt).toBe(4);
  const { value } = await revalidate(world);
  expect(value.failure).toMatchObject({ attempt: 5, reason: 'ServerUnreachable' });
  world.server('s001').setReachable(true);
  expect((await revalidate(world)).value).toMatchObject({ failure: null, applied: 'revoked' });
  const orders = world.postgres.orders.length;
  await world.queue.drainFor(55);
  expect(world.postgres.orders.length).toBe(orders);
});

test('a wrapping that is not proven yet is proven', async () => {
  const world = makeWorld();
  await world.begin(1);
  await world.changeRow('s001', { provenAt: null });
  expect((await revalidate(world)).value.provenAt).toEqual(world.clock.now());
  const unwraps = world.vault.count('unwrap');
  await revalidate(world);
  // The probe, and no proof.
  expect(world.vault.count('unwrap')).toBe(unwraps + 1);
});

test('a proof that failed before is tried again at once', async () => {
  const world = makeWorld();
  await world.begin(1);
  const now = world.clock.now();
  const rewrapFailure = { ...nextRetry(null, 'no', now), code: 'DekIdMismatch' } as const;
  await world.changeRow('s001', { provenAt: null, rewrapFailure });
  expect((await revalidate(world)).value).toMatchObject({ provenAt: now, rewrapFailure: null });
});

test('a vault that is out says so on the rows; nothing is closed, and nothing is thrown', async () => {
  const world = makeWorld();
  const version = await world.begin(1);
  await world.changeRow('s001', { provenAt: null });
  world.vault.setVault(KEK.vault, { outage: { kind: 'network', cause: 'timeout' } });
  const { value } = await revalidate(world);
  expect(value).toMatchObject({ provenAt: null, applied: 'granted' });
  expect(await world.version(version)).toMatchObject({ status: 'unknown', reason: 'VaultUnreachable' });
});

test.each(['VaultUnavailable', 'RewrapProofFailed'] as const)(
  'a proof that ends in %s is left to the sweep',
  async (code) => {
    const { world, run } = await withProof(new CmkError(code, 'no', { remedy: 'none' }));
    expect((await run()).value.provenAt).toBeNull();
    expect(world.log.lines.at(-1)).toMatchObject({ level: 'warn', fields: { serverId: 's001', code } });
  },
);

test('what cannot be written down is thrown, also where the key is not held any more', async () => {
  const { world, run } = await withProof(new CmkError('StoreUnavailable', 'no', { remedy: 'none' }));
  await expect(run()).rejects.toMatchObject({ code: 'StoreUnavailable' });
  world.stores.keks.read = () => Promise.resolve(undefined);
  await expect(run()).rejects.toMatchObject({ code: 'StoreUnavailable' });
});

test('an unknown server and a tombstone are refused', async () => {
  const world = makeWorld();
  await world.begin(1);
  await expect(revalidate(world, 'nobody')).rejects.toMatchObject({ code: 'ServerNotFound' });
  await world.changeRow('s001', { tombstone: true });
  await expect(revalidate(world)).rejects.toMatchObject({ code: 'ServerDeleted' });
});

async function withProof(error: CmkError) {
  const world = makeWorld();
  await world.begin(1);
  await world.changeRow('s001', { provenAt: null });
  const { keks, servers, index } = world.stores;
  const run = () =>
    makeRevalidateServer({
      keks,
      servers,
      index,
      reconcileKek: () => Promise.resolve(),
      lookNow: { access: () => Promise.resolve(), rewrap: () => Promise.reject(error) },
      log: world.log,
    })({ serverId: 's001', by: 'anna' });
  return { world, run };
}
