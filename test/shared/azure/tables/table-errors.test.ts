import { RestError } from '@azure/data-tables';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../../local/azurite.ts';
import type { Fault } from '../../../../local/chaos/fault-proxy.ts';
import { toStoreError } from '../../../../shared/azure/tables/table-errors.ts';
import {
  makeTableStores,
  type TableStores,
  type TableStoresOptions,
} from '../../../../shared/azure/tables/table-stores.ts';
import { isCmkError } from '../../../../shared/domain/errors.ts';
import { kekKey } from '../../../../shared/domain/key-id.ts';
import { collect, expectCode, newKek } from '../../../contracts/stores.ts';
import { type FaultyStorage, startFaultyStorage } from '../../../fixtures/faulty-storage.ts';
import { auditOf, plainKek, plainServer } from '../../../fixtures/rows.ts';

describe('toStoreError', () => {
  const rest = (statusCode: number, code?: string) =>
    new RestError('said so', { statusCode, ...(code ? { code } : {}) });
  /** As Azurite's answers come outside of transactions: the code in the details. */
  const azurite = (statusCode: number, code: string) =>
    Object.assign(rest(statusCode), { details: { odataError: { code } } });

  test.each<[string, unknown, string, boolean]>([
    ['a stale ETag', rest(412, 'UpdateConditionNotSatisfied'), 'WriteConflict', false],
    ['a stale ETag on Azurite', azurite(412, 'UpdateConditionNotSatisfied'), 'WriteConflict', false],
    ['a row that exists', rest(409, 'EntityAlreadyExists'), 'WriteConflict', false],
    ['a row that exists on Azurite', azurite(409, 'EntityAlreadyExists'), 'WriteConflict', false],
    ['a conflict without a code', rest(409), 'WriteConflict', false],
    ['a row that is gone', rest(404, 'ResourceNotFound'), 'WriteConflict', false],
    ['a table that is not there', azurite(404, 'TableNotFound'), 'StoreUnavailable', true],
    ['a table that is being deleted', rest(409, 'TableBeingDeleted'), 'StoreUnavailable', true],
    ['an operation that timed out', rest(500, 'OperationTimedOut'), 'StoreUnavailable', true],
    ['a busy server', rest(503, 'ServerBusy'), 'StoreUnavailable', true],
    ['throttling', rest(429), 'StoreUnavailable', true],
    ['a request that timed out', rest(408), 'StoreUnavailable', true],
    ['a missing right', rest(403, 'AuthorizationPermissionMismatch'), 'StoreUnavailable', true],
    ['no identity', rest(401), 'StoreUnavailable', true],
    ['no network', new RestError('x', { code: 'ECONNRESET' }), 'StoreUnavailable', true],
    ['an abort', new DOMException('aborted', 'AbortError'), 'StoreUnavailable', true],
    ['a token that could not be had', new Error('CredentialUnavailableError'), 'StoreUnavailable', true],
    [
      'an answer that is none',
      new RestError('x', { code: 'PARSE_ERROR', statusCode: 200 }),
      'StoreUnavailable',
      true,
    ],
    ['a string', 'odd', 'StoreUnavailable', true],
    ['a property that is too large', rest(400, 'PropertyValueTooLarge'), 'StoreUnavailable', false],
    ['a transaction that is too large', rest(413, 'RequestBodyTooLarge'), 'StoreUnavailable', false],
  ])('%s', (_, thrown, code, retryable) => {
    const error = toStoreError(thrown, 'writing kek');
    expect([error.code, error.retryable, error.cause]).toEqual([code, retryable, thrown]);
    expect(error.message).toContain('writing kek');
    expect(error.remedy).not.toBe('');
  });
});

describe('a store that fails', () => {
  let azurite: Azurite;
  let faulty: FaultyStorage;
  /** Neither tries again by itself, or once. */
  let stores: TableStores;
  let patient: TableStores;
  beforeAll(async () => {
    azurite = await startAzurite();
    faulty = await startFaultyStorage(azurite.connectionString);
    const options: TableStoresOptions = {
      connection: { kind: 'connectionString', value: faulty.connectionString },
      onInvalid: () => undefined,
      clientOptions: { retryOptions: { maxRetries: 0 } },
    };
    stores = makeTableStores(options);
    const retryOptions = { maxRetries: 1, retryDelayInMs: 1, maxRetryDelayInMs: 1 };
    patient = makeTableStores({ ...options, clientOptions: { retryOptions } });
  });
  afterAll(async () => {
    await faulty.stop();
    await azurite.stop();
  });
  beforeEach(() => stores.ensureTables());

  const ALL = { after: null, from: null, to: null, limit: 10 };
  const reads: readonly [string, () => Promise<unknown>][] = [
    ['keks.read', () => stores.keks.read(newKek())],
    ['keks.list', () => collect(stores.keks.list({ vault: null }))],
    ['keks.readBreaker', () => stores.keks.readBreaker()],
    ['servers.read', () => stores.servers.read(newKek(), 'a')],
    ['servers.page', () => stores.servers.page(newKek(), ALL)],
    ['servers.history', () => stores.servers.history(newKek(), 'a')],
    ['servers.hasServersOff', () => stores.servers.hasServersOff(newKek(), 'x')],
    ['index.find', () => stores.index.find('a')],
    ['audit.tail', () => stores.audit.tail('app', 1)],
    ['audit.readChain', () => collect(stores.audit.readChain('app'))],
  ];
  const faults: readonly Fault[] = [
    { kind: 'status', status: 500 },
    { kind: 'status', status: 503, body: '<html>busy</html>' },
    { kind: 'status', status: 429 },
    { kind: 'status', status: 403 },
    { kind: 'status', status: 404, body: '<html>no such host</html>' },
    { kind: 'resetBefore' },
  ];
  test.each(reads)('%s says so, whatever the fault, and never "not there"', async (_, read) => {
    for (const fault of faults) {
      faulty.fail(fault);
      const error = await read().catch((thrown: unknown) => thrown);
      expect(isCmkError(error, 'StoreUnavailable') && error.retryable).toBe(true);
    }
    await read();
  });

  test('a table that is not there is not an empty one', async () => {
    const body = JSON.stringify({ 'odata.error': { code: 'TableNotFound', message: { value: 'x' } } });
    faulty.fail({ kind: 'status', status: 404, body });
    await expectCode('StoreUnavailable', stores.servers.read(newKek(), 'a'));
  });

  const insert = (into: TableStores, kek = newKek()) => ({
    kek,
    written: into.servers.commit(kek, [{ value: plainServer(kek, 'a'), etag: null, history: null }], {
      audit: [auditOf('a')],
      events: [],
    }),
  });

  test.each<[Fault, boolean]>([
    [{ kind: 'resetBefore' }, false],
    [{ kind: 'status', status: 500 }, false],
    [{ kind: 'resetAfter' }, true],
    [{ kind: 'statusAfter', status: 500 }, true],
  ])(
    'a write that meets %j is StoreUnavailable, whether it took effect or not',
    async (fault, tookEffect) => {
      faulty.fail(fault);
      const { kek, written } = insert(stores);
      await expectCode('StoreUnavailable', written);
      expect((await stores.servers.read(kek, 'a')) !== undefined).toBe(tookEffect);
      expect(await stores.outbox.pageOutbox(kekKey(kek), false, 5)).toHaveLength(tookEffect ? 1 : 0);
    },
  );

  test('a write that was repeated is done when it had not taken effect', async () => {
    faulty.fail({ kind: 'resetBefore' });
    const { kek, written } = insert(patient);
    await written;
    expect(await stores.servers.read(kek, 'a')).toBeDefined();
  });

  test('a repeated insert that had taken effect is a WriteConflict, and its caller finds it there', async () => {
    faulty.fail({ kind: 'statusAfter', status: 503 });
    const { kek, written } = insert(patient);
    await expectCode('WriteConflict', written);
    expect((await stores.servers.read(kek, 'a'))?.value).toEqual(plainServer(kek, 'a'));
    expect(await stores.outbox.pageOutbox(kekKey(kek), false, 5)).toHaveLength(1);
  });

  test('a repeated replace that had taken effect is a WriteConflict', async () => {
    const kek = newKek();
    await stores.keks.commit(kek, { kek: { value: plainKek(kek), etag: null }, versions: [], outbox: null });
    const stored = await stores.keks.read(kek);
    faulty.fail({ kind: 'resetAfter' });
    const value = { ...plainKek(kek), epoch: 1 };
    const write = { kek: { value, etag: stored?.kek.etag ?? null }, versions: [], outbox: null };
    await expectCode('WriteConflict', patient.keks.commit(kek, write));
    expect((await stores.keks.read(kek))?.kek.value.epoch).toBe(1);
  });

  test('a delete that had taken effect is done', async () => {
    const chain = kekKey(newKek());
    await stores.outbox.put(chain, { audit: [auditOf('a')], events: [] });
    const [row] = await stores.outbox.pageOutbox(chain, false, 1);
    if (row === undefined) throw new Error('not there');
    faulty.fail({ kind: 'resetAfter' });
    await patient.outbox.remove(chain, row);
    expect(await stores.outbox.pageOutbox(chain, false, 1)).toEqual([]);
  });

  const operation = (line: string) => `--changesetresponse_x\r\n\r\nHTTP/1.1 ${line}\r\n\r\n`;
  test.each([
    ['is empty', '', 'StoreUnavailable'],
    ['says nothing about the operations', '--batchresponse_x\r\n--batchresponse_x--', 'StoreUnavailable'],
    ['leaves one out', `${operation('204 No Content')}--changesetresponse_x--`, 'StoreUnavailable'],
    [
      'refuses an operation without saying why',
      `${operation('204 No Content')}${operation('412 Precondition Failed')}--changesetresponse_x--`,
      'WriteConflict',
    ],
  ] as const)('an answer to a transaction that %s is not taken for success', async (_, body, code) => {
    const headers = { 'content-type': 'multipart/mixed; boundary=batchresponse_x' };
    faulty.fail({ kind: 'status', status: 202, headers, body });
    const { kek, written } = insert(stores);
    await expectCode(code, written);
    expect(await stores.servers.read(kek, 'a')).toBeUndefined();
  });
});
