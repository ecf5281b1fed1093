import { exportJWK, generateKeyPair } from 'jose';
import { describe, expect, test } from 'vitest';
import { type KekId, keyUrl } from '../../../shared/domain/key-id.ts';
import { answersHere } from '../../../shared/operations/answers-here.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const NEW: KekId = { vault: 'beta.vault.azure.net', name: 'customer' };
const THIRD: KekId = { vault: 'gamma.vault.azure.net', name: 'customer' };

/** A move that was cut short right before or after the index was pointed. */
const cut = async (when: 'before' | 'after') => {
  const world = makeWorld();
  await world.begin(1);
  world.vault.createVersion(NEW);
  world.stores.failNext('index.point', when);
  const move = world.app.moveServer({ serverId: 's001', keyId: keyUrl(NEW), by: 'anna', ifMatch: null });
  await expect(move).rejects.toMatchObject({ code: 'StoreUnavailable' });
  const rows = async () => {
    const found = await Promise.all([KEK, NEW].map((kek) => world.stores.servers.read(kek, 's001')));
    return found.map((stored) => stored?.value);
  };
  const finish = async (kek: KekId) => world.app.finishMove(await world.row('s001', kek));
  return { world, rows, finish };
};

describe('finishMove', () => {
  test('a row that is not moving costs no look-up', async () => {
    const world = makeWorld();
    await world.begin(1);
    const calls = world.stores.roundTrips('index.find');
    await world.app.finishMove(await world.row('s001'));
    await world.settle();
    expect(world.stores.roundTrips('index.find')).toBe(calls);
  });

  test.each([
    ['the row that is left', KEK],
    ['the row that has arrived', NEW],
  ])('from either end: %s', async (_, kek) => {
    const after = await cut('after');
    await after.finish(kek);
    expect(await after.rows()).toMatchObject([undefined, { incoming: false, moving: null }]);

    const before = await cut('before');
    await before.finish(kek);
    expect(await before.rows()).toMatchObject([{ moving: { to: NEW } }, { incoming: true }]);
    before.world.clock.advance(300);
    await before.finish(kek);
    expect(await before.rows()).toMatchObject([{ moving: null }, undefined]);
  });

  test('by two at a time, and again', async () => {
    const { world, rows, finish } = await cut('after');
    await Promise.all([finish(KEK), finish(NEW)]);
    expect(await rows()).toMatchObject([undefined, { incoming: false, moving: null, sequence: 1 }]);
    expect(await world.history('s001')).toHaveLength(1);
    expect(await world.audited('server.moved', NEW)).toHaveLength(1);
    expect(await world.audited('server.moved', KEK)).toHaveLength(1);
  });

  test('undone by two at a time', async () => {
    const { world, rows, finish } = await cut('before');
    world.clock.advance(300);
    await Promise.all([finish(KEK), finish(NEW)]);
    expect(await rows()).toMatchObject([{ moving: null }, undefined]);
    expect((await world.stores.index.find('s001'))?.value).toEqual(KEK);
  });

  test('pointed at the very moment in which it was to be undone: it is finished', async () => {
    const { world, rows, finish } = await cut('before');
    world.clock.advance(300);
    const stop = world.stores.onBeforeCommit(async (operation) => {
      if (operation !== 'index.point') return;
      stop();
      const owner = await world.stores.index.find('s001');
      await world.stores.index.point('s001', NEW, owner?.etag ?? '');
    });
    await finish(KEK);
    expect(await rows()).toMatchObject([undefined, { incoming: false, moving: null }]);
  });

  test('a row that arrives, of which the index knows nothing, goes; one that was left elsewhere stays marked', async () => {
    const { world, rows, finish } = await cut('before');
    world.clock.advance(300);
    const owner = await world.stores.index.find('s001');
    await world.stores.index.point('s001', THIRD, owner?.etag ?? '');
    await finish(NEW);
    expect(await rows()).toMatchObject([{ moving: { to: NEW } }, undefined]);
    expect((await world.stores.index.find('s001'))?.value).toEqual(THIRD);
  });

  test('an arriving row alone, whose server is still where it was', async () => {
    const { world, rows, finish } = await cut('before');
    await world.changeRow('s001', { moving: null });
    world.clock.advance(300);
    await finish(NEW);
    expect(await rows()).toMatchObject([{ moving: null }, undefined]);
  });

  test.each([
    ['bears no mark', { moving: null }],
    ['moves to elsewhere', { moving: { from: KEK, to: THIRD, since: new Date(0), by: 'bert' } }],
    ['is of a later move', { sequence: 7 }],
    ['arrives itself', { incoming: true }],
  ])('a row at the other end that %s is not the one that was left: it stays', async (_, change) => {
    const { world, rows, finish } = await cut('after');
    await world.changeRow('s001', change);
    await finish(NEW);
    expect(await rows()).toMatchObject([change, { incoming: false, moving: null }]);
    expect(await world.history('s001')).toEqual([]);
  });

  test('a row that does not parse at the other end is waited for, and spoils nothing for others', async () => {
    const { world, finish } = await cut('after');
    await world.register(1, { prefix: 'u', kek: NEW });
    const spoilt = (await world.stores.servers.read(KEK, 's001'))?.value;
    world.stores.spoilServer(KEK, 's001');
    await finish(NEW);
    await world.settle();
    expect(await world.row('s001', NEW)).toMatchObject({ incoming: true });
    expect(await world.row('u001', NEW)).toMatchObject({ applied: 'granted' });
    expect(world.log.errors()).toContain('a move waits for a row that does not parse');
    expect(spoilt?.moving?.to).toEqual(NEW);
  });

  test('a store that does not answer is told to the caller', async () => {
    const { world, finish } = await cut('after');
    world.stores.failNext('servers.remove', 'before');
    await expect(finish(NEW)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  test('a KEK with a move under way is swept every minute', async () => {
    const { world } = await cut('before');
    await world.settle();
    expect((await world.kek()).census?.notSettled).toBe(1);
    expect((await world.kek(NEW)).census?.notSettled).toBe(1);
  });
});

describe('a DEK is asked for while the new row has only just arrived', () => {
  const release = async (world: World) => {
    const { publicKey } = await generateKeyPair('ECDH-ES', { extractable: true });
    return world.app.releaseDek({
      serverId: 's001',
      principalId: 'p',
      publicKey: await exportJWK(publicKey),
    });
  };

  test('the move is finished first: a hold that only the old row knew of still counts', async () => {
    const { world, rows } = await cut('after');
    const hold = { by: 'bert', reason: 'breach', since: world.clock.now(), until: null };
    await world.changeRow('s001', {
      principalId: 'p',
      hold,
      desired: 'revoked',
      desiredReason: 'OperatorHold',
    });
    await expect(release(world)).rejects.toMatchObject({ code: 'DekRefused' });
    expect(await rows()).toMatchObject([undefined, { incoming: false, hold }]);
  });

  test('it is given once the move is finished', async () => {
    const { world } = await cut('after');
    await world.changeRow('s001', { principalId: 'p' });
    expect((await release(world)).kek).toEqual(NEW);
  });

  test('and refused, for now, where it can not be finished', async () => {
    const { world } = await cut('after');
    world.stores.spoilServer(KEK, 's001');
    await expect(release(world)).rejects.toMatchObject({ code: 'ServerMoving', retryable: true });
  });
});

describe('answersHere', () => {
  test('is asked of the index only while a server moves', async () => {
    const { world } = await cut('before');
    const { index } = world.stores;
    const calls = world.stores.roundTrips('index.find');
    const [left, arriving] = [await world.row('s001'), await world.row('s001', NEW)];
    expect(await answersHere(index, { ...left, moving: null })).toBe(true);
    expect(await answersHere(index, arriving)).toBe(false);
    expect(world.stores.roundTrips('index.find')).toBe(calls);
    expect(await answersHere(index, left)).toBe(true);
    expect(await answersHere(index, { ...left, kek: NEW })).toBe(false);
    expect(await answersHere(index, { ...left, serverId: 'nobody' })).toBe(false);
  });
});
