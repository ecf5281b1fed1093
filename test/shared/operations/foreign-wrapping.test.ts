// A wrapped DEK that somebody copied by hand into another server's row: whoever unwraps it refuses it.
import { expect, test } from 'vitest';
import { type KekId, keyUrl } from '../../../shared/domain/key-id.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const NEW: KekId = { vault: 'beta.vault.azure.net', name: 'customer' };

const begin = async () => {
  const world = makeWorld();
  await world.begin(2);
  const { wrapped } = await world.row('s002');
  await world.changeRow('s001', { wrapped, provenAt: null });
  return { world, wrapped };
};

test('a rewrap leaves it where it is, says why, and rewraps the others', async () => {
  const { world, wrapped } = await begin();
  const next = world.vault.createVersion(KEK);
  await world.settle();
  expect(await world.row('s001')).toMatchObject({ wrapped, rewrapFailure: { code: 'DekBindingMismatch' } });
  expect((await world.row('s002')).wrapped.kekVersion).toBe(next);
  expect(await world.history('s001')).toEqual([]);
});

test('the sweep proves nothing by it', async () => {
  const { world } = await begin();
  world.clock.advance(3600);
  await world.settle();
  expect(await world.row('s001')).toMatchObject({
    provenAt: null,
    rewrapFailure: { code: 'DekBindingMismatch' },
  });
});

test('it is neither moved, nor pinned elsewhere, nor copied', async () => {
  const { world, wrapped } = await begin();
  const older = wrapped.kekVersion;
  const newer = world.vault.createVersion(KEK);
  world.vault.createVersion(NEW);
  const move = (keyId: string) =>
    world.app.moveServer({ serverId: 's001', keyId, by: 'anna', ifMatch: null });
  await expect(move(keyUrl(NEW))).rejects.toMatchObject({ code: 'DekBindingMismatch' });
  await world.settle();
  await expect(move(keyUrl(KEK, newer))).rejects.toMatchObject({ code: 'DekBindingMismatch' });
  const copy = world.app.copyServer({
    sourceId: 's001',
    serverId: 'c001',
    kind: 'restore',
    access: { kind: 'none' },
    principalId: null,
    keyId: null,
    keyLossPolicy: null,
    labels: {},
    by: 'anna',
  });
  await expect(copy).rejects.toMatchObject({ code: 'DekBindingMismatch' });
  expect((await world.rows()).map(({ serverId }) => serverId)).toEqual(['s001', 's002']);
  expect((await world.row('s001')).wrapped.kekVersion).toBe(older);
});
