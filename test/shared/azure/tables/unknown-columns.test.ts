// Columns that this version of the app doesn't know are kept and written back (design 10).
import { TableClient } from '@azure/data-tables';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../../local/azurite.ts';
import { makeTableStores, type TableStores } from '../../../../shared/azure/tables/table-stores.ts';
import { chainRecord } from '../../../../shared/domain/audit.ts';
import { kekKey } from '../../../../shared/domain/key-id.ts';
import { expectCode, newKek } from '../../../contracts/stores.ts';
import {
  auditOf,
  historyOf,
  plainKek,
  plainServer,
  plainVersion,
  versionOf,
} from '../../../fixtures/rows.ts';

let azurite: Azurite;
let stores: TableStores;
beforeAll(async () => {
  azurite = await startAzurite();
  const connection = { kind: 'connectionString', value: azurite.connectionString } as const;
  stores = makeTableStores({ connection, onInvalid: () => undefined });
  await stores.ensureTables();
});
afterAll(() => azurite.stop());

const raw = (table: string) =>
  TableClient.fromConnectionString(azurite.connectionString, table, { allowInsecureConnection: true });

const UNKNOWN = {
  newText: 'x',
  newText_1: 'no piece of ours',
  newFlag: true,
  newCount: 5,
  newShare: 1.5,
  newBig: 9_007_199_254_740_993n,
  newId: { type: 'Guid', value: '5b4c2f6e-0000-4000-8000-000000000001' },
  newTime: { type: 'DateTime', value: '2026-11-24T12:00:00.1234567Z' },
  newBytes: new Uint8Array([1, 2, 255]),
} as const;

async function add(table: string, partitionKey: string, rowKey: string): Promise<void> {
  await raw(table).updateEntity({ partitionKey, rowKey, ...UNKNOWN }, 'Merge');
}

/** The unknown columns with their types, as the service has them. */
async function unknownOf(table: string, partitionKey: string, rowKey: string) {
  const entity = await raw(table).getEntity<Record<string, unknown>>(partitionKey, rowKey, {
    disableTypeConversion: true,
  });
  return Object.fromEntries(Object.keys(UNKNOWN).map((name) => [name, entity[name]]));
}

describe('columns that the code does not know', () => {
  test('survive an update of a server row, types and all, read alone or on a page', async () => {
    const kek = newKek();
    await stores.servers.commit(kek, [{ value: plainServer(kek, 'a'), etag: null, history: null }], null);
    await add('servers', kekKey(kek), 's:a');
    const before = await unknownOf('servers', kekKey(kek), 's:a');
    expect(before).toMatchObject({
      newBig: { type: 'Int64' },
      newTime: UNKNOWN.newTime,
      newText: { value: 'x' },
    });
    const alone = await stores.servers.read(kek, 'a');
    if (alone === undefined) throw new Error('not there');
    const first = { value: { ...alone.value, tombstone: true }, etag: alone.etag };
    await stores.servers.commit(kek, [{ ...first, history: historyOf(alone.value) }], null);
    const { rows } = await stores.servers.page(kek, { after: null, from: null, to: null, limit: 5 });
    await stores.servers.commit(
      kek,
      rows.map((row) => ({ ...row, history: null })),
      null,
    );
    expect(await unknownOf('servers', kekKey(kek), 's:a')).toEqual(before);
    expect((await stores.servers.read(kek, 'a'))?.value).toEqual(first.value);
  });

  test('do not soften the condition (invariant I-10)', async () => {
    const kek = newKek();
    await stores.servers.commit(kek, [{ value: plainServer(kek, 'a'), etag: null, history: null }], null);
    await add('servers', kekKey(kek), 's:a');
    const stored = await stores.servers.read(kek, 'a');
    if (stored === undefined) throw new Error('not there');
    await raw('servers').updateEntity({ partitionKey: kekKey(kek), rowKey: 's:a', newCount: 6 }, 'Merge');
    await expectCode('WriteConflict', stores.servers.commit(kek, [{ ...stored, history: null }], null));
    await raw('servers').deleteEntity(kekKey(kek), 's:a');
    await expectCode('WriteConflict', stores.servers.commit(kek, [{ ...stored, history: null }], null));
    expect(await stores.servers.read(kek, 'a')).toBeUndefined();
  });

  test('survive in the rows of a KEK, also of a policy', async () => {
    const kek = newKek();
    const versions = [{ value: plainVersion(1), etag: null }];
    await stores.keks.commit(kek, { kek: { value: plainKek(kek), etag: null }, versions, outbox: null });
    const keys = [kekKey(kek), 'kek'] as const;
    const entity = await raw('keks').getEntity<Record<string, unknown>>(...keys);
    const policy = JSON.stringify({ ...JSON.parse(String(entity['policy'])), newPolicy: 'strict' });
    await raw('keks').updateEntity({ partitionKey: keys[0], rowKey: keys[1], policy }, 'Merge');
    await add('keks', ...keys);
    await add('keks', kekKey(kek), `v:${versionOf(1)}`);
    const before = await unknownOf('keks', ...keys);
    const stored = await stores.keks.read(kek);
    if (stored === undefined) throw new Error('not there');
    const value = {
      ...stored.kek.value,
      epoch: 1,
      policy: { ...stored.kek.value.policy, rewrapPaused: true },
    };
    await stores.keks.commit(kek, { kek: { ...stored.kek, value }, versions: stored.versions, outbox: null });
    expect(await unknownOf('keks', ...keys)).toEqual(before);
    expect(await unknownOf('keks', kekKey(kek), `v:${versionOf(1)}`)).toEqual(before);
    const after = await raw('keks').getEntity<Record<string, unknown>>(...keys);
    expect(JSON.parse(String(after['policy']))).toMatchObject({ newPolicy: 'strict', rewrapPaused: true });
  });

  test('survive in the outbox and in the head of a chain', async () => {
    const chain = kekKey(newKek());
    await stores.outbox.put(chain, { audit: [auditOf('a')], events: [] });
    const [row] = await stores.outbox.pageOutbox(chain, false, 1);
    if (row === undefined) throw new Error('not there');
    await add('keks', chain, `o:${row.id}`);
    const [changed = row] = await stores.outbox.pageOutbox(chain, false, 1);
    const marked = await stores.outbox.markAudited(chain, changed);
    expect(await stores.outbox.pageOutbox(chain, true, 1)).toEqual([marked]);
    expect(await unknownOf('keks', chain, `o:${row.id}`)).toMatchObject({ newText: { value: 'x' } });
    await stores.outbox.remove(chain, marked);
    expect(await stores.outbox.pageOutbox(chain, true, 1)).toEqual([]);

    const first = chainRecord(chain, null, 'a/0', '{}');
    await stores.audit.append(chain, [first]);
    await add('audit', chain, 'head');
    await stores.audit.append(chain, [chainRecord(chain, first, 'b/0', '{}')]);
    expect(await unknownOf('audit', chain, 'head')).toMatchObject({ newText: { value: 'x' } });
  });
});
