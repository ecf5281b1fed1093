// Servers through the real handlers: registering, reading, paging, holding, moving, copying, deleting, the DEK.
import { compactDecrypt, exportJWK, generateKeyPair } from 'jose';
import { describe, expect, test } from 'vitest';
import type { Role } from '../../../shared/domain/caller.ts';
import { type KekId, keyUrl } from '../../../shared/domain/key-id.ts';
import { KEK, VAULT } from '../../fakes/world.ts';
import { makeApi, type Reply } from './api-under-test.ts';

const OTHER: KekId = { vault: 'beta.vault.azure.net', name: 'ledger' };
const operate: readonly Role[] = ['Fleet.Operate'];
const plain = { keyId: keyUrl(KEK) };

async function begin(count = 1) {
  const api = makeApi();
  const version = await api.world.begin(count);
  return { api, world: api.world, version };
}

const ids = (reply: Reply): readonly string[] =>
  reply.body.servers.map(({ serverId }: { serverId: string }) => serverId);

describe('PUT /api/servers/{serverId}', () => {
  test('registers: 201, where it is, its ETag, and the wrapped DEK itself', async () => {
    const api = makeApi();
    const version = api.world.vault.createVersion(KEK);
    const reply = await api.call('PUT', 'servers/orders-1', { body: plain, roles: operate });
    expect(reply.status).toBe(201);
    expect(reply.headers.get('location')).toBe('/api/servers/orders-1');
    expect(reply.headers.get('cache-control')).toBe('no-store');
    const { wrapped } = await api.world.row('orders-1');
    expect(reply.body).toMatchObject({
      serverId: 'orders-1',
      keyId: keyUrl(KEK, version),
      keyLossPolicy: 'terminate',
      drainSeconds: 900,
      principalId: null,
      pinned: false,
      wrappedDek: wrapped,
    });
    const read = await api.call('GET', 'servers/orders-1');
    expect(read.headers.get('etag')).toBe(reply.headers.get('etag'));
    expect(read.body).not.toHaveProperty('wrappedDek');
  });

  test('again: 200, the same DEK; what changed is changed, what was left out too, but for the principal', async () => {
    const { api, world } = await begin();
    await world.changeRow('s001', { principalId: 'server-1' });
    const before = await world.row('s001');
    const reply = await api.call('PUT', 'servers/s001', {
      roles: operate,
      body: { ...plain, access: before.access, keyLossPolicy: 'denyNew', labels: { team: 'a' } },
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({
      keyLossPolicy: 'denyNew',
      labels: { team: 'a' },
      principalId: 'server-1',
      wrappedDek: before.wrapped,
    });
  });

  test('under another key: 409', async () => {
    const { api, world } = await begin();
    world.vault.createVersion(OTHER);
    const reply = await api.call('PUT', 'servers/s001', { body: { keyId: keyUrl(OTHER) } });
    expect({ status: reply.status, code: reply.body.code }).toEqual({ status: 409, code: 'ServerIdTaken' });
  });

  test('with checks that fail: 422 with each of them', async () => {
    const api = makeApi();
    const body = { keyId: 'https://evil.example/keys/a' };
    const reply = await api.call('PUT', 'servers/s001', { body });
    expect({ status: reply.status, code: reply.body.code }).toEqual({
      status: 422,
      code: 'RegistrationRefused',
    });
    expect(reply.body.checks).toContainEqual(
      expect.objectContaining({ code: 'VaultNotAllowed', outcome: 'failed', remedy: expect.any(String) }),
    );
  });

  test('with validateOnly: the checks, and nothing is changed', async () => {
    const api = makeApi();
    api.world.vault.createVersion(KEK);
    const good = await api.call('PUT', 'servers/s001?validateOnly=true', { body: plain });
    expect(good).toMatchObject({ status: 200, body: { valid: true } });
    const bad = await api.call('PUT', 'servers/s001?validateOnly=true', {
      body: { keyId: 'https://evil.example/keys/a' },
    });
    expect(bad).toMatchObject({ status: 200, body: { valid: false } });
    expect((await api.call('GET', 'servers/s001')).status).toBe(404);
    expect(await api.world.stores.keks.read(KEK)).toBeUndefined();
  });

  test('with If-Match: only what its caller saw', async () => {
    const { api } = await begin();
    const etag = (await api.call('GET', 'servers/s001')).headers.get('etag') ?? '';
    const write = (headers: Record<string, string>, path = 'servers/s001') =>
      api.call('PUT', path, { body: { ...plain, labels: { at: 'now' } }, headers });
    expect((await write({ 'if-match': '"other"' })).status).toBe(412);
    expect((await write({ 'if-match': `"other", ${etag}` })).status).toBe(200);
    expect((await write({ 'if-match': etag })).status).toBe(412);
    expect((await write({ 'if-match': '*' })).status).toBe(200);
    expect((await write({ 'if-match': '*' }, 'servers/s999')).status).toBe(412);
    expect((await write({ 'if-match': 'unquoted' })).body.code).toBe('InvalidRequest');
  });

  test('with If-None-Match: * only a new one', async () => {
    const { api } = await begin();
    const create = (id: string) =>
      api.call('PUT', `servers/${id}`, { body: plain, headers: { 'if-none-match': '*' } });
    expect((await create('s001')).body.code).toBe('PreconditionFailed');
    expect((await create('s002')).status).toBe(201);
    expect((await create('s002')).status).toBe(412);
  });
});

describe('an operator without Dek.Assign', () => {
  test.each([
    ['sets a principal', 'PUT', 'servers/new-1', { ...plain, principalId: 'me' }],
    ['changes a principal', 'PUT', 'servers/s001', { ...plain, principalId: 'me' }],
    ['copies', 'POST', 'servers/s001/copies', { serverId: 'copy-1', kind: 'replica' }],
    ['moves', 'PUT', 'servers/s001/key', { keyId: keyUrl(OTHER) }],
    ['imports', 'PUT', 'servers/new-1', 'IMPORT'],
    ['purges', 'DELETE', 'servers/s001?purge=dek', undefined],
  ])('%s: 403, and nothing is changed', async (_, method, path, said) => {
    const { api, world, version } = await begin();
    world.vault.createVersion(OTHER);
    const before = await world.row('s001');
    const wrappedDek = { ...before.wrapped, kekVersion: version };
    const body = said === 'IMPORT' ? { ...plain, wrappedDek } : said;
    const roles: readonly Role[] = ['Fleet.Read', 'Fleet.Operate', 'Dek.Unwrap', 'Keys.Retire'];
    const reply = await api.call(method, path, { roles, ...(body === undefined ? {} : { body }) });
    expect({ status: reply.status, code: reply.body.code, role: reply.body.role }).toEqual({
      status: 403,
      code: 'RoleMissing',
      role: 'Dek.Assign',
    });
    expect(await world.row('s001')).toEqual(before);
    for (const id of ['new-1', 'copy-1']) expect(await world.stores.index.find(id)).toBeUndefined();
  });
});

describe('GET /api/servers', () => {
  test('pages with a cursor until it is null, each server once, with filters', async () => {
    const { api, version } = await begin(5);
    const key = encodeURIComponent(keyUrl(KEK));
    const filter = `key=${key}&state=Ready&version=${version}`;
    const first = await api.call('GET', `servers?${filter}&limit=2`);
    const second = await api.call('GET', `servers?${filter}&limit=3&cursor=${first.body.cursor}`);
    expect([...ids(first), ...ids(second)]).toEqual(['s001', 's002', 's003', 's004', 's005']);
    const rest = second.body.cursor;
    if (rest !== null) expect(ids(await api.call('GET', `servers?${filter}&cursor=${rest}`))).toEqual([]);
    expect(ids(await api.call('GET', 'servers?state=Inaccessible'))).toEqual([]);
  });

  test('refuses a cursor that was forged, changed, or made for another listing', async () => {
    const { api } = await begin(3);
    const { cursor } = (await api.call('GET', 'servers?limit=1')).body;
    const forged = Buffer.from('{"kek":{"vault":"x","name":"y"},"after":null}').toString('base64url');
    for (const path of [
      `servers?cursor=${forged}.AAAA`,
      `servers?cursor=x${cursor}`,
      `servers?state=Ready&cursor=${cursor}`,
      `audit?cursor=${cursor}`,
      `keys?cursor=${cursor}`,
      `keys/${VAULT}/fleet/impact?cursor=${cursor}`,
    ]) {
      const { status, body } = await api.call('GET', path);
      expect({ path, status, code: body.code }).toEqual({ path, status: 400, code: 'InvalidCursor' });
    }
  });

  test('shows a failure, a hold, a move and a copy as they are', async () => {
    const { api, world } = await begin();
    const at = world.clock.now();
    const retry = { message: 'm', since: at, attempt: 2, nextAttemptAt: at };
    await world.changeRow('s001', {
      failure: { ...retry, reason: 'ServerUnreachable' },
      rewrapFailure: { ...retry, code: 'VaultUnavailable' },
      hold: { by: 'anna', reason: 'r', since: at, until: at },
      copyOf: { serverId: 's000', kind: 'restore' },
    });
    const instant = at.toISOString();
    const told = { message: 'm', since: instant, attempt: 2, nextAttemptAt: instant };
    expect((await api.call('GET', 'servers')).body.servers[0]).toMatchObject({
      failure: { ...told, reason: 'ServerUnreachable' },
      rewrapFailure: { ...told, code: 'VaultUnavailable' },
      hold: { by: 'anna', reason: 'r', since: instant, until: instant },
      copyOf: { serverId: 's000', kind: 'restore' },
      movingTo: null,
    });
  });
});

describe('orders to a server', () => {
  test('revoke and restore: a hold with a reason, and its end', async () => {
    const { api, world } = await begin();
    const held = await api.call('POST', 'servers/s001/revoke', { body: { reason: 'incident' } });
    expect(held).toMatchObject({ status: 200, body: { hold: { by: 'anna', reason: 'incident' } } });
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
    const lifted = await api.call('POST', 'servers/s001/restore');
    expect(lifted).toMatchObject({ status: 200, body: { hold: null } });
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(true);
    const blank = await api.call('POST', 'servers/s001/revoke', { body: { reason: ' ' } });
    expect(blank.body.faults[0].pointer).toBe('/reason');
  });

  test('revalidate: looks now, and says what it found', async () => {
    const { api, world, version } = await begin();
    world.vault.update(KEK, version, { enabled: false });
    const reply = await api.call('POST', 'servers/s001/revalidate');
    expect(reply).toMatchObject({ status: 200, body: { state: 'Inaccessible', reason: 'KeyDisabled' } });
  });

  test('drill: what was measured', async () => {
    const startedAt = new Date('2030-01-01T00:00:00Z');
    const result = {
      startedAt,
      revokedAfterMilliseconds: 40,
      restoredAfterMilliseconds: 50,
      closed: ['app'],
      reopened: ['app'],
      sessionsEnded: 3,
    };
    const api = makeApi({ change: { drillServer: async () => result } });
    expect(await api.call('POST', 'servers/s001/drill')).toMatchObject({
      status: 200,
      body: { ...result, serverId: 's001', startedAt: startedAt.toISOString() },
    });
  });

  test('move: the server under its new key', async () => {
    const { api, world } = await begin();
    const version = world.vault.createVersion(OTHER);
    const reply = await api.call('PUT', 'servers/s001/key', { body: { keyId: keyUrl(OTHER) } });
    expect(reply).toMatchObject({ status: 200, body: { keyId: keyUrl(OTHER, version), movingTo: null } });
  });

  test('copy: a server of its own with the same DEK; where it is, and its wrapping', async () => {
    const { api, world } = await begin();
    const body = { serverId: 'copy-1', kind: 'replica', principalId: 'standby' };
    const reply = await api.call('POST', 'servers/s001/copies', { body });
    expect(reply.status).toBe(201);
    expect(reply.headers.get('location')).toBe('/api/servers/copy-1');
    const { dekId } = (await world.row('s001')).wrapped;
    expect(reply.body).toMatchObject({
      serverId: 'copy-1',
      principalId: 'standby',
      copyOf: { serverId: 's001', kind: 'replica' },
      wrappedDek: { dekId },
      state: 'PendingKey',
    });
    expect((await api.call('POST', 'servers/s001/copies', { body })).status).toBe(200);
  });

  test('delete: a tombstone, then, purged, nothing', async () => {
    const { api, world } = await begin();
    const deleted = await api.call('DELETE', 'servers/s001');
    expect(deleted).toMatchObject({ status: 200, body: { outcome: 'tombstone', keyId: keyUrl(KEK) } });
    expect((await api.call('GET', 'servers/s001')).body.tombstone).toBe(true);
    expect((await api.call('DELETE', 'servers/s001?purge=dek')).body.outcome).toBe('purged');
    expect(await world.stores.index.find('s001')).toBeUndefined();
  });

  test('delete: not while it isn’t Ready, unless forced', async () => {
    const { api, world } = await begin();
    await api.call('POST', 'servers/s001/revoke', { body: { reason: 'r' } });
    await world.queue.drain();
    const refused = await api.call('DELETE', 'servers/s001?force=false');
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 409,
      code: 'ServerNotSettled',
    });
    const forced = await api.call('DELETE', 'servers/s001?force=true');
    expect(forced.body.staysClosed).toContain('app');
  });
});

describe('POST /api/servers/{serverId}/dek', () => {
  test('gives a server its own DEK, sealed to the key of the request; another identity gets nothing', async () => {
    const { api, world } = await begin();
    await world.changeRow('s001', { principalId: 'server-1' });
    const pair = await generateKeyPair('ECDH-ES', { crv: 'X25519', extractable: true });
    const body = { publicKey: await exportJWK(pair.publicKey) };
    const roles: readonly Role[] = ['Dek.Unwrap'];
    const reply = await api.call('POST', 'servers/s001/dek', { body, roles, principalId: 'server-1' });
    const { wrapped } = await world.row('s001');
    expect(reply).toMatchObject({
      status: 200,
      body: { serverId: 's001', dekId: wrapped.dekId, wrappedDek: wrapped },
    });
    const { plaintext, protectedHeader } = await compactDecrypt(reply.body.jwe, pair.privateKey);
    expect(plaintext).toHaveLength(32);
    expect(protectedHeader['sub']).toBe('s001');
    const foreign = await api.call('POST', 'servers/s001/dek', { body, roles, principalId: 'server-2' });
    expect({ status: foreign.status, code: foreign.body.code }).toEqual({
      status: 403,
      code: 'PrincipalMismatch',
    });
  });
});
