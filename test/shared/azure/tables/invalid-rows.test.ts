// Rows that something else has written, or changed: held, named, and left alone (design 10).
import { TableClient, type TableEntity } from '@azure/data-tables';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../../local/azurite.ts';
import { makeTableStores, type TableStores } from '../../../../shared/azure/tables/table-stores.ts';
import { chainRecord } from '../../../../shared/domain/audit.ts';
import { CmkError } from '../../../../shared/domain/errors.ts';
import { type KekId, kekKey } from '../../../../shared/domain/key-id.ts';
import { collect, expectCode, newKek } from '../../../contracts/stores.ts';
import {
  auditOf,
  fullServer,
  historyOf,
  plainKek,
  plainServer,
  plainVersion,
  versionOf,
} from '../../../fixtures/rows.ts';

type Change = Readonly<Record<string, unknown>>;
const ALL = { after: null, from: null, to: null, limit: 1000 };

let azurite: Azurite;
let stores: TableStores;
const invalid: CmkError[] = [];
beforeAll(async () => {
  azurite = await startAzurite();
  const connection = { kind: 'connectionString', value: azurite.connectionString } as const;
  stores = makeTableStores({ connection, onInvalid: (error) => invalid.push(error) });
  await stores.ensureTables();
});
afterAll(() => azurite.stop());

const raw = (table: string) =>
  TableClient.fromConnectionString(azurite.connectionString, table, { allowInsecureConnection: true });

/** Changes columns of a row behind the stores' back; undefined takes one away. */
async function change(table: string, partitionKey: string, rowKey: string, columns: Change): Promise<void> {
  const client = raw(table);
  const found = await client.getEntity<Record<string, unknown>>(partitionKey, rowKey);
  const rest = Object.fromEntries(
    Object.entries({ ...found, ...columns }).filter(
      ([name, value]) => value !== undefined && !name.startsWith('odata') && name !== 'timestamp',
    ),
  );
  const entity: TableEntity = { ...rest, partitionKey, rowKey };
  await client.updateEntity(entity, 'Replace');
}

const readRaw = async (table: string, partitionKey: string, rowKey: string) =>
  raw(table).getEntity<Record<string, unknown>>(partitionKey, rowKey, { disableTypeConversion: true });

async function invalidRowOf(promise: Promise<unknown>): Promise<CmkError> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof CmkError && error.code === 'InvalidRow') return error;
  throw new Error(`not InvalidRow: ${error}`);
}

describe('a server row', () => {
  const kinds: readonly [kind: string, column: string, Change][] = [
    ['a column is missing', 'ciphertext', { ciphertext: undefined }],
    ['a column that may be none is missing', 'provenAt', { provenAt: undefined }],
    ['the hold is missing', 'hold', { hold: undefined }],
    ['a number is text', 'sequence', { sequence: '1' }],
    ['a flag is text', 'pinned', { pinned: 'false' }],
    ['JSON is cut short', 'access', { access: '{"kind":"no' }],
    ['JSON is of another shape', 'labels', { labels: '["a"]' }],
    ['JSON is a number in a column of text', 'labels', { labels: 5 }],
    ['a date is not one', 'wrappedAt', { wrappedAt: 'yesterday' }],
    ['a date does not exist', 'createdAt', { createdAt: '2026-02-30T00:00:00Z' }],
    ['a date is a number', 'createdAt', { createdAt: 1_764_000_000 }],
    ['a date is none where one must be', 'createdAt', { createdAt: '' }],
    ['the version is "latest"', 'kekVersion', { kekVersion: 'latest' }],
    ['the version is empty', 'kekVersion', { kekVersion: '' }],
    ['the version is in upper case', 'kekVersion', { kekVersion: 'A'.repeat(32) }],
    ['a word is unknown', 'desired', { desired: 'open' }],
    ['a reason is unknown', 'desiredReason', { desiredReason: 'toString' }],
    ['the algorithm is another', 'algorithm', { algorithm: 'RSA1_5' }],
    ['the format is another', 'format', { format: 'bound-2' }],
    ['a number is negative', 'accessEpoch', { accessEpoch: -1 }],
    ['a number is no whole one', 'sequence', { sequence: 1.5 }],
    ['the ciphertext has strange characters', 'ciphertext', { ciphertext: 'a+b/=' }],
    ['the ciphertext is empty', 'ciphertext', { ciphertext: '' }],
    ['the id of the DEK is cut short', 'dekId', { dekId: '0011' }],
    ['the access is of an unknown kind', 'access', { access: '{"kind":"mysql"}' }],
    ['the layout is newer', 'schema', { schema: 2 }],
    ['the layout is not said', 'schema', { schema: undefined }],
  ];

  test.each(kinds)('%s: held, and everything else is intact', async (_, column, columns) => {
    const kek = newKek();
    const row = fullServer(kek, 'b');
    const others = ['a', 'c'].map((id) => ({ value: plainServer(kek, id), etag: null, history: null }));
    await stores.servers.commit(kek, [...others, { value: row, etag: null, history: historyOf(row) }], null);
    await change('servers', kekKey(kek), 's:b', columns);
    const asItWas = await readRaw('servers', kekKey(kek), 's:b');

    const { rows, held, next } = await stores.servers.page(kek, ALL);
    expect(rows.map(({ value }) => value.serverId)).toEqual(['a', 'c']);
    expect(next).toBeNull();
    const error = await invalidRowOf(stores.servers.read(kek, 'b'));
    expect(held).toEqual([{ rowKey: 's:b', problem: error.message }]);
    expect(error.detail).toMatchObject({
      table: 'servers',
      partitionKey: kekKey(kek),
      rowKey: 's:b',
      column,
    });
    expect(error.message).toContain(column);
    expect(error.remedy).not.toBe('');
    expect(error.retryable).toBe(false);
    // The error names what was expected, never what was there.
    expect(error.message).not.toContain('c2VjcmV0');

    await stores.servers.commit(
      kek,
      rows.map((stored) => ({ ...stored, history: null })),
      null,
    );
    expect(await readRaw('servers', kekKey(kek), 's:b')).toEqual(asItWas);
    expect(await stores.servers.history(kek, 'b')).toEqual([historyOf(row)]);
  });

  test('whose key is no server id is held', async () => {
    const kek = newKek();
    await stores.servers.commit(kek, [{ value: plainServer(kek, 'a'), etag: null, history: null }], null);
    const { etag: _, ...entity } = await raw('servers').getEntity(kekKey(kek), 's:a');
    await raw('servers').createEntity({ ...entity, partitionKey: kekKey(kek), rowKey: 's:NOT an id' });
    const { rows, held } = await stores.servers.page(kek, ALL);
    expect(rows).toHaveLength(1);
    expect(held).toEqual([{ rowKey: 's:NOT an id', problem: expect.stringContaining('RowKey') }]);
  });

  test('many held rows do not stop the paging', async () => {
    const kek = newKek();
    const ids = Array.from({ length: 30 }, (_, n) => `db-${10 + n}`);
    const writes = ids.map((id) => ({ value: plainServer(kek, id), etag: null, history: null }));
    await stores.servers.commit(kek, writes, null);
    for (const id of ids.slice(5, 20)) await change('servers', kekKey(kek), `s:${id}`, { schema: 2 });
    const counts = { rows: 0, held: 0 };
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof stores.servers.page>> = await stores.servers.page(kek, {
        ...ALL,
        after,
        limit: 4,
      });
      counts.rows += page.rows.length;
      counts.held += page.held.length;
      after = page.next;
    } while (after !== null);
    expect(counts).toEqual({ rows: 15, held: 15 });
  });

  test('of the history is thrown: a wrapping that cannot be read is not passed over', async () => {
    const kek = newKek();
    const row = plainServer(kek, 'a');
    await stores.servers.commit(kek, [{ value: row, etag: null, history: historyOf(row) }], null);
    await change('servers', kekKey(kek), `h:a:${versionOf(1)}:0000000000`, { replacedAt: 'x' });
    const error = await invalidRowOf(stores.servers.history(kek, 'a'));
    expect(error.detail).toMatchObject({ column: 'replacedAt' });
  });

  test('that could not be read back is not written', async () => {
    const kek = newKek();
    const { wrapped, ...row } = plainServer(kek, 'a');
    const value = { ...row, wrapped: { ...wrapped, kekVersion: 'latest' } };
    await expectCode('InvalidRow', stores.servers.commit(kek, [{ value, etag: null, history: null }], null));
    const dated = { ...plainServer(kek, 'a'), createdAt: new Date(Number.NaN) };
    await expectCode(
      'InvalidRow',
      stores.servers.commit(kek, [{ value: dated, etag: null, history: null }], null),
    );
    expect(await stores.servers.read(kek, 'a')).toBeUndefined();
  });
});

describe('rows of a KEK', () => {
  const insert = async (kek: KekId) => {
    const versions = [1, 2].map((number) => ({ value: plainVersion(number), etag: null }));
    await stores.keks.commit(kek, { kek: { value: plainKek(kek), etag: null }, versions, outbox: null });
  };
  const version = `v:${versionOf(2)}`;

  test.each<[string, string, string, Change]>([
    ['an epoch is missing', 'kek', 'epoch', { epoch: undefined }],
    ['the target is "latest"', 'kek', 'target', { target: 'latest' }],
    ['the rotation is of no kind', 'kek', 'rotation', { rotation: '{"state":"lost"}' }],
    ['a policy is unknown', 'kek', 'policy', { policy: '{"expiredKeyPolicy":"ignore"}' }],
    [
      'the census has a negative count',
      'kek',
      'census',
      { census: '{"countedAt":"2026-11-24T00:00:00Z","versions":{},"notSettled":-1}' },
    ],
    ['a verdict is unknown', version, 'verdict', { verdict: 'maybe' }],
    ['a reason is a server’s', version, 'reason', { reason: 'SessionNotEndable' }],
    ['the attributes are not JSON', version, 'attributes', { attributes: 'null!' }],
    ['the canary is not base64url', version, 'canary', { canary: 'ä' }],
    ['the layout is newer', version, 'schema', { schema: 2 }],
  ])('%s: the KEK is reported and left out, and no other', async (_, rowKey, column, columns) => {
    const [kek, other] = [newKek(), newKek()];
    await insert(kek);
    await insert(other);
    await change('keks', kekKey(kek), rowKey, columns);
    const error = await invalidRowOf(stores.keks.read(kek));
    expect(error.detail).toMatchObject({ table: 'keks', partitionKey: kekKey(kek), rowKey, column });
    const reported = invalid.length;
    expect(await collect(stores.keks.list({ vault: kek.vault }))).toEqual([]);
    expect(invalid.slice(reported).map(({ detail }) => detail)).toEqual([error.detail]);
    expect(await collect(stores.keks.list({ vault: other.vault }))).toHaveLength(1);
  });

  test('versions without their KEK are no KEK, and are not silently started anew', async () => {
    const kek = newKek();
    await insert(kek);
    await raw('keks').deleteEntity(kekKey(kek), 'kek');
    await expectCode('InvalidRow', stores.keks.read(kek));
    expect(await collect(stores.keks.list({ vault: kek.vault }))).toEqual([]);
  });

  test('a partition that is no key is reported', async () => {
    const kek = newKek();
    await insert(kek);
    const { etag: _, ...entity } = await raw('keks').getEntity(kekKey(kek), 'kek');
    await raw('keks').createEntity({ ...entity, partitionKey: `${kek.vault}|a|b`, rowKey: 'kek' });
    const reported = invalid.length;
    expect(await collect(stores.keks.list({ vault: kek.vault }))).toHaveLength(1);
    expect(invalid.length).toBe(reported + 1);
  });
});

describe('other rows', () => {
  test('an index row, and the breaker, are thrown', async () => {
    const kek = newKek();
    await stores.index.claim('odd-1', kek);
    await change('serverindex', 'odd-1', 'server', { kek: 'nowhere' });
    await expectCode('InvalidRow', stores.index.find('odd-1'));
    await stores.keks.writeBreaker({ value: { suspects: {}, trippedAt: null }, etag: null });
    await change('keks', 'breaker', 'state', { suspects: '{"v":"now"}' });
    await expectCode('InvalidRow', stores.keks.readBreaker());
  });

  test('an outbox row is reported and passed over', async () => {
    const chain = kekKey(newKek());
    for (const name of ['a', 'b', 'c'])
      await stores.outbox.put(chain, { audit: [auditOf(name)], events: [] });
    const [, second] = await stores.outbox.pageOutbox(chain, false, 10);
    await change('keks', chain, `o:${second?.id}`, { events: '[{}]' });
    const reported = invalid.length;
    const rows = await stores.outbox.pageOutbox(chain, false, 2);
    expect(rows.map(({ auditBodies }) => auditBodies)).toEqual(
      ['a', 'c'].map((name) => [JSON.stringify(auditOf(name))]),
    );
    expect(invalid.slice(reported).map(({ detail }) => detail['column'])).toEqual(['events']);
  });

  test('an event of a type that only a newer app knows is passed on', async () => {
    const chain = kekKey(newKek());
    await stores.outbox.put(chain, { audit: [], events: [] });
    const [row] = await stores.outbox.pageOutbox(chain, false, 1);
    const event = {
      id: 'x',
      type: 'PgCmk.Newer',
      subject: 's',
      time: '2026-11-24T00:00:00Z',
      data: {},
      extra: 1,
    };
    await change('keks', chain, `o:${row?.id}`, { events: JSON.stringify([event]) });
    const [changed] = await stores.outbox.pageOutbox(chain, false, 1);
    expect(changed?.events).toEqual([{ ...event, time: new Date(event.time) }]);
  });

  test('an audit chain whose end is not what its head says is not gone on with', async () => {
    const chain = kekKey(newKek());
    const first = chainRecord(chain, null, 'a/0', '{}');
    await stores.audit.append(chain, [first, chainRecord(chain, first, 'b/0', '{}')]);
    await change('audit', chain, '0000000000000002', { hash: '0'.repeat(64) });
    await expectCode('InvalidRow', stores.audit.tail(chain, 10));
    await raw('audit').deleteEntity(chain, '0000000000000002');
    await expectCode('InvalidRow', stores.audit.tail(chain, 10));
    await change('audit', chain, 'head', { sequence: 'two' });
    await expectCode('InvalidRow', stores.audit.tail(chain, 10));
    await expectCode('InvalidRow', stores.audit.append(chain, [first]));
  });
});
