import { CompactEncrypt, importJWK, type JWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { ApiProblem, type RequestOptions } from '../../../cli/client.ts';
import { askDek } from '../../../cli/dek/ask-dek.ts';
import { Dek } from '../../../shared/domain/dek.ts';
import { makeDekSealer } from '../../../shared/jose/seal-dek.ts';
import { FakeHost } from './fake-host.ts';

const SERVER = 'orders-1';
const BYTES = Uint8Array.from({ length: 32 }, (_, index) => index + 1);
const RELEASED = new Date('2030-01-01T00:00:00.000Z');
const EXPIRES = new Date('2030-01-01T00:05:00.000Z');

const dekIdOf = (bytes: Uint8Array) => {
  using dek = new Dek(Uint8Array.from(bytes));
  return dek.id;
};
const DEK_ID = dekIdOf(BYTES);
const OTHER_ID = dekIdOf(new Uint8Array(32));
const VERSION = '1'.repeat(32);

const bodyOf = (jwe: string, change: object = {}) => ({
  serverId: SERVER,
  dekId: DEK_ID,
  jwe,
  leaseExpiresOn: EXPIRES.toISOString(),
  keyId: `https://contoso.vault.azure.net/keys/fleet/${VERSION}`,
  wrappedDek: {
    kekVersion: VERSION,
    algorithm: 'RSA-OAEP-256',
    format: 'bound-1',
    dekId: DEK_ID,
    ciphertext: 'A'.repeat(342),
  },
  ...change,
});

async function seal(publicKey: unknown, change: object = {}, bytes = BYTES): Promise<string> {
  using dek = new Dek(Uint8Array.from(bytes));
  const context = {
    serverId: SERVER,
    dekId: DEK_ID,
    releasedAt: RELEASED,
    leaseExpiresOn: EXPIRES,
    ...change,
  };
  return await makeDekSealer().seal(dek, publicKey, context);
}

/** As somebody would who can read the request and is not the app. */
async function forge(publicKey: unknown, header: object, bytes = BYTES): Promise<string> {
  return new CompactEncrypt(bytes)
    .setProtectedHeader({
      alg: 'ECDH-ES',
      enc: 'A256GCM',
      typ: 'pg-cmk-dek+jwe',
      sub: SERVER,
      dekId: DEK_ID,
      iat: RELEASED.getTime() / 1000,
      exp: EXPIRES.getTime() / 1000,
      ...header,
    })
    .encrypt(await importJWK(publicKey as JWK, 'ECDH-ES'));
}

const publicKeyOf = (options: RequestOptions | undefined): unknown => {
  const { body } = options ?? {};
  return typeof body === 'object' && body !== null && 'publicKey' in body ? body.publicKey : undefined;
};

/** The app, answering as `answer` says. */
const ask = (answer: (publicKey: unknown) => Promise<unknown>, host = new FakeHost()) => {
  const requests: { method: string; path: string; publicKey: unknown }[] = [];
  const asking = askDek(
    {
      request: async (method, path, options) => {
        const publicKey = publicKeyOf(options);
        requests.push({ method, path, publicKey });
        return { status: 200, etag: null, headers: new Headers(), body: await answer(publicKey) };
      },
    },
    host,
    SERVER,
  );
  return { asking, requests, host };
};

describe('askDek', () => {
  test('gives the DEK and the lease, counted from before the request was sent', async () => {
    const host = new FakeHost();
    const before = host.monotonicMs();
    const { asking, requests } = ask(async (publicKey) => {
      await host.advance(7);
      return bodyOf(await seal(publicKey));
    }, host);
    const { dek, lease } = await asking;
    expect(dek.read((bytes) => Uint8Array.from(bytes))).toEqual(BYTES);
    expect(lease).toMatchObject({
      dekId: DEK_ID,
      beganAtMs: before,
      endsAtMs: before + 300_000,
      expiresOn: EXPIRES.toISOString(),
      keyId: `https://contoso.vault.azure.net/keys/fleet/${VERSION}`,
      wrappedDek: { kekVersion: VERSION },
    });
    expect(requests).toMatchObject([
      { method: 'POST', path: '/api/servers/orders-1/dek', publicKey: { kty: 'OKP', crv: 'X25519' } },
    ]);
    expect(requests[0]?.publicKey).not.toHaveProperty('d');
  });

  test('makes another key pair for each request', async () => {
    const seen: unknown[] = [];
    for (let one = 0; one < 2; one += 1) {
      const { dek } = await ask(async (publicKey) => {
        seen.push(publicKey);
        return bodyOf(await seal(publicKey));
      }).asking;
      dek[Symbol.dispose]();
    }
    expect(seen[0]).not.toEqual(seen[1]);
  });

  test('takes one that is sealed by hand with nothing amiss', async () => {
    const { dek } = await ask(async (publicKey) => bodyOf(await forge(publicKey, {}))).asking;
    expect(dek.id).toBe(DEK_ID);
    dek[Symbol.dispose]();
  });

  test.each<[string, (publicKey: unknown) => Promise<unknown>]>([
    ['sealed for another server', async (key) => bodyOf(await seal(key, { serverId: 'orders-2' }))],
    ['an answer about another server', async (key) => bodyOf(await seal(key), { serverId: 'orders-2' })],
    ['sealed as another DEK', async (key) => bodyOf(await seal(key, { dekId: OTHER_ID }))],
    ['an answer that names another DEK', async (key) => bodyOf(await seal(key), { dekId: OTHER_ID })],
    [
      'a wrapping of another DEK beside it',
      async (key) => bodyOf(await seal(key), { wrappedDek: { ...bodyOf('').wrappedDek, dekId: OTHER_ID } }),
    ],
    ['bytes that are not those of its id', async (key) => bodyOf(await seal(key, {}, new Uint8Array(32)))],
    ['bytes of another length', async (key) => bodyOf(await forge(key, {}, new Uint8Array(16)))],
    [
      'a longer lease in the answer',
      async (key) => bodyOf(await seal(key), { leaseExpiresOn: '2030-01-01T01:00:00.000Z' }),
    ],
    ['a longer lease in the header', async (key) => bodyOf(await forge(key, { exp: 2_000_000_000 }))],
    [
      'a lease that ends as it begins',
      async (key) => bodyOf(await forge(key, { iat: EXPIRES.getTime() / 1000 })),
    ],
    ['no lease in the header', async (key) => bodyOf(await forge(key, { exp: undefined }))],
    ['another kind of JWE', async (key) => bodyOf(await forge(key, { typ: 'JWT' }))],
    ['another encryption', async (key) => bodyOf(await forge(key, { enc: 'A128GCM' }))],
    ['another agreement', async (key) => bodyOf(await forge(key, { alg: 'ECDH-ES+A256KW' }))],
    [
      'one sealed to the key of another request',
      async () => {
        const { requests, asking } = ask(async () => ({}));
        await asking.catch(() => undefined);
        return bodyOf(await seal(requests[0]?.publicKey));
      },
    ],
    [
      'a header that was changed',
      async (key) => {
        const [head = '', ...rest] = (await seal(key)).split('.');
        const header = JSON.parse(Buffer.from(head, 'base64url').toString());
        const changed = Buffer.from(JSON.stringify({ ...header, exp: header.exp })).toString('base64');
        return bodyOf([changed.replace(/=*$/, 'A'), ...rest].join('.'));
      },
    ],
    ['no JWE at all', async () => bodyOf('nonsense')],
  ])('does not trust %s', async (_, answer) => {
    await expect(ask(answer).asking).rejects.toMatchObject({ code: 'DekNotTrusted', exitCode: 1 });
  });

  test('an answer that is none is not understood', async () => {
    for (const body of [undefined, {}, bodyOf('x', { dekId: 7 })])
      await expect(ask(async () => body).asking).rejects.toMatchObject({ code: 'AnswerNotUnderstood' });
  });

  test('what the app refuses comes through as it is', async () => {
    const problem = { type: 'x', title: 'x', status: 409, code: 'DekRefused', detail: 'no', remedy: 'wait' };
    const { asking } = ask(async () => {
      throw new ApiProblem(problem);
    });
    await expect(asking).rejects.toMatchObject({ code: 'DekRefused', exitCode: 3 });
  });
});
