import { once } from 'node:events';
import { request } from 'node:https';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { startVaultEmulator } from '../../../local/key-vault/vault-emulator.ts';
import { DAY, refusalOf, useEmulator } from './emulator-fixture.ts';

const { addVault, emulator, keyClient, cryptoClient, send } = useEmulator();

const path = '/keys/k1?api-version=7.4';

async function vaultWithKey() {
  const vault = await addVault();
  const client = keyClient(vault);
  const key = await client.createKey('k1', 'RSA');
  return { vault, client, key };
}

describe('outages', () => {
  test.each([
    ['error500', 500],
    ['error503', 503],
  ] as const)('%s', async (outage, status) => {
    const { vault, client } = await vaultWithKey();
    await vault.setSwitches({ outage });
    expect(await refusalOf(client.getKey('k1'))).toMatchObject({ status });
    expect(vault.counters()).toMatchObject({ outage: 1 });
    await vault.setSwitches({ outage: 'none' });
    await client.getKey('k1');
  });

  test('reset ends the connection', async () => {
    const { vault, client } = await vaultWithKey();
    await vault.setSwitches({ outage: 'reset' });
    await expect(client.getKey('k1')).rejects.toMatchObject({ code: 'ECONNRESET' });
    await vault.setSwitches({ outage: 'none' });
    await client.getKey('k1');
  });

  test('timeout takes the request and never answers', async () => {
    const { vault, client } = await vaultWithKey();
    await vault.setSwitches({ outage: 'timeout' });
    const ending = new AbortController();
    const hanging = client.getKey('k1', { abortSignal: ending.signal });
    await expect.poll(() => vault.counters()['outage']).toBe(1);
    ending.abort();
    await expect(hanging).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('garbage is a 200 that is no answer', async () => {
    const { vault, client } = await vaultWithKey();
    await vault.setSwitches({ outage: 'garbage' });
    const answer = await send(vault, path);
    expect(answer.status).toBe(200);
    expect(() => JSON.parse(answer.text)).toThrow();
    await expect(client.getKey('k1')).rejects.toThrow();
  });

  test('wrongKey answers about another key', async () => {
    const { vault, client, key } = await vaultWithKey();
    const { result } = await cryptoClient(key).wrapKey('RSA-OAEP-256', Buffer.from('dek'));
    await vault.setSwitches({ outage: 'wrongKey' });
    const got = await client.getKey('k1');
    expect(got.name).not.toBe('k1');
    expect(got.properties.version).not.toBe(key.properties.version);
    const body = { alg: 'RSA-OAEP-256', value: Buffer.from(result).toString('base64url') };
    const answer = await send(vault, '/keys/k1//unwrapkey?api-version=7.4', { method: 'POST', body });
    expect(answer.json).toMatchObject({ kid: got.id, value: Buffer.from('dek').toString('base64url') });
  });

  test('refuse stops listening, and the same origin comes back', async () => {
    const { vault, client } = await vaultWithKey();
    await vault.setSwitches({ outage: 'refuse' });
    await expect(client.getKey('k1')).rejects.toThrow(); // the kept connection is reset first
    await expect(client.getKey('k1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await vault.setSwitches({ latencyMs: 0 });
    await expect(client.getKey('k1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await vault.setSwitches({ outage: 'none' });
    expect((await client.getKey('k1')).properties.vaultUrl).toBe(vault.url);
  });

  test('switching to and fro at once ends as told last', async () => {
    const { vault, client } = await vaultWithKey();
    const outages = ['refuse', 'none', 'refuse', 'none'] as const;
    await Promise.all(outages.map((outage) => vault.setSwitches({ outage })));
    await client.getKey('k1');
  });

  test('a vault can start in one', async () => {
    const vault = await addVault({ switches: { outage: 'refuse' } });
    await expect(send(vault, path)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('one vault broken leaves the others alone', async () => {
    const [broken, well] = [await vaultWithKey(), await vaultWithKey()];
    await broken.vault.setSwitches({ outage: 'error500' });
    expect((await send(well.vault, path)).status).toBe(200);
  });
});

describe('latency and load', () => {
  test('latency holds answers back, and is no outage', async () => {
    const { vault } = await vaultWithKey();
    await vault.setSwitches({ latencyMs: 5, latencyJitterMs: 5 });
    expect((await send(vault, path)).status).toBe(200);
  });

  test.each([true, false])('a throttled call is 429, with Retry-After: %s', async (retryAfter) => {
    const { vault } = await vaultWithKey();
    await vault.setSwitches({ throttle: 3, retryAfter });
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(vault, path)));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 429, 429]);
    const throttled = answers.find(({ status }) => status === 429);
    expect(throttled?.json).toMatchObject({ error: { code: 'Throttled' } });
    expect(throttled?.text).toContain('VaultRequestTypeLimitReached');
    expect(throttled?.headers['retry-after']).toEqual(
      retryAfter ? expect.stringMatching(/^\d+$/) : undefined,
    );
    expect(vault.counters()).toMatchObject({ throttled: 2, get: 3 });
  });

  test('the SDK retries a 429 only if it is told when', async () => {
    const { vault, client } = await vaultWithKey();
    await vault.setSwitches({ throttle: 1 });
    await client.getKey('k1');
    expect(await refusalOf(client.getKey('k1'))).toEqual({ status: 429, code: 'Throttled', inner: null });
  });

  test('published limits differ by key; making keys is counted apart', async () => {
    const vault = await addVault({ switches: { throttle: 'published' } });
    await vault.createKey('k1', { kty: 'RSA-HSM', bits: 4096 });
    const value = Buffer.from('dek').toString('base64url');
    const wrap = { method: 'POST', body: { alg: 'RSA-OAEP-256', value } };
    const answers = await Promise.all(
      Array.from({ length: 255 }, () => send(vault, '/keys/k1//wrapkey?api-version=7.4', wrap)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(250);
    expect(vault.counters()).toEqual({ wrapkey: 250, throttled: 5 });
    const create = { method: 'POST', body: { kty: 'RSA' } };
    expect((await send(vault, '/keys/k2/create?api-version=7.4', create)).status).toBe(200);
  });
});

describe('the clock', () => {
  test('every answer carries the Date of the vault, refusals too', async () => {
    const vault = await addVault({ clockOffsetSeconds: 400 * DAY });
    const year = vault.now().getUTCFullYear();
    expect(year).toBe(new Date(Date.now() + 400 * DAY * 1000).getUTCFullYear());
    await vault.createKey('k1');
    const dates = async () => {
      const token = await send(vault, path, { token: null });
      const got = await send(vault, path);
      const missing = await send(vault, '/keys/k2?api-version=7.4');
      return [token, got, missing].map(({ headers }) => new Date(String(headers['date'])).getUTCFullYear());
    };
    expect(await dates()).toEqual([year, year, year]);
    await vault.setSwitches({ outage: 'error503' });
    expect(await dates()).toEqual([year, year, year]);
    await vault.setSwitches({ outage: 'garbage' });
    expect(await dates()).toEqual([year, year, year]);
  });

  test('created and updated are told by it', async () => {
    const { vault, client } = await vaultWithKey();
    await vault.setClockOffset(DAY);
    await client.updateKeyProperties('k1', { enabled: true });
    const { createdOn, updatedOn } = (await client.getKey('k1')).properties;
    expect((updatedOn?.getTime() ?? 0) - (createdOn?.getTime() ?? 0)).toBeGreaterThanOrEqual(DAY * 1000);
  });
});

describe('the emulator', () => {
  test('closing ends connections that are kept alive and requests that hang', async () => {
    const own = await startVaultEmulator();
    const vault = await own.addVault('vault-1', { switches: { outage: 'timeout' } });
    const hanging = request(vault.url, { ca: own.caPem });
    hanging.end();
    const failed = expect(once(hanging, 'response')).rejects.toThrow();
    await expect.poll(() => vault.counters()['outage']).toBe(1);
    await own.close();
    await failed;
    await expect(fetch(own.controlUrl)).rejects.toThrow();
  });

  test('closing waits for no client that never finished its handshake', async () => {
    const own = await startVaultEmulator();
    const vault = await own.addVault('vault-1');
    const socket = connect(Number(new URL(vault.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => {});
    const closed = once(socket, 'close');
    await own.close();
    await closed;
  });

  test('tells of each request', async () => {
    const told: unknown[] = [];
    await using own = await startVaultEmulator({
      onRequest: (vault, { path, status }) => told.push([vault, path, status]),
    });
    const vault = await own.addVault('vault-1');
    const sent = request(`${vault.url}/keys/k1/x?api-version=7.4`, { ca: own.caPem });
    sent.end();
    await once(sent, 'response');
    expect(told).toEqual([['vault-1', '/keys/k1/x', 401]]);
  });

  test('refuses names that are taken, or none', async () => {
    await emulator().addVault('taken-name');
    await expect(emulator().addVault('Taken-Name')).rejects.toThrow(RangeError);
    await expect(emulator().addVault('no_name')).rejects.toThrow(RangeError);
    expect(() => emulator().vault('unknown')).toThrow(RangeError);
    expect(emulator().vault('TAKEN-NAME').name).toBe('taken-name');
  });

  test('refuses switches that do not exist, and sets nothing then', async () => {
    const vault = await addVault();
    const change: object = { latencyMs: 5, outage: 'flood' };
    await expect(vault.setSwitches(change)).rejects.toThrow();
    expect(vault.switches().latencyMs).toBe(0);
  });
});
