import { describe, expect, test } from 'vitest';
import { DAY, member, useEmulator } from './emulator-fixture.ts';

const { addVault, emulator, eventsOf, send } = useEmulator();

async function control(method: string, path: string, body?: unknown) {
  const text = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await fetch(`${emulator().controlUrl}${path}`, { method, ...text });
  return { status: response.status, json: await response.json() };
}

const readKey = '/keys/k1?api-version=7.4';

describe('vaults', () => {
  test('are listed, shown and added', async () => {
    const vault = await addVault();
    expect((await control('GET', '/vaults')).json).toContainEqual(
      expect.objectContaining({ name: vault.name }),
    );
    expect((await control('GET', `/vaults/${vault.name}/`)).json).toMatchObject({ url: vault.url });
    const added = await control('POST', '/vaults', {
      name: 'by-control',
      retentionDays: 7,
      purgeProtection: true,
    });
    expect(added).toMatchObject({ status: 200, json: { name: 'by-control', switches: { outage: 'none' } } });
    expect(added.json).toMatchObject({ url: emulator().vault('by-control').url });
    expect(await control('POST', '/vaults', { name: 'By-Control' })).toMatchObject({ status: 400 });
  });

  test('are switched', async () => {
    const vault = await addVault();
    await vault.createKey('k1');
    const change = { rbac: 'denied', rbacCode: 'AccessDenied', throttle: 'published' };
    const answer = await control('POST', `/vaults/${vault.name}/switches`, change);
    expect(answer).toMatchObject({ status: 200, json: { ...change, outage: 'none' } });
    expect((await send(vault, readKey)).json).toMatchObject({
      error: { innererror: { code: 'AccessDenied' } },
    });
    expect((await control('GET', `/vaults/${vault.name}/switches`)).json).toEqual(vault.switches());
  });

  test('have their clock moved', async () => {
    const vault = await addVault();
    await control('POST', `/vaults/${vault.name}/clock`, { offsetSeconds: 3 * DAY });
    expect(vault.clockOffsetSeconds()).toBe(3 * DAY);
  });

  test('have their counters read and reset', async () => {
    const vault = await addVault();
    await send(vault, readKey);
    expect((await control('GET', `/vaults/${vault.name}/counters`)).json).toEqual({ 'get:refused': 1 });
    await control('DELETE', `/vaults/${vault.name}/counters`);
    expect(vault.counters()).toEqual({});
  });

  test('have their access policy changed', async () => {
    const vault = await addVault();
    await control('POST', `/vaults/${vault.name}/access-policy-change`);
    expect(eventsOf(vault)).toHaveLength(1);
  });
});

describe('keys', () => {
  test('live a whole life', async () => {
    const vault = await addVault();
    const base = `/vaults/${vault.name}/keys/k1`;
    const statusOf = async (what: string, body?: unknown) =>
      (await control('POST', `${base}/${what}`, body)).status;
    const created = await control('POST', `${base}/create`, {
      kty: 'RSA-HSM',
      bits: 2048,
      exp: 4_000_000_000,
    });
    expect(created).toMatchObject({ status: 200, json: { kty: 'RSA-HSM', bits: 2048, exp: 4_000_000_000 } });
    const first = String(member(created.json, 'version'));
    expect(await statusOf('rotate')).toBe(200);
    const enabled = () => vault.keys()[0]?.versions.map((version) => version.enabled);

    expect(await statusOf('disable')).toBe(200);
    expect(enabled()).toEqual([false, false]);
    expect(await statusOf('enable', { version: first })).toBe(200);
    expect(enabled()).toEqual([true, false]);
    expect(await statusOf('enable', { version: 'current' })).toBe(200);
    expect(enabled()).toEqual([true, true]);

    const change = { enabled: false, exp: null, nbf: 5, keyOps: ['wrapKey'] };
    expect((await control('PATCH', `${base}/versions/${first}`, change)).json).toMatchObject([change]);

    expect(await statusOf('delete')).toBe(200);
    expect((await control('GET', `/vaults/${vault.name}/keys`)).json).toEqual([]);
    expect((await control('GET', `/vaults/${vault.name}/deletedkeys`)).json).toMatchObject([
      { state: 'deleted' },
    ]);
    expect(await statusOf('recover')).toBe(200);
    expect((await control('GET', `/vaults/${vault.name}/keys`)).json).toMatchObject([
      { name: 'k1', state: 'active', versions: [{ version: first }, {}] },
    ]);
    expect(await statusOf('delete')).toBe(200);
    expect(await statusOf('purge')).toBe(200);
    expect(await statusOf('recover')).toBe(404);
    expect(vault.counters()).toEqual({});
  });
});

describe('bad input', () => {
  test.each([
    ['switches', { outage: 'flood' }, 'error503'],
    ['switches', { colour: 'red' }, 'colour'],
    ['switches', { throttle: -1 }, 'published'],
    ['switches', { rbac: ['fly'] }, 'unwrapkey'],
    ['clock', {}, 'offsetSeconds'],
    ['clock', 'offsetSeconds=5', 'JSON'],
    ['keys/k1/create', { bits: 1024 }, '3072'],
    ['keys/k1/disable', { versions: 'all' }, 'version'],
    ['access', {}, 'POST /vaults/:vault/switches'],
  ])('%s %j is refused with what is accepted', async (what, body, hint) => {
    const vault = await addVault();
    const answer = await control('POST', `/vaults/${vault.name}/${what}`, body);
    expect(answer.status).toBe(what === 'access' ? 404 : 400);
    expect(answer.json).toMatchObject({ error: expect.any(String) });
    expect(JSON.stringify(answer.json)).toContain(hint);
  });

  test('an unknown vault, key or version is 404', async () => {
    const vault = await addVault();
    await vault.createKey('k1');
    expect(await control('GET', '/vaults/none')).toMatchObject({
      status: 404,
      json: { accepts: expect.any(Array) },
    });
    expect(await control('POST', `/vaults/${vault.name}/keys/k2/disable`)).toMatchObject({
      status: 404,
      json: { code: 'KeyNotFound' },
    });
    const patch = await control('PATCH', `/vaults/${vault.name}/keys/k1/versions/1`, { enabled: true });
    expect(patch).toMatchObject({ status: 404, json: { code: 'KeyNotFound' } });
  });

  test('GET / lists the routes', async () => {
    expect((await control('GET', '/')).json).toContain('POST /vaults/:vault/keys/:key/rotate');
  });

  test('a body without end is cut short', async () => {
    const vault = await addVault();
    const answer = await control('POST', `/vaults/${vault.name}/switches`, 'x'.repeat(100_000));
    expect(answer.status).toBe(400);
  });
});
