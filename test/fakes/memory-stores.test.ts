// What the stores in memory can do beyond their contract: faults, and another writer.
import { describe, expect, test } from 'vitest';
import { expectCode, newKek } from '../contracts/stores.ts';
import { eventOf, plainKek, plainServer } from '../fixtures/rows.ts';
import { makeMemoryStores, type StoreOperation } from './memory-stores.ts';

const insertKek = (stores: ReturnType<typeof makeMemoryStores>, kek = newKek()) =>
  stores.keks.commit(kek, { kek: { value: plainKek(kek), etag: null }, versions: [], outbox: null });

describe('failNext', () => {
  test('before: nothing took effect; after: it did, and only the answer is lost', async () => {
    const stores = makeMemoryStores();
    const kek = newKek();
    stores.failNext('keks.commit', 'before');
    await expectCode('StoreUnavailable', insertKek(stores, kek));
    expect(await stores.keks.read(kek)).toBeUndefined();
    stores.failNext('keks.commit', 'after');
    await expectCode('StoreUnavailable', insertKek(stores, kek));
    expect(await stores.keks.read(kek)).toBeDefined();
    await expectCode('WriteConflict', insertKek(stores, kek));
  });

  test('counts: as often as it was asked for, and only that operation', async () => {
    const stores = makeMemoryStores();
    stores.failNext('servers.read', 'before');
    stores.failNext('servers.read', 'before');
    await stores.keks.read(newKek());
    for (const expected of ['failed', 'failed', 'read']) {
      const outcome = await stores.servers.read(newKek(), 'a').then(
        () => 'read',
        () => 'failed',
      );
      expect(outcome).toBe(expected);
    }
  });
});

describe('onBeforeCommit', () => {
  test('lets another writer in between reading and writing', async () => {
    const stores = makeMemoryStores();
    const kek = newKek();
    const seen: string[] = [];
    const off = stores.onBeforeCommit(async (operation, partition) => {
      seen.push(`${operation} ${partition}`);
      await insertKek(stores, kek);
    });
    await expectCode('WriteConflict', insertKek(stores, kek));
    off();
    await expectCode('WriteConflict', insertKek(stores, kek));
    expect(seen).toEqual([`keks.commit ${kek.vault}|key`]);
  });
});

test('values are copied both ways', async () => {
  const stores = makeMemoryStores();
  const kek = newKek();
  const labels: Record<string, string> = { team: 'a' };
  await stores.servers.commit(
    kek,
    [{ value: plainServer(kek, 'a', { labels }), etag: null, history: null }],
    null,
  );
  labels['team'] = 'b';
  const read = await stores.servers.read(kek, 'a');
  Object.assign(read?.value.labels ?? {}, { team: 'c' });
  expect((await stores.servers.read(kek, 'a'))?.value.labels).toEqual({ team: 'a' });
});

test('dates inside events come back as JSON has them', async () => {
  const stores = makeMemoryStores();
  const event = { ...eventOf('a'), data: { startedAt: new Date(0) } };
  await stores.outbox.put('app', { audit: [], events: [event] });
  const [row] = await stores.outbox.pageOutbox('app', false, 1);
  expect(row?.events).toEqual([{ ...event, data: { startedAt: '1970-01-01T00:00:00.000Z' } }]);
});

test('round trips are counted, and calls can be made to yield', async () => {
  let pauses = 0;
  const stores = makeMemoryStores({
    pause: async () => {
      pauses += 1;
    },
  });
  await insertKek(stores);
  await stores.servers.read(newKek(), 'a');
  await stores.servers.read(newKek(), 'a');
  const counts = (['keks.commit', 'servers.read', 'servers.page'] as const satisfies StoreOperation[]).map(
    (one) => stores.roundTrips(one),
  );
  expect([counts, stores.roundTrips(), pauses]).toEqual([[1, 2, 0], 3, 3]);
});
