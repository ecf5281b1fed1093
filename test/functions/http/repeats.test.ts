// Every write again, as a caller does whose answer was lost: it changes nothing more, and is answered as before. Then
// every write with its first attempt cut short by the store, at each point where it could be.
import { describe, expect, test } from 'vitest';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { KEK, VAULT, type World } from '../../fakes/world.ts';
import { type ApiUnderTest, makeApi } from './api-under-test.ts';

const OTHER = { vault: 'beta.vault.azure.net', name: 'ledger' };
const KEY = `keys/${VAULT}/fleet`;

interface Write {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly begin?: (api: ApiUnderTest) => Promise<unknown>;
  /** Another status the second time. */
  readonly again?: number;
}

const writes: readonly Write[] = [
  { name: 'registerServer', method: 'PUT', path: 'servers/new-1', body: { keyId: keyUrl(KEK) }, again: 200 },
  {
    name: 'registerServer with a principal',
    method: 'PUT',
    path: 'servers/new-1',
    body: { keyId: keyUrl(KEK), principalId: 'p', labels: { a: 'b' } },
    again: 200,
  },
  { name: 'revokeServer', method: 'POST', path: 'servers/s001/revoke', body: { reason: 'r' } },
  {
    name: 'restoreServer',
    method: 'POST',
    path: 'servers/s001/restore',
    begin: (api) => api.call('POST', 'servers/s001/revoke', { body: { reason: 'r' } }),
  },
  { name: 'moveServer', method: 'PUT', path: 'servers/s001/key', body: { keyId: keyUrl(OTHER) } },
  {
    name: 'copyServer',
    method: 'POST',
    path: 'servers/s001/copies',
    body: { serverId: 'copy-1', kind: 'restore' },
    again: 200,
  },
  { name: 'deleteServer', method: 'DELETE', path: 'servers/s001' },
  { name: 'changePolicy', method: 'PATCH', path: KEY, body: { waveServers: 5 } },
  { name: 'revokeKey', method: 'POST', path: `${KEY}/revoke`, body: { reason: 'r' } },
  {
    name: 'restoreKey',
    method: 'POST',
    path: `${KEY}/restore`,
    begin: (api) => api.call('POST', `${KEY}/revoke`, { body: { reason: 'r' } }),
  },
  {
    name: 'clearBreaker',
    method: 'POST',
    path: 'breaker/clear',
    begin: ({ world }) =>
      world.stores.keks.writeBreaker({ value: { suspects: {}, trippedAt: world.clock.now() }, etag: null }),
  },
  { name: 'startRewrap', method: 'POST', path: `${KEY}/rewrap`, body: {} },
];

async function begin(write: Write): Promise<ApiUnderTest> {
  const api = makeApi();
  await api.world.begin(2);
  api.world.vault.createVersion(OTHER);
  if (write.name === 'startRewrap') api.world.vault.createVersion(KEK);
  await write.begin?.(api);
  await api.world.queue.drain();
  return api;
}

const send = (api: ApiUnderTest, { method, path, body }: Write) =>
  api.call(method, path, body === undefined ? {} : { body });

/** What is remembered of servers, keys and what was done; without what is only counted or looked at anew. */
async function remembered(world: World) {
  await world.settle();
  const keks = [KEK, OTHER];
  const rows = await Promise.all(keks.map((kek) => world.rows(kek)));
  const audit = await Promise.all(keks.map((kek) => world.audited(undefined, kek)));
  return {
    servers: rows.flat().map((row) => ({
      id: row.serverId,
      dek: row.wrapped.dekId,
      version: row.wrapped.kekVersion,
      kek: row.kek,
      hold: row.hold,
      desired: row.desired,
      accessEpoch: row.accessEpoch,
      tombstone: row.tombstone,
      principalId: row.principalId,
    })),
    audit: audit.flat().map(({ action, servers }) => ({ action, servers })),
  };
}

describe.each(writes)('$name', (write) => {
  test('again: answered alike, and nothing more is done', async () => {
    const api = await begin(write);
    const first = await send(api, write);
    expect(first.status).toBeLessThan(300);
    const once = await remembered(api.world);
    const second = await send(api, write);
    expect(second.status).toBe(write.again ?? first.status);
    expect(await remembered(api.world)).toEqual(once);
  });

  test('again, after the store failed at any of its commits, on the way there or back', async () => {
    const whole = await begin(write);
    await send(whole, write);
    const { servers } = await remembered(whole.world);
    for (const operation of ['servers.commit', 'keks.commit', 'index.claim', 'index.point'] as const) {
      for (const when of ['before', 'after'] as const) {
        const api = await begin(write);
        api.world.stores.failNext(operation, when);
        const first = await send(api, write);
        const second = first.status < 300 ? first : await send(api, write);
        expect({ operation, when, ok: second.status < 300 }).toEqual({ operation, when, ok: true });
        if (first.status >= 300) expect(first.body.code).toBe('StoreUnavailable');
        const settled = (await remembered(api.world)).servers;
        const ids = settled.map(({ id, dek: _, ...rest }) => ({
          id,
          hold: rest.hold?.reason,
          kek: rest.kek,
        }));
        expect(ids).toEqual(servers.map(({ id, hold, kek }) => ({ id, hold: hold?.reason, kek })));
      }
    }
  });
});
