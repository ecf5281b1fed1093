// The contract of OutboxStore and AuditStore.
import { describe, expect, test } from 'vitest';
import { type ChainedRecord, chainRecord, findBrokenRecord } from '../../shared/domain/audit.ts';
import { kekKey } from '../../shared/domain/key-id.ts';
import type { OutboxRow } from '../../shared/ports/outbox-store.ts';
import { auditOf, eventOf, plainKek, plainServer } from '../fixtures/rows.ts';
import { collect, expectCode, newKek, STALE, type StartStores, useStores } from './stores.ts';

const entryOf = (name: string) => ({ audit: [auditOf(name)], events: [eventOf(name)] });
const namesOf = (rows: readonly OutboxRow[]) => rows.map(({ events }) => events[0]?.id);

function chainOf(chain: string, length: number): readonly ChainedRecord[] {
  const records: ChainedRecord[] = [];
  for (let n = 0; n < length; n += 1) {
    const last = records.at(-1) ?? null;
    records.push(chainRecord(chain, last, `row-${last?.sequence ?? 0}/0`, JSON.stringify(auditOf(`ä ${n}`))));
  }
  return records;
}

export function describeOutboxStore(start: StartStores): void {
  const under = useStores(start);
  const outbox = () => under().stores.outbox;
  const audit = () => under().stores.audit;
  const first = async (chain: string, audited = false): Promise<OutboxRow> => {
    const [row] = await outbox().pageOutbox(chain, audited, 1);
    if (row === undefined) throw new Error('the outbox is empty');
    return row;
  };

  describe('the outbox', () => {
    test('keeps the bodies byte for byte, and the events', async () => {
      const chain = kekKey(newKek());
      await outbox().put(chain, {
        audit: [auditOf('1'), auditOf('2')],
        events: [eventOf('a'), eventOf('b')],
      });
      const row = await first(chain);
      expect(row.auditBodies).toEqual([JSON.stringify(auditOf('1')), JSON.stringify(auditOf('2'))]);
      expect(row.events).toEqual([eventOf('a'), eventOf('b')]);
      expect(row.audited).toBe(false);
    });

    test('keeps an entry much longer than a column', async () => {
      const chain = kekKey(newKek());
      const audit = Array.from({ length: 98 }, (_, n) => auditOf('😀'.repeat(400) + n));
      await outbox().put(chain, { audit, events: [] });
      const row = await first(chain);
      expect(row.auditBodies).toEqual(audit.map((record) => JSON.stringify(record)));
      expect((await outbox().markAudited(chain, row)).auditBodies).toEqual(row.auditBodies);
      expect((await first(chain, true)).auditBodies).toEqual(row.auditBodies);
    });

    test('is one, in the order of writing, wherever its rows were written', async () => {
      const kek = newKek();
      const chain = kekKey(kek);
      const { keks, servers } = under().stores;
      await keks.commit(kek, {
        kek: { value: plainKek(kek), etag: null },
        versions: [],
        outbox: entryOf('1'),
      });
      await servers.commit(kek, [{ value: plainServer(kek, 'db'), etag: null, history: null }], entryOf('2'));
      await outbox().put(chain, entryOf('3'));
      await servers.commit(kek, [], entryOf('4'));
      await keks.commit(kek, { kek: null, versions: [], outbox: entryOf('5') });
      // Rows of one table keep their order also within a millisecond.
      const rows = await outbox().pageOutbox(chain, false, 10);
      expect(namesOf(rows).toSorted()).toEqual(['1', '2', '3', '4', '5']);
      expect(namesOf(rows).filter((name) => '135'.includes(name ?? ''))).toEqual(['1', '3', '5']);
      expect(namesOf(rows).filter((name) => '24'.includes(name ?? ''))).toEqual(['2', '4']);
      expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).toSorted());
      expect(new Set(rows.map(({ id }) => id)).size).toBe(5);
      expect((await servers.page(kek, { after: null, from: null, to: null, limit: 10 })).rows).toHaveLength(
        1,
      );
    });

    test('of one chain is not that of another', async () => {
      const { vault } = newKek();
      await outbox().put(`${vault}|a`, entryOf('a'));
      await outbox().put(`${vault}|a-1`, entryOf('a-1'));
      expect(namesOf(await outbox().pageOutbox(`${vault}|a`, false, 10))).toEqual(['a']);
    });

    test('is paged by what is audited and what is not', async () => {
      const kek = newKek();
      const chain = kekKey(kek);
      for (let n = 0; n < 7; n += 1) await outbox().put(chain, entryOf(String(n)));
      expect(namesOf(await outbox().pageOutbox(chain, false, 5))).toEqual(['0', '1', '2', '3', '4']);
      expect(await outbox().pageOutbox(chain, true, 5)).toEqual([]);
      for (const row of await outbox().pageOutbox(chain, false, 5)) {
        const marked = await outbox().markAudited(chain, row);
        expect(marked.audited).toBe(true);
        expect(marked.etag).not.toBe(row.etag);
      }
      expect(namesOf(await outbox().pageOutbox(chain, false, 5))).toEqual(['5', '6']);
      for (const row of await outbox().pageOutbox(chain, true, 3)) await outbox().remove(chain, row);
      expect(namesOf(await outbox().pageOutbox(chain, true, 5))).toEqual(['3', '4']);
      expect(namesOf(await outbox().pageOutbox(chain, null, 5))).toEqual(['3', '4', '5', '6']);
      expect(namesOf(await outbox().pageOutbox(chain, null, 3))).toEqual(['3', '4', '5']);
    });

    test('names the ETag in both of its writes (invariant I-10)', async () => {
      const kek = newKek();
      for (const put of [
        (chain: string) => outbox().put(chain, entryOf('a')),
        () => under().stores.servers.commit(kek, [], entryOf('b')),
      ]) {
        const chain = kekKey(kek);
        await put(chain);
        const row = await first(chain);
        const marked = await outbox().markAudited(chain, row);
        expect(await first(chain, true)).toEqual(marked);
        await expectCode('WriteConflict', outbox().markAudited(chain, row));
        await expectCode('WriteConflict', outbox().remove(chain, row));
        for (const etag of ['*', '', STALE]) {
          await expectCode('WriteConflict', outbox().remove(chain, { ...row, etag }));
        }
        expect(await first(chain, true)).toEqual(marked);
        await outbox().remove(chain, marked);
        expect(await outbox().pageOutbox(chain, true, 5)).toEqual([]);
      }
    });

    test('a row that is gone already is no error', async () => {
      const chain = kekKey(newKek());
      await outbox().put(chain, entryOf('a'));
      const row = await first(chain);
      await outbox().remove(chain, row);
      await outbox().remove(chain, row);
      expect((await outbox().markAudited(chain, row)).audited).toBe(true);
      expect(await outbox().pageOutbox(chain, true, 5)).toEqual([]);
    });
  });

  describe('the audit', () => {
    test('of a chain that was never written is empty', async () => {
      expect(await audit().tail(kekKey(newKek()), 5)).toEqual([]);
      expect(await collect(audit().readChain(kekKey(newKek())))).toEqual([]);
    });

    test('is read back in order, whole and from its end, over many transactions', async () => {
      const chain = kekKey(newKek());
      const records = chainOf(chain, 280);
      for (const from of [0, 99, 198])
        await audit().append(chain, records.slice(from, from + 99).slice(0, 280 - from));
      expect(await collect(audit().readChain(chain))).toEqual(records);
      expect(findBrokenRecord(chain, await collect(audit().readChain(chain)))).toBeNull();
      for (const after of [0, 1, 150, 279, 280, 300])
        expect(await collect(audit().readChain(chain, after))).toEqual(records.slice(after));
      for (const limit of [1, 3, 180, 280, 500]) {
        expect(await audit().tail(chain, limit)).toEqual(records.slice(-limit));
      }
    });

    test('keeps a body much longer than a column', async () => {
      const chain = kekKey(newKek());
      const record = chainRecord(chain, null, 'row/0', JSON.stringify(auditOf('ä😀'.repeat(30_000))));
      await audit().append(chain, [record]);
      expect(await audit().tail(chain, 1)).toEqual([record]);
    });

    test('takes no second writer at the same place: a chain never forks (invariant I-10)', async () => {
      const chain = kekKey(newKek());
      const [a, b, c] = chainOf(chain, 3);
      if (a === undefined || b === undefined || c === undefined) throw new Error('too short');
      await audit().append(chain, [a]);
      await expectCode('WriteConflict', audit().append(chain, [a]));
      await audit().append(chain, [b]);
      await expectCode('WriteConflict', audit().append(chain, [chainRecord(chain, a, 'other/0', '{}')]));
      await expectCode(
        'WriteConflict',
        audit().append(chain, [chainRecord(chain, { ...b, hash: a.hash }, 'other/0', '{}')]),
      );
      await expectCode('WriteConflict', audit().append(chain, [chainRecord(chain, c, 'gap/0', '{}')]));
      expect(await audit().tail(chain, 10)).toEqual([a, b]);
    });

    test('of two writers at once, one goes on and the other is told', async () => {
      const chain = kekKey(newKek());
      const [a] = chainOf(chain, 1);
      if (a === undefined) throw new Error('too short');
      await audit().append(chain, [a]);
      const outcomes = await Promise.allSettled(
        Array.from({ length: 6 }, (_, n) =>
          audit().append(chain, [chainRecord(chain, a, `writer-${n}/0`, '{}')]),
        ),
      );
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(findBrokenRecord(chain, await collect(audit().readChain(chain)))).toBeNull();
      expect(await audit().tail(chain, 10)).toHaveLength(2);
    });

    test('of nothing appends nothing', async () => {
      const chain = kekKey(newKek());
      await audit().append(chain, []);
      expect(await audit().tail(chain, 1)).toEqual([]);
    });
  });
}
