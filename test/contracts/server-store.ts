// The contract of ServerStore and ServerIndex.
import { beforeAll, describe, expect, test } from 'vitest';
import { type KekId, kekKey } from '../../shared/domain/key-id.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { HistoryPage, PageQuery, ServerWrite } from '../../shared/ports/server-store.ts';
import { auditOf, eventOf, fullServer, historyOf, NOW, plainServer, versionOf } from '../fixtures/rows.ts';
import { expectCode, newKek, STALE, type StartStores, useStores } from './stores.ts';

const ALL: PageQuery = { after: null, from: null, to: null, limit: 1000 };
const entry = { audit: [auditOf('a')], events: [eventOf('e')] };
const insert = (value: ServerRow): ServerWrite => ({ value, etag: null, history: null });
const serverName = (number: number) => `db-${String(number).padStart(4, '0')}`;

export function describeServerStore(start: StartStores): void {
  const under = useStores(start);
  const servers = () => under().stores.servers;
  const outboxOf = (kek: KekId) => under().stores.outbox.pageOutbox(kekKey(kek), false, 10);
  const insertServers = async (kek: KekId, ids: readonly string[]) => {
    for (let from = 0; from < ids.length; from += 98) {
      const writes = ids.slice(from, from + 98).map((id) => insert(plainServer(kek, id)));
      await servers().commit(kek, writes, null);
    }
  };
  const readAll = async (kek: KekId) => (await servers().page(kek, ALL)).rows;
  /** Every row of a KEK under the next version, its old wrapping filed. */
  const rewrapped = async (kek: KekId): Promise<readonly ServerWrite[]> =>
    (await readAll(kek)).map(({ value, etag }) => ({
      value: {
        ...value,
        wrapped: { ...value.wrapped, kekVersion: versionOf(2) },
        sequence: value.sequence + 1,
      },
      etag,
      history: historyOf(value),
    }));

  describe('a server', () => {
    test('that was never written is undefined', async () => {
      expect(await servers().read(newKek(), 'db')).toBeUndefined();
      expect(await servers().page(newKek(), ALL)).toEqual({ rows: [], held: [], next: null });
    });

    test('comes back as it was written, in every field', async () => {
      const kek = { vault: `${newKek().vault}:8443`, name: 'a-b--c' };
      for (const row of [plainServer(kek, 'plain'), fullServer(kek, 'full')]) {
        await servers().commit(kek, [insert(row)], null);
        expect((await servers().read(kek, row.serverId))?.value).toEqual(row);
        expect(await readAll(kek)).toContainEqual(await servers().read(kek, row.serverId));
      }
    });

    test('inserted twice is refused, and so is a stale ETag (invariant I-10)', async () => {
      const kek = newKek();
      await servers().commit(kek, [insert(plainServer(kek, 'db'))], null);
      const first = await servers().read(kek, 'db');
      if (first === undefined) throw new Error('not there');
      await expectCode('WriteConflict', servers().commit(kek, [insert(fullServer(kek, 'db'))], entry));
      await servers().commit(kek, [{ ...first, history: null }], null);
      const second = await servers().read(kek, 'db');
      expect(second).toEqual({ value: first.value, etag: expect.not.stringContaining(first.etag) });
      await expectCode('WriteConflict', servers().commit(kek, [{ ...first, history: null }], entry));
      const unread = { value: fullServer(kek, 'db'), etag: '*', history: null };
      await expectCode('WriteConflict', servers().commit(kek, [unread], entry));
      expect(await servers().read(kek, 'db')).toEqual(second);
      expect(await outboxOf(kek)).toEqual([]);
    });

    test('that is gone, or never was, is a conflict for who read it', async () => {
      const kek = newKek();
      const write = { value: plainServer(kek, 'db'), etag: STALE, history: null };
      await expectCode('WriteConflict', servers().commit(kek, [write], entry));
      expect(await readAll(kek)).toEqual([]);
    });

    test('of another KEK is not written here', async () => {
      const kek = newKek();
      await expect(servers().commit(kek, [insert(plainServer(newKek(), 'db'))], null)).rejects.toThrow();
    });
  });

  describe('one transaction', () => {
    test('holds 49 writes, 49 histories and an outbox row', async () => {
      const kek = newKek();
      await insertServers(
        kek,
        Array.from({ length: 49 }, (_, n) => serverName(n)),
      );
      const before = await readAll(kek);
      const writes = await rewrapped(kek);
      await servers().commit(kek, writes, entry);
      const after = await readAll(kek);
      expect(after.map(({ value }) => value)).toEqual(writes.map(({ value }) => value));
      expect(await servers().history(kek, serverName(48))).toEqual([
        historyOf(before[48]?.value ?? plainServer(kek, 'none')),
      ]);
      expect(await outboxOf(kek)).toHaveLength(1);
    });

    test('holds 98 writes and an outbox row, and no more than 100', async () => {
      const kek = newKek();
      const writes = Array.from({ length: 98 }, (_, n) => insert(plainServer(kek, serverName(n))));
      const more = [98, 99].map((n) => insert(plainServer(kek, serverName(n))));
      await expect(servers().commit(kek, [...writes, ...more], entry)).rejects.toThrow(RangeError);
      expect(await readAll(kek)).toEqual([]);
      await servers().commit(kek, writes, entry);
      expect(await readAll(kek)).toHaveLength(98);
      expect(await outboxOf(kek)).toHaveLength(1);
    });

    test('is undone by one stale row: rows, histories and outbox (invariants I-03, I-10)', async () => {
      const kek = newKek();
      await insertServers(
        kek,
        Array.from({ length: 49 }, (_, n) => serverName(n)),
      );
      const writes = await rewrapped(kek);
      const disturbed = await servers().read(kek, serverName(30));
      if (disturbed === undefined) throw new Error('not there');
      await servers().commit(kek, [{ ...disturbed, history: null }], null);
      const before = await readAll(kek);
      await expectCode('WriteConflict', servers().commit(kek, writes, entry));
      expect(await readAll(kek)).toEqual(before);
      for (const n of [0, 30, 48]) expect(await servers().history(kek, serverName(n))).toEqual([]);
      expect(await outboxOf(kek)).toEqual([]);
    });

    test('is undone by a history row that is there already (invariant I-03)', async () => {
      const kek = newKek();
      await insertServers(kek, ['db']);
      await servers().commit(kek, await rewrapped(kek), null);
      const before = await servers().read(kek, 'db');
      if (before === undefined) throw new Error('not there');
      const filed = await servers().history(kek, 'db');
      const history = historyOf(plainServer(kek, 'db'), { replacedBy: 'somebody else' });
      await expectCode('WriteConflict', servers().commit(kek, [{ ...before, history }], entry));
      expect(await servers().read(kek, 'db')).toEqual(before);
      expect(await servers().history(kek, 'db')).toEqual(filed);
    });

    test('of nothing but an outbox row, or of nothing at all, goes through', async () => {
      const kek = newKek();
      await servers().commit(kek, [], null);
      await servers().commit(kek, [], entry);
      expect(await outboxOf(kek)).toHaveLength(1);
    });
  });

  describe('paging over 250 servers', () => {
    const kek = newKek();
    const ids = Array.from({ length: 250 }, (_, n) => serverName(n));
    beforeAll(async () => {
      await insertServers(kek, ids);
      // Neighbours in the partition, of which none belongs on a page.
      const [first] = (await servers().page(kek, { ...ALL, limit: 1 })).rows;
      if (first === undefined) throw new Error('not there');
      await servers().commit(kek, [{ ...first, history: historyOf(first.value) }], entry);
    });
    const page = async (query: Partial<PageQuery>) => {
      const { rows, next } = await servers().page(kek, { ...ALL, ...query });
      return { ids: rows.map(({ value }) => value.serverId), next };
    };

    test.each([1000, 250, 249, 100, 98, 7])('in pages of %i it meets each once, in order', async (limit) => {
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const found: Awaited<ReturnType<typeof page>> = await page({ after, limit });
        expect(found.ids.length).toBeLessThanOrEqual(limit);
        if (found.next !== null) expect(found.next).toBe(found.ids.at(-1));
        seen.push(...found.ids);
        after = found.next;
      } while (after !== null);
      expect(seen).toEqual(ids);
    });

    test.each<[string, Partial<PageQuery>, number, number]>([
      ['from includes its server', { from: serverName(240) }, 240, 250],
      ['to includes its server', { to: serverName(3) }, 0, 4],
      ['after excludes its server', { after: serverName(240) }, 241, 250],
      ['from and to are a range', { from: serverName(98), to: serverName(195) }, 98, 196],
      ['a range of one', { from: serverName(9), to: serverName(9) }, 9, 10],
      [
        'after goes on within a range',
        { after: serverName(100), from: serverName(98), to: serverName(110) },
        101,
        111,
      ],
      [
        'after before the range changes nothing',
        { after: serverName(3), from: serverName(98), to: serverName(99) },
        98,
        100,
      ],
      [
        'after behind the range leaves nothing',
        { after: serverName(99), from: serverName(98), to: serverName(99) },
        0,
        0,
      ],
      ['ends of ranges need not exist', { from: 'db-', to: 'db-0002-not' }, 0, 3],
    ])('%s', async (_, query, first, behind) => {
      expect(await page(query)).toEqual({ ids: ids.slice(first, behind), next: null });
    });

    test('a limit ends a range early', async () => {
      const found = await page({ from: serverName(98), to: serverName(195), limit: 10 });
      expect(found).toEqual({ ids: ids.slice(98, 108), next: serverName(107) });
    });
  });

  test('ids of all legal kinds keep their order and their histories apart', async () => {
    const kek = newKek();
    const ids = ['0', '0-', '9', 'a', 'a-', 'a--', 'a-1', 'a0', 'aa', 'b', 'x'.repeat(63), 'z'];
    await insertServers(kek, ids.toReversed());
    await servers().commit(kek, await rewrapped(kek), null);
    expect((await readAll(kek)).map(({ value }) => value.serverId)).toEqual(ids);
    for (const id of ids) {
      expect((await servers().history(kek, id)).map(({ serverId }) => serverId)).toEqual([id]);
    }
  });

  test('the history is in the order of its sequence, whatever the versions are called', async () => {
    const kek = newKek();
    await insertServers(kek, ['db']);
    for (const sequence of Array.from({ length: 12 }, (_, n) => n)) {
      const stored = await servers().read(kek, 'db');
      if (stored === undefined) throw new Error('not there');
      const kekVersion = versionOf(1000 - sequence * 7);
      const wrapped = { ...stored.value.wrapped, kekVersion };
      const history = historyOf(stored.value);
      await servers().commit(
        kek,
        [{ value: { ...stored.value, sequence: sequence + 1, wrapped }, etag: stored.etag, history }],
        null,
      );
    }
    const sequences = (await servers().history(kek, 'db')).map(({ sequence }) => sequence);
    expect(sequences).toEqual(Array.from({ length: 12 }, (_, n) => n));
  });

  test('a row that does not parse is held on its page, thrown when read alone, and no other suffers', async () => {
    const kek = newKek();
    await insertServers(kek, ['a', 'b', 'c', 'd']);
    await under().spoilServer(kek, 'b');
    const { rows, held, next } = await servers().page(kek, ALL);
    expect(rows.map(({ value }) => value.serverId)).toEqual(['a', 'c', 'd']);
    expect(held).toEqual([{ rowKey: 's:b', problem: expect.any(String) }]);
    expect(next).toBeNull();
    await expectCode('InvalidRow', servers().read(kek, 'b'));
    const first = await servers().page(kek, { ...ALL, limit: 2 });
    expect(first.next).toBe('b');
    expect((await servers().page(kek, { ...ALL, after: 'b' })).rows).toHaveLength(2);
  });

  test('hasServersOff looks at those that follow the rotation', async () => {
    const kek = newKek();
    const target = versionOf(1);
    const off = plainServer(kek, 'x').wrapped;
    const elsewhere = { wrapped: { ...off, kekVersion: versionOf(9) } };
    expect(await servers().hasServersOff(kek, target)).toBe(false);
    await insertServers(
      kek,
      Array.from({ length: 120 }, (_, n) => serverName(n)),
    );
    const aside = [
      insert(plainServer(kek, 'incoming', { ...elsewhere, incoming: true })),
      insert(plainServer(kek, 'pinned', { ...elsewhere, pinned: true })),
      insert(
        plainServer(kek, 'moving', {
          ...elsewhere,
          moving: { from: kek, to: newKek(), since: NOW, by: 'anna' },
        }),
      ),
    ];
    const [first] = await readAll(kek);
    if (first === undefined) throw new Error('not there');
    const history = historyOf(first.value, { wrapped: elsewhere.wrapped });
    await servers().commit(kek, [...aside, { ...first, history }], null);
    expect(await servers().hasServersOff(kek, target)).toBe(false);
    expect(await servers().hasServersOff(kek, versionOf(9))).toBe(true);
    await servers().commit(kek, [insert(plainServer(kek, 'z', { ...elsewhere, tombstone: true }))], null);
    expect(await servers().hasServersOff(kek, target)).toBe(true);
    expect(await servers().hasServersOff(kek, target, 'y')).toBe(false);
    expect(await servers().hasServersOff(kek, target, 'z')).toBe(true);
  });

  describe('removing a server', () => {
    test('takes the row, and nothing of its history', async () => {
      const kek = newKek();
      await insertServers(kek, ['db', 'db-2']);
      await servers().commit(kek, await rewrapped(kek), null);
      const stored = await servers().read(kek, 'db');
      if (stored === undefined) throw new Error('not there');
      await servers().remove(kek, 'db', stored.etag);
      expect(await servers().read(kek, 'db')).toBeUndefined();
      expect((await readAll(kek)).map(({ value }) => value.serverId)).toEqual(['db-2']);
      expect(await servers().history(kek, 'db')).toHaveLength(1);
    });

    test('that is gone, or never was, is no error', async () => {
      const kek = newKek();
      await insertServers(kek, ['db']);
      const stored = await servers().read(kek, 'db');
      if (stored === undefined) throw new Error('not there');
      await servers().remove(kek, 'db', stored.etag);
      await servers().remove(kek, 'db', stored.etag);
      await servers().remove(newKek(), 'db', STALE);
      expect(await readAll(kek)).toEqual([]);
    });

    test('that changed meanwhile is a conflict, and the row stays (invariant I-10)', async () => {
      const kek = newKek();
      await insertServers(kek, ['db']);
      const first = await servers().read(kek, 'db');
      if (first === undefined) throw new Error('not there');
      await servers().commit(kek, [{ ...first, history: null }], null);
      await expectCode('WriteConflict', servers().remove(kek, 'db', first.etag));
      await expectCode('WriteConflict', servers().remove(kek, 'db', '*'));
      expect((await servers().read(kek, 'db'))?.value).toEqual(first.value);
    });

    test('frees the place for another row', async () => {
      const kek = newKek();
      await insertServers(kek, ['db']);
      const first = await servers().read(kek, 'db');
      if (first === undefined) throw new Error('not there');
      await servers().remove(kek, 'db', first.etag);
      const write = { value: first.value, etag: first.etag, history: null };
      await expectCode('WriteConflict', servers().commit(kek, [write], null));
      await insertServers(kek, ['db']);
      expect((await servers().read(kek, 'db'))?.value).toEqual(first.value);
    });
  });

  describe('the history of a key version', () => {
    /** Server `db-n` was under version 1 and then under version 2, and is under version 3. */
    const rewrapTwice = async (kek: KekId, count: number) => {
      const ids = Array.from({ length: count }, (_, n) => serverName(n));
      await insertServers(kek, ids);
      for (const number of [1, 2]) {
        const rows = await readAll(kek);
        for (let from = 0; from < rows.length; from += 49) {
          const writes = rows.slice(from, from + 49).map(({ value, etag }) => ({
            value: {
              ...value,
              wrapped: { ...value.wrapped, kekVersion: versionOf(number + 1) },
              sequence: value.sequence + 1,
            },
            etag,
            history: historyOf(value),
          }));
          await servers().commit(kek, writes, null);
        }
      }
      return ids;
    };
    const allOf = async (kek: KekId, version: string, limit = 1000) => {
      const rows: HistoryPage['rows'][number][] = [];
      let after: string | null = null;
      let pages = 0;
      do {
        const page: HistoryPage = await servers().pageHistory(kek, version, { after, limit });
        expect(page.rows.length).toBeLessThanOrEqual(limit);
        rows.push(...page.rows);
        after = page.next;
        pages += 1;
      } while (after !== null);
      return { rows, pages, ids: rows.map(({ value }) => value.serverId) };
    };

    test('is empty where nothing was replaced', async () => {
      const kek = newKek();
      await insertServers(kek, ['db']);
      expect(await servers().pageHistory(kek, versionOf(1), { after: null, limit: 10 })).toEqual({
        rows: [],
        next: null,
      });
    });

    test('is met once for every server, in pages of any size, and of no other version', async () => {
      const kek = newKek();
      const ids = await rewrapTwice(kek, 30);
      for (const limit of [1000, 60, 59, 7, 1]) {
        for (const number of [1, 2]) {
          const found = await allOf(kek, versionOf(number), limit);
          expect(found.ids.toSorted()).toEqual(ids);
          expect(found.rows.every(({ value }) => value.wrapped.kekVersion === versionOf(number))).toBe(true);
          expect(found.pages).toBeGreaterThanOrEqual(60 / limit);
        }
      }
      expect((await allOf(kek, versionOf(3))).ids).toEqual([]);
      expect((await allOf(newKek(), versionOf(1))).ids).toEqual([]);
    });

    test('comes back as it was filed', async () => {
      const kek = newKek();
      const row = fullServer(kek, 'db');
      await servers().commit(kek, [insert(row)], null);
      const [stored] = await readAll(kek);
      if (stored === undefined) throw new Error('not there');
      await servers().commit(kek, [{ ...stored, history: historyOf(row) }], null);
      const { rows } = await allOf(kek, row.wrapped.kekVersion);
      expect(rows.map(({ value }) => value)).toEqual([historyOf(row)]);
    });

    test('is removed row by row while it is paged; the rows of servers and other versions stay', async () => {
      const kek = newKek();
      const ids = await rewrapTwice(kek, 20);
      const before = await readAll(kek);
      let after: string | null = null;
      let removed = 0;
      do {
        const page: HistoryPage = await servers().pageHistory(kek, versionOf(1), { after, limit: 7 });
        for (const row of page.rows) await servers().removeHistory(kek, row);
        removed += page.rows.length;
        after = page.next;
      } while (after !== null);
      expect(removed).toBe(20);
      expect((await allOf(kek, versionOf(1))).ids).toEqual([]);
      expect((await allOf(kek, versionOf(2))).ids.toSorted()).toEqual(ids);
      expect(await readAll(kek)).toEqual(before);
      expect((await servers().history(kek, serverName(3))).map(({ sequence }) => sequence)).toEqual([1]);
    });

    test('of one server is removed as a whole, and of no other; what is not there is no error', async () => {
      const kek = newKek();
      await rewrapTwice(kek, 3);
      const [first, second, third] = (await readAll(kek)).map(({ value }) => value.serverId);
      await servers().removeHistoryOf(kek, String(second));
      await servers().removeHistoryOf(kek, String(second));
      await servers().removeHistoryOf(newKek(), String(second));
      expect(await servers().history(kek, String(second))).toEqual([]);
      for (const id of [first, third]) expect(await servers().history(kek, String(id))).toHaveLength(2);
      expect(await readAll(kek)).toHaveLength(3);
    });

    test('a row that is gone already is no error; one under another ETag is a conflict (invariant I-10)', async () => {
      const kek = newKek();
      await rewrapTwice(kek, 2);
      const [first, second] = (await allOf(kek, versionOf(1))).rows;
      if (first === undefined || second === undefined) throw new Error('not there');
      await expectCode('WriteConflict', servers().removeHistory(kek, { ...first, etag: STALE }));
      expect((await allOf(kek, versionOf(1))).rows).toHaveLength(2);
      await servers().removeHistory(kek, first);
      await servers().removeHistory(kek, first);
      expect((await allOf(kek, versionOf(1))).rows).toEqual([second]);
    });
  });

  describe('the index', () => {
    const newId = () => newKek().vault.replaceAll('.', '-');
    const find = async (serverId: string) => {
      const stored = await under().stores.index.find(serverId);
      if (stored === undefined) throw new Error('not there');
      return stored;
    };

    test('points to another KEK, once for each ETag (invariant I-10)', async () => {
      const { index } = under().stores;
      const [serverId, from, to] = [newId(), newKek(), newKek()];
      await index.claim(serverId, from);
      const { etag } = await find(serverId);
      await index.point(serverId, to, etag);
      expect((await find(serverId)).value).toEqual(to);
      await expectCode('WriteConflict', index.point(serverId, from, etag));
      await expectCode('WriteConflict', index.point(newId(), to, STALE));
      expect((await find(serverId)).value).toEqual(to);
    });

    test('pointed to where it points already has another ETag: who read the old one is fenced off', async () => {
      const { index } = under().stores;
      const [serverId, kek] = [newId(), newKek()];
      await index.claim(serverId, kek);
      const { etag } = await find(serverId);
      await index.point(serverId, kek, etag);
      expect((await find(serverId)).etag).not.toBe(etag);
      await expectCode('WriteConflict', index.point(serverId, newKek(), etag));
      await expectCode('WriteConflict', index.release(serverId, etag));
    });

    test('frees an id, which can be claimed again', async () => {
      const { index } = under().stores;
      const [serverId, kek, other] = [newId(), newKek(), newKek()];
      await index.claim(serverId, kek);
      const { etag } = await find(serverId);
      await index.release(serverId, etag);
      expect(await index.find(serverId)).toBeUndefined();
      await index.release(serverId, etag);
      await expectCode('WriteConflict', index.point(serverId, kek, etag));
      await index.claim(serverId, other);
      expect((await find(serverId)).value).toEqual(other);
      await expectCode('WriteConflict', index.release(serverId, etag));
    });

    test('gives an id once', async () => {
      const { index } = under().stores;
      const [serverId, kek] = [newKek().vault.replaceAll('.', '-'), newKek()];
      expect(await index.find(serverId)).toBeUndefined();
      await index.claim(serverId, kek);
      await expectCode('WriteConflict', index.claim(serverId, newKek()));
      await expectCode('WriteConflict', index.claim(serverId, kek));
      expect((await index.find(serverId))?.value).toEqual(kek);
    });
  });
}
