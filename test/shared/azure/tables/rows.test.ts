// Rows that are written come back the same, whatever is in them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Columns, splitLong } from '../../../../shared/azure/tables/columns.ts';
import { kekFormat, versionFormat } from '../../../../shared/azure/tables/kek-rows.ts';
import { makeOutboxFormat, makeOutboxWriter } from '../../../../shared/azure/tables/outbox-rows.ts';
import type { Entity } from '../../../../shared/azure/tables/row-format.ts';
import { historyFormat, historyRowKey, serverFormat } from '../../../../shared/azure/tables/server-rows.ts';
import { kekKey } from '../../../../shared/domain/key-id.ts';
import {
  fullKek,
  fullServer,
  fullVersion,
  historyOf,
  NOW,
  plainServer,
  versionOf,
} from '../../../fixtures/rows.ts';

const KEK = { vault: 'v.vault.azure.net', name: 'key' };
const runs = { numRuns: Number(process.env['FC_RUNS'] ?? 50) };
const entityOf = (rowKey: string, properties: Columns): Entity => ({
  partitionKey: kekKey(KEK),
  rowKey,
  etag: 'W/"1"',
  properties,
});
const text = fc.string({ unit: 'binary' });
const date = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
const orNull = <T>(inner: fc.Arbitrary<T>) => fc.option(inner, { nil: null });

describe('rows', () => {
  test('a census of 0.1.0 says nothing of states', () => {
    const columns = kekFormat.toColumns(fullKek(KEK));
    const { states: _, ...old } = JSON.parse(String(columns['census']));
    const read = kekFormat.fromEntity(entityOf('kek', { ...columns, census: JSON.stringify(old) }));
    expect(read.census).toEqual({ ...fullKek(KEK).census, states: {} });
  });

  test('a server comes back, whatever texts, dates and counts are in it', () => {
    const some = fc.record({
      // zod leaves this one key out, here as at the HTTP API.
      labels: fc.dictionary(
        text.filter((key) => key !== '__proto__'),
        text,
        { noNullPrototype: true },
      ),
      hold: orNull(fc.record({ by: text, reason: text, since: date, until: orNull(date) })),
      principalId: orNull(fc.string({ unit: 'binary', minLength: 1 })),
      provenAt: orNull(date),
      drainUntil: orNull(date),
      createdAt: date,
      sessionsOpen: orNull(fc.nat()),
      accessEpoch: fc.nat(),
      incoming: fc.boolean(),
    });
    fc.assert(
      fc.property(some, fc.boolean(), (change, full) => {
        const row = { ...(full ? fullServer(KEK, 'db') : plainServer(KEK, 'db')), ...change };
        const columns = serverFormat.toColumns(row);
        expect(serverFormat.fromEntity(entityOf('s:db', columns))).toEqual(row);
        expect(Object.values(columns).every((value) => value !== null && value !== undefined)).toBe(true);
      }),
      runs,
    );
  });

  test('what is filtered by stands in columns of its own, and every row says its layout', () => {
    const columns = serverFormat.toColumns(fullServer(KEK, 'db'));
    expect(columns).toMatchObject({
      schema: 1,
      kekVersion: versionOf(1),
      pinned: true,
      incoming: true,
      desired: 'revoked',
    });
    expect(columns).toMatchObject({ ciphertext: 'c2VjcmV0', wrappedAt: NOW.toISOString() });
    expect(kekFormat.toColumns(fullKek(KEK))).toMatchObject({ schema: 1, epoch: 7, target: versionOf(2) });
    expect(versionFormat.toColumns(fullVersion(2))).toMatchObject({
      schema: 1,
      status: 'unusable',
      verdict: 'revoke',
    });
  });

  test('"none" is written down', () => {
    const columns = serverFormat.toColumns(plainServer(KEK, 'db'));
    expect(columns).toMatchObject({ provenAt: '', principalId: '', hold: 'null', sessionsOpen: 'null' });
  });

  test('a history row has its server, version and sequence in its key', () => {
    const row = historyOf(plainServer(KEK, 'db-1', { sequence: 12 }));
    expect(historyRowKey(row)).toBe(`h:db-1:${versionOf(1)}:0000000012`);
    expect(historyFormat.fromEntity(entityOf(historyRowKey(row), historyFormat.toColumns(row)))).toEqual(row);
  });

  test.each([
    'h:db',
    'h:DB:x:1',
    `h:db:${versionOf(1)}`,
    `h:db:${versionOf(1)}:x`,
    `h:db:${versionOf(1)}:1:2`,
  ])('the history key %s is refused', (rowKey) => {
    const columns = historyFormat.toColumns(historyOf(plainServer(KEK, 'db')));
    expect(() => historyFormat.fromEntity(entityOf(rowKey, columns))).toThrow(rowKey);
  });
});

describe('text longer than a column', () => {
  const format = makeOutboxFormat('keks');
  test('is written in pieces that fit, never cutting a character, and comes back', () => {
    const unit = fc.constantFrom('a', 'ä', '😀', '"', '\\', '\u0000', '\ud800', '字');
    const long = fc
      .array(unit, { minLength: 1, maxLength: 40 })
      .chain((units) =>
        fc
          .integer({ min: 1, max: Math.floor(100_000 / units.length) })
          .map((times) => units.join('').repeat(times)),
      );
    fc.assert(
      fc.property(fc.array(long, { maxLength: 3 }), (auditBodies) => {
        const content = { audited: false, auditBodies, events: [] };
        const columns = format.toColumns(content);
        for (const value of Object.values(columns)) {
          if (typeof value !== 'string') continue;
          expect(value.length).toBeLessThanOrEqual(32_000);
          expect(value.isWellFormed()).toBe(true);
        }
        expect(format.fromEntity(entityOf('o:1', columns))).toEqual(content);
      }),
      runs,
    );
  });

  test.each([
    [31_999, 1],
    [32_000, 1],
    [32_001, 2],
    [64_000, 2],
    [64_001, 3],
  ])('%i characters are %i columns', (length, columns) => {
    expect(Object.keys(splitLong({ x: 'a'.repeat(length) }))).toHaveLength(columns);
  });

  test('a missing piece is a fault, not a shorter text', () => {
    const content = { audited: false, auditBodies: ['x'.repeat(70_000)], events: [] };
    const { audit_1: _, ...columns } = format.toColumns(content);
    expect(() => format.fromEntity(entityOf('o:1', columns))).toThrow('audit: not JSON');
  });
});

describe('the ids of outbox rows', () => {
  test('are in the order of writing, also when the clock stands still or goes back', () => {
    const times = [5, 5, 5, 3, 4, 6, 1, 7, 7].map((ms) => new Date(1_700_000_000_000 + ms));
    const write = makeOutboxWriter('s', 'servers', () => times.shift() ?? NOW);
    const keys = Array.from({ length: 9 }, () => write({ audit: [], events: [] }).rowKey);
    expect(keys.toSorted()).toEqual(keys);
    expect(new Set(keys).size).toBe(9);
    expect(keys[0]).toMatch(/^o:001700000000005:\d{6}-[0-9a-f]{12}-s$/);
  });
});
