import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeChainCheck } from '../../cli/verify/check-chains.ts';
import type { AuditEntry } from '../../shared/api/audit.ts';
import { chainRecord } from '../../shared/domain/audit.ts';
import { makeStatementSigner } from '../../shared/jose/sign-statement.ts';
import { makeChain, toLines } from './chains.ts';
import { NOW, run } from './run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pg-cmk-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const CHAIN = 'contoso.vault.azure.net|orders';
const sound = makeChain(CHAIN, 6);

let files = 0;
async function write(text: string): Promise<string> {
  files += 1;
  const file = join(folder, `file-${files}`);
  await writeFile(file, text);
  return file;
}

const swapped = (entries: readonly AuditEntry[], at: number): readonly AuditEntry[] =>
  entries.toSpliced(at, 2, ...entries.slice(at, at + 2).toReversed());

const changed = (at: number, change: (entry: AuditEntry) => Partial<AuditEntry>): readonly AuditEntry[] =>
  sound.map((entry, index) => (index === at ? { ...entry, ...change(entry) } : entry));

/** A record that was changed, and hashed anew by somebody who knows how. */
const rehashed = changed(2, ({ previousHash, outboxId, body }) =>
  chainRecord(CHAIN, { sequence: 2, hash: previousHash }, outboxId, body.replace('ann', 'eve')),
);

describe('verify, of an audit', () => {
  test('says the head of each chain that is sound', async () => {
    const other = makeChain('app', 2);
    const { code, stdout } = await run(['verify', await write(toLines([...sound, ...other]))]);
    expect(code).toBe(0);
    expect(stdout).toContain(`${CHAIN}: 6 records, up to 6`);
    expect(stdout).toContain(`head ${sound.at(-1)?.hash}`);
    expect(stdout).toContain('app: 2 records, up to 2');
  });

  test.each([
    [
      'a byte of a body changed',
      changed(2, ({ body }) => ({ body: body.replace('ann', 'eve') })),
      3,
      'changed',
    ],
    ['a hash changed', changed(2, ({ hash }) => ({ hash: [...hash].toReversed().join('') })), 3, 'changed'],
    ['an outbox id changed', changed(2, () => ({ outboxId: 'another' })), 3, 'changed'],
    ['a sequence changed', changed(5, () => ({ sequence: 7 })), 7, 'changed'],
    ['a record changed and hashed anew', rehashed, 4, 'unlinked'],
    ['a record removed', sound.toSpliced(2, 1), 4, 'missing'],
    ['two records removed', sound.toSpliced(2, 2), 5, 'missing'],
    ['two records swapped', swapped(sound, 2), 4, 'reordered'],
    ['the first two swapped', swapped(sound, 0), 1, 'reordered'],
    ['a record doubled', sound.toSpliced(3, 0, ...sound.slice(2, 3)), 3, 'doubled'],
    ['an old record at the end', [...sound, ...sound.slice(0, 1)], 1, 'reordered'],
  ])('%s is named', async (_name, entries, sequence, kind) => {
    const ran = await run(['verify', await write(toLines(entries)), '-o', 'json']);
    expect(ran.code).toBe(5);
    expect(ran.json()).toMatchObject({
      sound: false,
      files: [{ audit: { chains: [{ chain: CHAIN, fault: { sequence, kind } }] } }],
    });
    const { stdout } = await run(['verify', await write(toLines(entries))]);
    expect(stdout).toContain(`record ${sequence} is ${kind}`);
  });

  test('a first record that names one before it is not the first', async () => {
    const forged = chainRecord('app', { sequence: 0, hash: 'f'.repeat(64) }, 'outbox-1', '{}');
    const { stdout, code } = await run(['verify', await write(toLines([{ chain: 'app', ...forged }]))]);
    expect(code).toBe(5);
    expect(stdout).toContain('record 1 is unlinked');
  });

  test('a fault in one chain is none of another, though their records are mixed', async () => {
    const other = makeChain('app', 6);
    const mixed = rehashed.flatMap((entry, index) => [entry, ...other.slice(index, index + 1)]);
    const { stdout, code } = await run(['verify', await write(toLines(mixed))]);
    expect(code).toBe(5);
    expect(stdout).toMatch(/OK .*app: 6 records/);
    expect(stdout).toMatch(/BAD .*orders: record 4 is unlinked \(line 7\)/);
  });

  test.each([
    ['whole', sound, 1, []],
    ['from its middle on', sound.slice(3), 4, []],
    ['in one record of a filtered export', sound.slice(4, 5), 5, ['--filtered']],
  ])('a chain given out for another is named: %s', async (_name, entries, sequence, options) => {
    const relabelled = entries.map((entry) => ({ ...entry, chain: 'contoso.vault.azure.net|payments' }));
    const { code, stdout } = await run(['verify', ...options, await write(toLines(relabelled))]);
    expect(code).toBe(5);
    expect(stdout).toContain(`payments: record ${sequence} is changed`);
  });

  test('says that a chain begins in the middle', async () => {
    const { stdout, code } = await run(['verify', await write(toLines(sound.slice(3)))]);
    expect(code).toBe(0);
    expect(stdout).toContain('it begins with record 4: what came before was not checked');
  });

  test('of a filtered export takes gaps, and still no change', async () => {
    const gappy = sound.toSpliced(2, 1);
    const filtered = await run(['verify', '--filtered', await write(toLines(gappy))]);
    expect(filtered.code).toBe(0);
    expect(filtered.stdout).toContain('may be left out');
    const bent = changed(4, () => ({ body: '{}' })).toSpliced(2, 1);
    expect((await run(['verify', '--filtered', await write(toLines(bent))])).code).toBe(5);
  });

  test.each([
    ['a line that is no JSON', `${toLines(sound)}{"chain":\n`, 7],
    ['a line that is another thing', `{"hello":"world"}\n${toLines(sound)}`, 1],
    ['a line that was cut', toLines(sound).slice(0, -40), 6],
  ])('%s is named', async (_name, text, line) => {
    const { code, stdout } = await run(['verify', await write(text)]);
    expect(code).toBe(5);
    expect(stdout).toContain(`line ${line}: the line holds no record`);
  });

  test('takes it from standard input too', async () => {
    expect((await run(['verify', '-'], { stdin: toLines(sound) })).stdout).toContain('6 records');
  });

  test.each([['/nowhere/audit.jsonl'], ['']])(
    'a file that is not there or empty can not be used',
    async (name) => {
      const { code, stderr } = await run(['verify', name || (await write(''))]);
      expect(code).toBe(2);
      expect(stderr).toContain('[FileUnusable]');
    },
  );

  test('any single change of any record of any chain is found', () => {
    const change = fc.constantFrom<keyof AuditEntry>(
      'chain',
      'sequence',
      'outboxId',
      'previousHash',
      'hash',
      'body',
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 }), change, (at, field) => {
        const entries = changed(at, (entry) =>
          field === 'sequence' ? { sequence: entry.sequence + 7 } : { [field]: `${entry[field]}0` },
        );
        const check = makeChainCheck({ isFiltered: false, wanted: new Map() });
        for (const entry of entries) check.add(JSON.stringify(entry));
        const lines = check.report().chains.flatMap(({ fault }) => fault?.line ?? []);
        return Math.min(...lines) === at + 1;
      }),
    );
  });

  test('any other order of the records is found', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...sound], { minLength: 6 }), (entries) => {
        const check = makeChainCheck({ isFiltered: false, wanted: new Map() });
        for (const entry of entries) check.add(JSON.stringify(entry));
        const isInOrder = entries.every(({ sequence }, index) => sequence === index + 1);
        return (check.report().chains[0]?.fault === null) === isInOrder;
      }),
    );
  });
});

const pair = generateKeyPairSync('ed25519');
const signer = makeStatementSigner({ key: pair.privateKey, issuer: 'pg-cmk', clock: { now: () => NOW } });
const CLAIMS = {
  kind: 'KeyVersionRetired',
  sub: 'https://contoso.vault.azure.net/keys/orders/1',
  census: { server: 0 },
  auditHead: { chain: CHAIN, sequence: 3, hash: sound[2]?.hash },
};

const keysFile = async () => write(JSON.stringify(await signer.publicKeys()));

describe('verify, of a statement', () => {
  test('prints what the app signed', async () => {
    const file = await write(`${await signer.sign(CLAIMS)}\n`);
    const { code, stdout } = await run(['verify', file, '--keys', await keysFile()]);
    expect(code).toBe(0);
    expect(stdout).toContain('signed by the app');
    expect(stdout).toContain('KeyVersionRetired');
    expect(stdout).toContain(NOW.toISOString());
    expect(stdout).toContain('{"server":0}');
  });

  test('takes a single JWK for the keys', async () => {
    const file = await write(await signer.sign(CLAIMS));
    const { keys } = await signer.publicKeys();
    expect((await run(['verify', file, '--keys', await write(JSON.stringify(keys[0]))])).code).toBe(0);
  });

  test('that was changed, or made by another, or in another way, is bad', async () => {
    const good = await signer.sign(CLAIMS);
    const [header = '', payload = '', signature = ''] = good.split('.');
    const bent = Buffer.from(payload, 'base64url')
      .toString()
      .replace('KeyVersionRetired', 'KeyVersionRefired');
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'pg-cmk-statement+jwt' })).toString(
      'base64url',
    );
    const stranger = makeStatementSigner({
      key: generateKeyPairSync('ed25519').privateKey,
      issuer: 'pg-cmk',
      clock: { now: () => NOW },
    });
    const { kid } = (await signer.publicKeys()).keys[0] ?? {};
    const { x } = await exportJWK(pair.publicKey);
    const hmac = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: 'HS256', typ: 'pg-cmk-statement+jwt', kid: String(kid) })
      .setIssuer('pg-cmk')
      .setIssuedAt(NOW)
      .sign(Buffer.from(x ?? '', 'base64url'));
    const cursor = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: String(kid) })
      .setIssuer('pg-cmk')
      .setIssuedAt(NOW)
      .sign(pair.privateKey);
    const bad: Readonly<Record<string, string>> = {
      changed: [header, Buffer.from(bent).toString('base64url'), signature].join('.'),
      'signature of another': `${header}.${payload}.${(await stranger.sign(CLAIMS)).split('.')[2]}`,
      'another key': await stranger.sign(CLAIMS),
      unsigned: `${none}.${payload}.`,
      'signed with the public key': hmac,
      'another kind of token': cursor,
      garbage: 'aa.bb.cc',
    };
    const keys = await keysFile();
    for (const [name, text] of Object.entries(bad)) {
      const { code, stdout } = await run(['verify', await write(text), '--keys', keys]);
      expect({ name, code }).toEqual({ name, code: 5 });
      expect(stdout).toMatch(/^BAD/);
    }
  });

  test('needs the keys, and sound ones', async () => {
    const file = await write(await signer.sign(CLAIMS));
    expect((await run(['verify', file])).stderr).toContain('signing-keys');
    for (const text of ['{"keys":[]}', '{"hello":1}', 'nonsense']) {
      const { code, stderr } = await run(['verify', file, '--keys', await write(text)]);
      expect(code).toBe(2);
      expect(stderr).toContain('[FileUnusable]');
    }
  });

  test('with the audit beside it: the head that it names is looked up there', async () => {
    const statement = await write(await signer.sign(CLAIMS));
    const keys = await keysFile();
    const audit = await write(toLines(sound));
    expect((await run(['verify', audit, statement, '--keys', keys])).code).toBe(0);
    // A chain that is sound by itself, and was made anew from the start.
    const anew = makeChain(CHAIN, 6);
    let tail: ReturnType<typeof chainRecord> | null = null;
    const forged = anew.map(({ chain, outboxId, body }) => {
      tail = chainRecord(chain, tail, outboxId, body.replace('ann', 'eve'));
      return { chain, ...tail };
    });
    const { code, stdout } = await run(['verify', await write(toLines(forged)), statement, '--keys', keys]);
    expect(code).toBe(5);
    expect(stdout).toContain(`${CHAIN} #3 is another record than a statement names`);
  });
});

describe('verify, with the heads of a backup', () => {
  const headsAt = async (...heads: readonly (readonly [string, number, string | undefined])[]) =>
    write(
      await signer.sign({
        kind: 'AuditHeads',
        sub: '2026-11-24T02-30-00.000Z',
        at: '2026-11-24T02:30:00.000Z',
        heads: heads.map(([chain, sequence, hash]) => ({ chain, sequence, hash })),
        files: {},
      }),
    );
  const check = async (entries: readonly AuditEntry[], heads: string, ...options: readonly string[]) =>
    run(['verify', await write(toLines(entries)), '--heads', heads, '--keys', await keysFile(), ...options]);

  test('an export that is at least so long is sound', async () => {
    for (const sequence of [3, 6]) {
      const { code, stdout } = await check(
        sound,
        await headsAt([CHAIN, sequence, sound[sequence - 1]?.hash]),
      );
      expect(code).toBe(0);
      expect(stdout).toContain('1 chain');
    }
  });

  test('one whose end was cut off is not; its chain alone would not show it', async () => {
    const heads = await headsAt([CHAIN, 6, sound[5]?.hash]);
    expect((await run(['verify', await write(toLines(sound.slice(0, 4)))])).code).toBe(0);
    const { code, stdout } = await check(sound.slice(0, 4), heads);
    expect(code).toBe(5);
    expect(stdout).toContain(`${CHAIN} ends with record 4, and had 6 records`);
    // A part of it was asked for: nobody knows where it should end.
    expect((await check(sound.slice(0, 4), heads, '--filtered')).code).toBe(0);
  });

  test('one that has another record there is not', async () => {
    const { code, stdout } = await check(sound, await headsAt([CHAIN, 6, 'f'.repeat(64)]));
    expect(code).toBe(5);
    expect(stdout).toContain(`${CHAIN} #6 is another record`);
  });

  test('one without a whole chain is not, unless it was made for one key', async () => {
    const other = 'contoso.vault.azure.net|payments';
    const heads = await headsAt([CHAIN, 6, sound[5]?.hash], [other, 2, 'f'.repeat(64)]);
    const { code, stdout } = await check(sound, heads);
    expect(code).toBe(5);
    expect(stdout).toContain(`${other} is not here`);
    expect((await check(sound, heads, '--key', 'contoso.vault.azure.net/orders')).code).toBe(0);
    const cut = await check(sound.slice(0, 3), heads, '--key', 'contoso.vault.azure.net/orders');
    expect(cut.code).toBe(5);
  });

  test('heads that nobody signed, or somebody else, are none', async () => {
    const plain = await write('{"kind":"AuditHeads"}');
    const { code, stderr } = await check(sound, plain);
    expect(code).toBe(2);
    expect(stderr).toContain('[FileUnusable]');
    const good = await signer.sign({ ...CLAIMS, kind: 'AuditHeads' });
    const bent = await write(`${good.slice(0, -8)}AAAAAAAA`);
    expect((await check(sound, bent)).code).toBe(5);
  });
});
