// An issuer on this machine that goes down, comes back, and changes its keys; time that only the test moves.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, jwtVerify, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type IssuerKeys, makeIssuerKeys } from '../../../shared/jose/issuer-keys.ts';
import { CollectingLog, FakeClock } from '../../fakes/runtime.ts';

const MINUTE = 60;
const HOUR = 3600;
const DISCOVERY = '/.well-known/openid-configuration';

const pairs = new Map<string, { readonly privateKey: CryptoKey; readonly jwk: JWK }>();
beforeAll(async () => {
  for (const kid of ['one', 'two']) {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    pairs.set(kid, { privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } });
  }
});

let server: Server;
let issuer: string;
let asked: string[];
let keySet: readonly string[];
let keysAt: string;
/** In place of what it should answer. */
let answer: 'sound' | 'cut' | number | string;
let clock: FakeClock;
let log: CollectingLog;
let keys: IssuerKeys;

beforeEach(async () => {
  [asked, keySet, keysAt, answer] = [[], ['one'], '/keys', 'sound'];
  server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    if (answer === 'cut')
      return void response.writeHead(200, { 'content-length': '99' }).write('{', () => response.destroy());
    if (typeof answer === 'number')
      return void response.writeHead(answer, { location: '/elsewhere' }).end('{}');
    if (answer !== 'sound') return void response.end(answer);
    const documents: Record<string, object> = {
      [DISCOVERY]: { issuer, jwks_uri: `${issuer}${keysAt}` },
      [keysAt]: { keys: keySet.map((kid) => pairs.get(kid)?.jwk) },
    };
    const document = documents[path];
    response.writeHead(document === undefined ? 404 : 200).end(JSON.stringify(document ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  clock = new FakeClock();
  log = new CollectingLog();
  keys = makeIssuerKeys(issuer, null, { now: () => clock.now(), log });
});
const close = () =>
  new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
afterEach(close);
afterAll(() => pairs.clear());

/** Whose key is asked for: a token that names it is checked. */
async function verify(kid: string, by: IssuerKeys = keys): Promise<string> {
  const pair = pairs.get(kid);
  if (pair === undefined) throw new Error('no such key');
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid })
    .setSubject(kid)
    .sign(pair.privateKey);
  return (await jwtVerify(token, by.getKey)).payload.sub ?? '';
}

const UNAVAILABLE = { code: 'IssuerUnavailable', retryable: true };
const UNKNOWN = { code: 'ERR_JWKS_NO_MATCHING_KEY' };
const warnings = () => log.lines.filter(({ level }) => level === 'warn');

describe('while the issuer can not be asked', () => {
  test.each(['cut', 500, 503, 429, 'closed'] as const)(
    '(%s) its last keys are used for 24 hours',
    async (how) => {
      expect(await verify('one')).toBe('one');
      const fetchedAt = clock.now();
      if (how === 'closed') await close();
      else answer = how;
      clock.advance(10 * MINUTE - 1);
      expect(await keys.check()).toBeNull();
      expect(warnings()).toEqual([]);
      clock.advance(1);
      expect(await verify('one')).toBe('one');
      const usedUntil = new Date(fetchedAt.getTime() + 24 * HOUR * 1000);
      expect(warnings()).toMatchObject([{ fields: { issuer, fetchedAt, usedUntil } }]);
      expect(await keys.check()).toEqual({ fetchedAt, usedUntil });
      clock.advanceTo(new Date(usedUntil.getTime() - 1));
      expect(await verify('one')).toBe('one');
      clock.advanceTo(usedUntil);
      await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
      await expect(keys.check()).rejects.toMatchObject(UNAVAILABLE);
    },
  );

  test('it is asked again every 30 s, by one of all who come', async () => {
    await verify('one');
    answer = 503;
    clock.advance(10 * MINUTE);
    asked = [];
    await Promise.all(Array.from({ length: 10 }, () => verify('one')));
    expect(asked).toEqual(['/keys']);
    clock.advance(29.999);
    await verify('one');
    expect(asked).toHaveLength(1);
    clock.advance(0.001);
    await verify('one');
    expect(asked).toHaveLength(2);
    expect(warnings()).toHaveLength(2);
  });

  test('nobody can say whether a key that is not among them is a new one', async () => {
    await verify('one');
    answer = 503;
    clock.advance(MINUTE);
    asked = [];
    await expect(verify('two')).rejects.toMatchObject(UNAVAILABLE);
    await expect(verify('two')).rejects.toMatchObject(UNAVAILABLE);
    expect(asked).toEqual(['/keys']);
    expect(await verify('one')).toBe('one');
    clock.advance(10 * MINUTE);
    await expect(verify('two')).rejects.toMatchObject(UNAVAILABLE);
    expect(await verify('one')).toBe('one');
  });

  test('who has never had its keys lets nobody in, and asks each time', async () => {
    answer = 503;
    await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
    await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
    expect(asked).toEqual([DISCOVERY, DISCOVERY]);
    answer = 'sound';
    expect(await verify('one')).toBe('one');
  });
});

describe('when the issuer answers again', () => {
  const outage = async () => {
    await verify('one');
    answer = 503;
    clock.advance(HOUR);
    expect(await verify('one')).toBe('one');
    clock.advance(MINUTE);
    answer = 'sound';
  };

  test('a key that is gone is used no more, and a new one is', async () => {
    await outage();
    keySet = ['two'];
    await expect(verify('one')).rejects.toMatchObject(UNKNOWN);
    expect(await verify('two')).toBe('two');
    expect(await keys.check()).toBeNull();
    // Also not when it falls silent once more.
    answer = 503;
    clock.advance(HOUR);
    await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
    expect(await verify('two')).toBe('two');
  });

  test('no key at all is an answer too', async () => {
    await outage();
    keySet = [];
    await expect(verify('one')).rejects.toMatchObject(UNKNOWN);
  });

  test.each([404, 302, 403, 'not JSON', '{"keys":"none"}', '{"keys":[null]}', 'null', '{}'])(
    'but with no keys (%j), the old ones are not used, nor when it falls silent after',
    async (what) => {
      await outage();
      answer = what;
      await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
      await expect(keys.check()).rejects.toMatchObject(UNAVAILABLE);
      answer = 503;
      await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
      answer = 'sound';
      expect(await verify('one')).toBe('one');
      answer = 503;
      clock.advance(HOUR);
      expect(await verify('one')).toBe('one');
    },
  );

  test('the day begins anew', async () => {
    await outage();
    await verify('one');
    answer = 503;
    clock.advance(24 * HOUR - 1);
    expect(await verify('one')).toBe('one');
  });
});

test('a key that is withdrawn is refused after 10 minutes, and a new one accepted after 30 s', async () => {
  await verify('one');
  keySet = ['two'];
  clock.advance(29);
  await expect(verify('two')).rejects.toMatchObject(UNKNOWN);
  expect(await verify('one')).toBe('one');
  clock.advance(1);
  expect(await verify('two')).toBe('two');
  keySet = ['one'];
  clock.advance(10 * MINUTE);
  await expect(verify('two')).rejects.toMatchObject(UNKNOWN);
});

test('keys that have moved are found where they are now', async () => {
  await verify('one');
  keysAt = '/moved';
  clock.advance(10 * MINUTE);
  await expect(verify('one')).rejects.toMatchObject(UNAVAILABLE);
  expect(await verify('one')).toBe('one');
  expect(asked).toEqual([DISCOVERY, '/keys', '/keys', DISCOVERY, '/moved']);
});

test('keys whose place a setting names are looked for nowhere else', async () => {
  const set = makeIssuerKeys(issuer, `${issuer}/keys`);
  expect(await verify('one', set)).toBe('one');
  answer = 404;
  expect(await verify('one', set)).toBe('one');
  expect(asked).toEqual(['/keys']);
});
