// What fuzzing has found, each as plain as it can be shown. Every one of these threw something else than an error of
// ours, took too long, or was refused by the wrong code, before it was mended.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { time } from '../../cli/arguments.ts';
import { makeApiClient } from '../../cli/client.ts';
import { checkStatement, readKeys } from '../../cli/verify/check-statement.ts';
import { parseAuditRecord, splitRecords } from '../../functions/events/parse-audit-record.ts';
import { splitEvents } from '../../functions/events/parse-key-event.ts';
import { parseExportManifest } from '../../shared/api/table-export.ts';
import { versionFormat } from '../../shared/azure/tables/kek-rows.ts';
import { serverFormat } from '../../shared/azure/tables/server-rows.ts';
import { toStoreError } from '../../shared/azure/tables/table-errors.ts';
import { toSeenResponse, toVaultFault } from '../../shared/azure/vault/vault-fault.ts';
import { Dek } from '../../shared/domain/dek.ts';
import { LATEST_INSTANT } from '../../shared/domain/instant.ts';
import { makeChainFollower, parseExportLine } from '../../shared/domain/table-export.ts';
import { makeDekSealer } from '../../shared/jose/seal-dek.ts';
import { makeStatementSigner } from '../../shared/jose/sign-statement.ts';
import { findScheduleFault } from '../../shared/ncrontab.ts';
import { KEK, makeWorld } from '../fakes/world.ts';
import { fullServer, fullVersion, versionOf } from '../fixtures/rows.ts';
import { makeApi } from '../functions/http/api-under-test.ts';

const NOW = new Date('2030-01-01T00:00:00Z');

const codeOf = async (run: () => unknown): Promise<unknown> => {
  try {
    return await run();
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
};

/** No primitive can be made of it: Number() and String() throw a TypeError. */
const NO_PRIMITIVE = { toString: null, valueOf: null };
const nested = (depth: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = [value];
  return value;
};

describe('found by fuzzing', () => {
  test('an audit record whose status is no primitive', () => {
    const properties = { id: 'https://v1.vault.azure.net/keys/k1', httpStatusCode: NO_PRIMITIVE };
    const hint = parseAuditRecord(
      { operationName: 'KeyDelete', properties },
      { dnsSuffixes: ['vault.azure.net'] },
    );
    expect(hint).toMatchObject({ target: { kind: 'kek' } });
  });

  test('a server row that is moving from what is no KEK', async () => {
    const columns = serverFormat.toColumns(fullServer(KEK, 'db-1'));
    const moving = JSON.stringify({ from: 'a|b|c', to: 'd', since: NOW, by: 'anna' });
    const entity = {
      partitionKey: `${KEK.vault}|${KEK.name}`,
      rowKey: 's:db-1',
      etag: '',
      properties: { ...columns, moving },
    };
    expect(await codeOf(() => serverFormat.fromEntity(entity))).toBe('InvalidRow');
  });

  test('a column of an export that has more to it than a type and a value', () => {
    const columns = { hash: 'h', outboxId: { type: 'Int64', value: '1', ...NO_PRIMITIVE } };
    const line = JSON.stringify({ partitionKey: 'app', rowKey: '1', changedAt: 'c', columns });
    const follower = makeChainFollower();
    follower.add(parseExportLine(line));
    expect(follower.seen().broken).toEqual([{ chain: 'app', sequence: 1 }]);
  });

  test('a call to a vault that fails with an array', () => {
    expect(toVaultFault([{ code: 'ENOTFOUND' }], null)).toMatchObject({ kind: 'answer' });
  });

  test('a public key whose type is nested without an end', async () => {
    using dek = new Dek(new Uint8Array(32));
    const context = { serverId: 'db-1', dekId: dek.id, releasedAt: NOW, leaseExpiresOn: NOW };
    const code = await codeOf(async () => await makeDekSealer().seal(dek, { kty: nested(50_000) }, context));
    expect(code).toBe('InvalidPublicKey');
  });

  test('more records in one message, and more events in one delivery, than any sender sends', async () => {
    const records = Array.from({ length: 5001 }, () => null);
    expect(await codeOf(() => splitRecords({ records }))).toBe('InvalidEvent');
    expect(await codeOf(() => splitEvents(records))).toBe('InvalidEvent');
    expect(splitRecords({ records: records.slice(1) })).toHaveLength(5000);
    expect(splitEvents(records.slice(1))).toHaveLength(5000);
  });

  test('JSON that is nested deeper than anything of ours', async () => {
    const text = '['.repeat(2 ** 20);
    expect(await codeOf(() => splitRecords(text))).toBe('InvalidEvent');
    expect(await codeOf(() => parseExportLine(text))).toBe('ExportBroken');
    expect(await codeOf(() => parseExportManifest(text))).toBe('ExportBroken');
  });

  test('a URL of the app with slashes without an end', async () => {
    const io = { fetch, sleep: async () => undefined, now: () => NOW };
    const url = `https://app.example/${'/'.repeat(100_000)}x`;
    const before = process.threadCpuUsage();
    makeApiClient({ url, token: () => async () => '', io });
    expect(process.threadCpuUsage(before).user / 1000).toBeLessThan(100);
  });

  test('arguments without an end, which are not repeated in the message', () => {
    const io = { fetch, sleep: async () => undefined, now: () => NOW };
    const long = 'h'.repeat(100_000);
    const uses = [() => time(long, NOW), () => makeApiClient({ url: long, token: () => async () => '', io })];
    const message = expect.not.stringContaining('h'.repeat(1000));
    for (const use of uses) expect(use).toThrow(expect.objectContaining({ message }));
  });

  test('a failure of storage of which no text can be made', () => {
    expect(toStoreError(NO_PRIMITIVE, 'reading')).toMatchObject({ code: 'StoreUnavailable' });
  });

  test('a schedule without an end', () => {
    expect(findScheduleFault(`${'0,'.repeat(100_000)}0 * * * * *`)).toContain('longer than');
  });
});

describe('a date beyond the year 9999', () => {
  test('of a vault is held as the latest there is', () => {
    const headers = new Map([['date', 'Fri, 01 Jan 10000 00:00:00 GMT']]);
    const seen = toSeenResponse({ status: 200, headers: { get: (name) => headers.get(name) } });
    expect(seen.date).toEqual(LATEST_INSTANT);
  });

  test('is what no row takes, and the latest is what every row and route takes', async () => {
    const attributes = { enabled: true, notBefore: null, createdOn: NOW, expiresOn: LATEST_INSTANT };
    const state = (expiresOn: Date) => ({ ...fullVersion(1), attributes: { ...attributes, expiresOn } });
    expect(await codeOf(() => versionFormat.toColumns(state(new Date('+010000-01-01T00:00:00Z'))))).toBe(
      'InvalidRow',
    );
    const columns = versionFormat.toColumns(state(LATEST_INSTANT));
    const entity = { partitionKey: 'p', rowKey: `v:${versionOf(1)}`, etag: '', properties: columns };
    expect(versionFormat.fromEntity(entity).attributes?.expiresOn).toEqual(LATEST_INSTANT);

    const world = makeWorld();
    const version = await world.begin(2);
    await world.changeVersion(version, { attributes });
    const api = makeApi({ world });
    const path = `keys/${KEK.vault}/${KEK.name}`;
    const [listed, read, impact] = await Promise.all(
      ['keys', path, `${path}/impact?of=expire`].map((one) => api.call('GET', one)),
    );
    expect([listed?.status, read?.status, impact?.status]).toEqual([200, 200, 200]);
    expect(read?.body.versions[0].expiresOn).toBe(LATEST_INSTANT.toISOString());
    expect(impact?.body.page[0].at).toMatch(/^9999-12-31T/);
  });
});

describe('a file of public keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'found-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const signer = makeStatementSigner({
    key: generateKeyPairSync('ed25519').privateKey,
    issuer: 'https://app.example',
    clock: { now: () => NOW },
  });
  const use = async (change: (jwk: object) => unknown) => {
    const [jwk = {}] = (await signer.publicKeys()).keys;
    const file = join(folder, 'keys.json');
    writeFileSync(file, JSON.stringify(change(jwk)));
    return codeOf(async () => checkStatement(await signer.sign({ sub: 's' }), await readKeys(file), NOW));
  };

  test.each<[string, (jwk: object) => unknown]>([
    ['without the key itself', (jwk) => ({ ...jwk, x: undefined })],
    ['whose key is too short', (jwk) => ({ keys: [{ ...jwk, x: 'AA' }] })],
    ['whose key is a number', (jwk) => ({ ...jwk, x: 1 })],
    ['with keys of another kind only', (jwk) => ({ keys: [{ ...jwk, kty: 'RSA' }] })],
  ])('%s is refused as a file', async (_, change) => {
    expect(await use(change)).toBe('FileUnusable');
  });

  test.each<[string, object]>([
    ['operations that are none', { key_ops: 5, ext: 'x' }],
    ['a private half', { d: 'AAAA' }],
    ['another use', { use: 'enc', alg: 'RS256' }],
  ])('that names %s is taken for the public key that it holds', async (_, more) => {
    expect(await use((jwk) => ({ ...jwk, ...more }))).toMatchObject({ sound: true });
  });
});
