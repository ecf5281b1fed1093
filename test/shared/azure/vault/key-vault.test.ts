// The adapter against answers that no well-behaved vault gives.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { makeLocalCertificates } from '../../../../local/certificates.ts';
import type { KekId } from '../../../../shared/domain/key-id.ts';
import { faultOf, unwrapAnswer } from '../../../contracts/key-vault.ts';
import { type Script, type ScriptedAnswer, token, useScriptedVaults } from './scripted-vault.ts';

const vaults = useScriptedVaults();

const V1 = '1'.repeat(32);
const V2 = '2'.repeat(32);
const SECRET = Buffer.alloc(32, 7);
const CIPHERTEXT = Buffer.alloc(256, 9).toString('base64url');
const CREATED = 1_785_000_000;

const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });

const kid = (kek: KekId, version = V1) => `https://${kek.vault}/keys/${kek.name}/${version}`;
const item = (kek: KekId, version: string, attributes: object = {}) => ({
  kid: kid(kek, version),
  attributes: { enabled: true, created: CREATED, updated: CREATED, ...attributes },
});
const bundle = (kek: KekId, version = V1, key: object = {}, attributes: object = {}) => ({
  key: { kid: kid(kek, version), kty: 'RSA', key_ops: ['unwrapKey'], n: jwk.n, e: jwk.e, ...key },
  attributes: { enabled: true, created: CREATED, updated: CREATED, ...attributes },
});
const unwrapped = (kek: KekId, version = V1, value = SECRET) => ({
  body: { kid: kid(kek, version), value: value.toString('base64url') },
});

/** The script needs to know the vault's own name, which is known only once it listens. */
async function open(script: (kek: KekId) => Script, options: Parameters<typeof vaults.open>[1] = {}) {
  let kek: KekId | undefined;
  const opened = await vaults.open((request, response) => {
    if (kek === undefined) throw new Error('asked too early');
    return script(kek)(request, response);
  }, options);
  kek = opened.kek;
  const probe = (version = V1) => opened.vault.unwrap(opened.kek, version, CIPHERTEXT, 'probe');
  return { ...opened, probe };
}

describe('an answer about another key', () => {
  test.each([
    ['version', (kek: KekId) => kid(kek, V2)],
    ['name', (kek: KekId) => kid({ ...kek, name: 'other' })],
    ['vault', (kek: KekId) => kid({ ...kek, vault: 'other.vault.azure.net' })],
    ['version left out', (kek: KekId) => kid(kek).replace(`/${V1}`, '')],
    ['nonsense', () => 'nonsense'],
    ['nothing', () => undefined],
  ])('is refused by the kid of an unwrap: another %s', async (_, makeKid) => {
    const { probe } = await open((kek) => () => ({
      body: { kid: makeKid(kek), value: SECRET.toString('base64url') },
    }));
    expect(faultOf(await probe())).toMatchObject({ kind: 'answer' });
  });

  test('is taken if it differs by case alone', async () => {
    const { probe } = await open((kek) => () => ({
      body: { kid: kid(kek).replace('/keys/orders', '/keys/Orders'), value: SECRET.toString('base64url') },
    }));
    expect(Buffer.from(unwrapAnswer(await probe()))).toEqual(SECRET);
  });

  test('is refused when a version, or the versions, are read', async () => {
    const { kek, vault } = await open((own) => ({ path }) => ({
      body: path.endsWith('/versions') ? { value: [item({ ...own, name: 'other' }, V1)] } : bundle(own, V2),
    }));
    expect(faultOf(await vault.describeVersion(kek, V1))).toMatchObject({ kind: 'answer' });
    expect(faultOf(await vault.describe(kek))).toMatchObject({ kind: 'answer' });
  });
});

describe('an answer that makes no sense', () => {
  test.each<[string, ScriptedAnswer]>([
    ['HTML', { body: '<html>', headers: { 'Content-Type': 'text/html' } }],
    ['HTML that claims to be JSON', { body: '<html>' }],
    ['nothing', {}],
    ['another shape', { body: { hello: 'world' } }],
    ['null', { body: 'null' }],
    ['JSON cut short', { body: `{"kid":"https://x/keys/k/${V1}","value":"${SECRET.toString('base64url')}` }],
  ])('%s is a fault without a word of it', async (_, answer) => {
    const { kek, vault, probe } = await open(() => () => answer);
    const answers = [await probe(), await vault.describeVersion(kek, V1), await vault.describe(kek)];
    for (const given of answers) expect(faultOf(given)).toMatchObject({ kind: 'answer' });
    expect(JSON.stringify(answers)).not.toContain(SECRET.toString('base64url'));
  });

  test.each<[string, object, object]>([
    ['a key without a type', { kty: undefined }, {}],
    ['an RSA key without a modulus', { n: undefined }, {}],
    ['no enabled', {}, { enabled: undefined }],
    ['no creation time', {}, { created: undefined }],
    ['a date that is none', {}, { exp: 'soon' }],
  ])('%s is a fault', async (_, key, attributes) => {
    const { kek, vault } = await open((own) => () => ({ body: bundle(own, V1, key, attributes) }));
    expect(faultOf(await vault.describeVersion(kek, V1))).toMatchObject({ kind: 'answer' });
  });
});

describe('a key that nothing can be wrapped under', () => {
  test.each<[string, object, object]>([
    ['an EC key', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, { keyType: 'EC', bits: null }],
    ['a symmetric key', { kty: 'oct-HSM' }, { keyType: 'oct-HSM', bits: null }],
    [
      'an RSA key of 1,024 bits',
      generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
      { keyType: 'RSA', bits: 1024 },
    ],
  ])('%s is described, without a public half', async (_, key, expected) => {
    const { kek, vault } = await open((own) => () => ({ body: bundle(own, V1, key) }));
    const described = unwrapAnswer(await vault.describeVersion(kek, V1));
    expect(described).toMatchObject({ ...expected, publicKey: null, operations: ['unwrapKey'] });
  });

  test.each<[string, object, readonly (boolean | number | null)[]]>([
    ['kept and protected', { recoveryLevel: 'Recoverable', recoverableDays: 90 }, [true, true, 90]],
    ['kept for long', { recoveryLevel: 'Recoverable+ProtectedSubscription' }, [true, true, null]],
    ['kept for a while', { recoveryLevel: 'CustomizedRecoverable', recoverableDays: 7 }, [true, true, 7]],
    ['kept, and may be purged', { recoveryLevel: 'Recoverable+Purgeable' }, [true, false, null]],
    ['gone at once', { recoveryLevel: 'Purgeable' }, [false, false, null]],
    ['nothing said', {}, [false, false, null]],
  ])('and what becomes of a deleted one: %s', async (_, attributes, [recoverable, purgeProtected, days]) => {
    const { kek, vault } = await open((own) => () => ({ body: bundle(own, V1, {}, attributes) }));
    const { recovery } = unwrapAnswer(await vault.describeVersion(kek, V1));
    expect(recovery).toEqual({ recoverable, purgeProtected, days });
  });
});

describe('an error without the usual body', () => {
  test.each<[string, ScriptedAnswer, object]>([
    ['503 without a body', { status: 503 }, { status: 503, code: null }],
    ['502 in HTML', { status: 502, body: '<html>' }, { status: 502, code: null }],
    ['401', { status: 401 }, { status: 401 }],
    [
      '429 with Retry-After',
      { status: 429, headers: { 'Retry-After': '7' } },
      { status: 429, retryAfterSeconds: 7 },
    ],
    ['429 without', { status: 429 }, { status: 429, retryAfterSeconds: null }],
    ['a redirect', { status: 307, headers: { Location: 'https://127.0.0.1:1/' } }, { status: 307 }],
  ])('%s keeps its status', async (_, answer, expected) => {
    const { kek, vault, probe } = await open(() => () => answer);
    const answers = [await probe(), await vault.describeVersion(kek, V1), await vault.describe(kek)];
    for (const given of answers) {
      expect(faultOf(given)).toMatchObject({ kind: 'http', ...expected });
      expect(given.vaultNow).toBeInstanceOf(Date);
    }
  });

  test('vaultNow is the Date header', async () => {
    const date = 'Tue, 24 Nov 2026 10:00:00 GMT';
    const { probe } = await open(() => () => ({ status: 403, headers: { Date: date } }));
    expect((await probe()).vaultNow).toEqual(new Date(date));
  });
});

describe('what is sent', () => {
  test('no POST is empty, however many start at once on a fresh client', async () => {
    const { vault, kek, requests } = await open((own) => () => unwrapped(own));
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        vault.unwrap(kek, V1, CIPHERTEXT, index % 2 === 0 ? 'rewrap' : 'probe'),
      ),
    );
    expect(answers.every((answer) => answer.ok)).toBe(true);
    const posts = requests.filter(({ method }) => method === 'POST');
    expect(posts).toHaveLength(40);
    for (const { path, body } of posts) {
      expect(path).toBe(`/keys/orders/${V1}/unwrapkey`);
      expect(JSON.parse(body)).toEqual({ alg: 'RSA-OAEP-256', value: CIPHERTEXT });
    }
  });

  test('a probe is one request, and never repeated', async () => {
    const { probe, requests } = await open(() => () => ({ status: 503 }));
    await probe();
    expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      `POST /keys/orders/${V1}/unwrapkey`,
    ]);
  });

  test('a read is repeated once after a 5xx', async () => {
    const answers: ScriptedAnswer[] = [{ status: 503 }];
    const { vault, kek, requests } = await open((own) => () => answers.pop() ?? { body: bundle(own) });
    unwrapAnswer(await vault.describeVersion(kek, V1));
    expect(requests).toHaveLength(2);
  });

  test('a rewrap waits a 429 out', async () => {
    const answers: ScriptedAnswer[] = [{ status: 429, headers: { 'retry-after-ms': '20' } }];
    const { vault, kek } = await open((own) => ({ method }) => {
      if (method === 'GET') return { body: bundle(own) };
      return answers.pop() ?? unwrapped(own);
    });
    const answer = await vault.unwrap(kek, V1, CIPHERTEXT, 'rewrap');
    expect(Buffer.from(unwrapAnswer(answer))).toEqual(SECRET);
  });

  test('a rewrap needs no right to read the key', async () => {
    const { vault, kek, requests } = await open((own) => ({ method }) => {
      return method === 'GET' ? { status: 403 } : unwrapped(own);
    });
    for (let served = 0; served < 3; served += 1) {
      unwrapAnswer(await vault.unwrap(kek, V1, CIPHERTEXT, 'rewrap'));
    }
    expect(requests.filter(({ method }) => method === 'GET')).toHaveLength(1);
  });

  test('no redirect is followed', async () => {
    const { probe, requests } = await open(() => () => ({
      status: 307,
      headers: { Location: '/elsewhere' },
    }));
    expect(faultOf(await probe())).toMatchObject({ status: 307 });
    expect(requests).toHaveLength(1);
  });

  test('no page is fetched from another host', async () => {
    const elsewhere = await open(() => () => ({ body: { value: [] } }));
    const { vault, kek } = await open((own) => () => ({
      body: { value: [item(own, V1)], nextLink: `${elsewhere.url}/keys/orders/versions?api-version=7.4` },
    }));
    expect(faultOf(await vault.describe(kek))).toMatchObject({ kind: 'answer' });
    expect(elsewhere.requests).toEqual([]);
  });

  test('with verification on, a challenge for another domain is refused before a token is sent', async () => {
    const { probe, requests } = await open((own) => () => unwrapped(own), { verifyChallenge: true });
    expect(faultOf(await probe())).toMatchObject({ kind: 'answer' });
    expect(requests).toEqual([]);
  });
});

describe('what takes too long', () => {
  const stalls: readonly [string, Script][] = [
    ['an answer that never comes', () => undefined],
    [
      'an answer that stops in the middle',
      (_, response) => {
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
        response.write('{"kid":');
        return undefined;
      },
    ],
  ];
  test.each(stalls)('%s is a timeout', async (_, script) => {
    const { kek, vault, probe } = await open(() => script, { probeTimeoutMs: 200 });
    const answers = await Promise.all([probe(), vault.describeVersion(kek, V1), vault.describe(kek)]);
    for (const given of answers) {
      expect(faultOf(given)).toEqual({ kind: 'network', cause: 'timeout' });
    }
  });

  test('so is a second page that never comes', async () => {
    const { kek, vault, url } = await open(
      (own) =>
        ({ path }) =>
          path.endsWith('/more')
            ? undefined
            : { body: { value: [item(own, V1)], nextLink: `https://${own.vault}/more?api-version=1` } },
      { probeTimeoutMs: 300 },
    );
    expect(url).toContain(kek.vault);
    expect(faultOf(await vault.describe(kek))).toEqual({ kind: 'network', cause: 'timeout' });
  });

  test('a connection that ends in the middle of an answer is a reset', async () => {
    const { probe } = await open(() => (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
      response.write('{"kid":');
      setTimeout(() => response.destroy(), 20);
      return undefined;
    });
    expect(faultOf(await probe())).toEqual({ kind: 'network', cause: 'reset' });
  });

  test('one stuck first call holds up the others no longer than itself', async () => {
    let stuck = true;
    const { probe } = await open((own) => () => (stuck ? undefined : unwrapped(own)), {
      probeTimeoutMs: 300,
    });
    expect(faultOf(await probe())).toMatchObject({ cause: 'timeout' });
    stuck = false;
    expect((await probe()).ok).toBe(true);
  });

  test('eight probes at most are in flight, and rewraps hold none up', async () => {
    let inFlight = 0;
    let most = 0;
    const release: (() => void)[] = [];
    const { vault, kek, probe } = await open((own) => async ({ method, path }) => {
      if (method === 'GET') return { body: bundle(own) };
      if (path.includes(V2)) return new Promise<ScriptedAnswer>(() => {});
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise<void>((resolve) => release.push(resolve));
      inFlight -= 1;
      return unwrapped(own);
    });
    const rewraps = Array.from({ length: 40 }, () => vault.unwrap(kek, V2, CIPHERTEXT, 'rewrap'));
    const first = probe();
    while (release.length === 0) await new Promise(setImmediate);
    release.pop()?.();
    unwrapAnswer(await first);
    const probes = Promise.all(Array.from({ length: 20 }, () => probe()));
    let done = false;
    void probes.then(() => {
      done = true;
    });
    while (!done) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      release.shift()?.();
    }
    expect((await probes).every((answer) => answer.ok)).toBe(true);
    expect(most).toBe(8);
    void rewraps;
  });
});

describe('a release', () => {
  test('waits for no rotation and no probe, and is tried once more after a reset or a 5xx', async () => {
    let failures = 1;
    const { vault, kek } = await open((own) => async ({ method, path }) => {
      if (method === 'GET') return { body: bundle(own) };
      if (path.includes(V2)) return new Promise<ScriptedAnswer>(() => {});
      failures -= 1;
      return failures >= 0 ? { status: 503, body: {} } : unwrapped(own);
    });
    const stuck = [
      ...Array.from({ length: 40 }, () => vault.unwrap(kek, V2, CIPHERTEXT, 'rewrap')),
      ...Array.from({ length: 9 }, () => vault.unwrap(kek, V2, CIPHERTEXT, 'probe')),
    ];
    unwrapAnswer(await vault.unwrap(kek, V1, CIPHERTEXT, 'release'));
    expect(failures).toBe(-1);
    void stuck;
  });
});

describe('no token', () => {
  test('is of the identity, and passes', async () => {
    let fails = true;
    const { probe, requests } = await open((own) => () => unwrapped(own), {
      credential: {
        async getToken() {
          if (fails) throw Object.assign(new Error('no identity'), { name: 'CredentialUnavailableError' });
          return token();
        },
      },
    });
    expect(faultOf(await probe())).toEqual({ kind: 'identity' });
    expect(requests).toEqual([]);
    fails = false;
    expect((await probe()).ok).toBe(true);
  });

  test('in time, too', async () => {
    const { probe } = await open((own) => () => unwrapped(own), {
      credential: { getToken: () => new Promise<never>(() => {}) },
      probeTimeoutMs: 300,
    });
    expect(faultOf(await probe())).toEqual({ kind: 'identity' });
  });
});

describe('a name that does not resolve', () => {
  test.each([
    ['other names do', async () => true, 'vault-name'],
    ['others neither', async () => false, 'dns'],
    ['nobody can say', () => Promise.reject(new Error('no')), 'dns'],
  ])('while %s', async (_, resolveOtherName, cause) => {
    const { vault } = await open(() => () => ({}), { resolveOtherName });
    const kek = { vault: 'no-such-vault.invalid', name: 'orders' };
    expect(faultOf(await vault.unwrap(kek, V1, CIPHERTEXT, 'probe'))).toEqual({ kind: 'network', cause });
    expect(await vault.askDeleted(kek)).toBe('unsaid');
  });
});

test('a certificate that is not trusted is of TLS', async () => {
  const { vault, kek } = await open((own) => () => unwrapped(own), {
    caPem: (await makeLocalCertificates()).caPem,
  });
  const answer = await vault.unwrap(kek, V1, CIPHERTEXT, 'probe');
  expect(faultOf(answer)).toEqual({ kind: 'network', cause: 'tls' });
});

describe('versions made in one second', () => {
  const describeWith = async (latest: (kek: KekId) => ScriptedAnswer, disabled: readonly string[] = []) => {
    const { vault, kek } = await open((own) => ({ path }) => {
      if (!path.endsWith('/versions')) return latest(own);
      const value = [V1, V2].map((version) => item(own, version, { enabled: !disabled.includes(version) }));
      return { body: { value } };
    });
    return unwrapAnswer(await vault.describe(kek));
  };

  test('the vault says which is the newest', async () => {
    expect((await describeWith((kek) => ({ body: bundle(kek, V1) }))).newest).toBe(V1);
  });

  test('one that was made after the list was read is added to it', async () => {
    const V3 = '3'.repeat(32);
    const description = await describeWith((kek) => ({
      body: bundle(kek, V3, {}, { created: CREATED + 1 }),
    }));
    expect(description.newest).toBe(V3);
    expect(description.versions.map(({ version }) => version)).toEqual([V1, V2, V3]);
  });

  test('a vault that hides the latest because it is disabled says by that which one it is', async () => {
    const hidden = {
      status: 403,
      body: { error: { code: 'Forbidden', innererror: { code: 'KeyDisabled' } } },
    };
    expect((await describeWith(() => hidden, [V1])).newest).toBe(V1);
  });

  test('where it refuses to say, the answer is the same each time', async () => {
    expect((await describeWith(() => ({ status: 403 }))).newest).toBe(V2);
  });
});

test('an empty list is settled by asking for the key', async () => {
  const gone = await open(
    () =>
      ({ path }) =>
        path.endsWith('/versions')
          ? { body: { value: [] } }
          : { status: 404, body: { error: { code: 'KeyNotFound' } } },
  );
  expect(faultOf(await gone.vault.describe(gone.kek))).toMatchObject({ status: 404, code: 'KeyNotFound' });
  const there = await open((own) => ({ path }) => ({
    body: path.endsWith('/versions') ? { value: [] } : bundle(own, V2),
  }));
  expect(unwrapAnswer(await there.vault.describe(there.kek))).toMatchObject({ newest: V2 });
});

test('answers are counted by what was asked and how it went, and nothing of a DEK is told', async () => {
  const { probe, meter } = await open((own) => () => unwrapped(own));
  await probe();
  expect(meter.counts).toEqual([
    { name: 'pgcmk.vault.calls', amount: 1, attributes: { kind: 'probe', outcome: 'ok' } },
  ]);
  const text = JSON.stringify(meter.counts);
  for (const secret of [SECRET.toString('base64url'), CIPHERTEXT]) expect(text).not.toContain(secret);
});
