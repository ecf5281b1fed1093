// The contract of KekStore and BreakerStore.
import { describe, expect, test } from 'vitest';
import type { Rotation, VersionCount } from '../../shared/domain/kek.ts';
import { type KekId, kekKey } from '../../shared/domain/key-id.ts';
import type { KekChange, OutboxEntry } from '../../shared/ports/kek-store.ts';
import {
  auditOf,
  eventOf,
  fullKek,
  fullVersion,
  LATER,
  NOW,
  plainKek,
  plainVersion,
  versionOf,
} from '../fixtures/rows.ts';
import { collect, expectCode, newKek, STALE, type StartStores, useStores } from './stores.ts';

const change = (part: Partial<KekChange>): KekChange => ({ kek: null, versions: [], outbox: null, ...part });
const entry: OutboxEntry = { audit: [auditOf('a')], events: [eventOf('e')] };
const inserted = (kek: KekId): KekChange =>
  change({
    kek: { value: plainKek(kek), etag: null },
    versions: [{ value: plainVersion(1), etag: null }],
  });

export function describeKekStore(start: StartStores): void {
  const under = useStores(start);
  const keks = () => under().stores.keks;
  const read = async (kek: KekId) => {
    const stored = await keks().read(kek);
    if (stored?.versions[0] === undefined) throw new Error('not there');
    return { ...stored, version: stored.versions[0] };
  };

  describe('KEKs', () => {
    test('one that was never written is undefined', async () => {
      expect(await keks().read(newKek())).toBeUndefined();
    });

    test('come back as they were written, in every field', async () => {
      const kek = { vault: '127.0.0.1:8443', name: `k-${newKek().vault.slice(0, 9)}` };
      const versions = [fullVersion(2), plainVersion(1)].map((value) => ({ value, etag: null }));
      await keks().commit(kek, change({ kek: { value: fullKek(kek), etag: null }, versions }));
      const stored = await keks().read(kek);
      expect(stored?.kek.value).toEqual(fullKek(kek));
      expect(stored?.versions.map((one) => one.value)).toEqual([plainVersion(1), fullVersion(2)]);
      await keks().commit(kek, change({ kek: { value: plainKek(kek), etag: stored?.kek.etag ?? null } }));
      expect((await keks().read(kek))?.kek.value).toEqual(plainKek(kek));
    });

    test.each<Rotation>([
      { state: 'idle' },
      { state: 'running', startedAt: NOW, resumedAt: null, wave: null },
      { state: 'completed', startedAt: NOW, completedAt: LATER },
    ])('a rotation that is $state comes back', async (rotation) => {
      const kek = newKek();
      const value = { ...plainKek(kek), rotation };
      await keks().commit(kek, change({ kek: { value, etag: null } }));
      expect((await keks().read(kek))?.kek.value).toEqual(value);
    });

    test('a census of many versions comes back', async () => {
      const kek = newKek();
      const counted = Array.from({ length: 1500 }, (_, n) => [
        versionOf(n),
        { servers: n, tombstones: 0, copies: 0, unproven: 0, unprovenSuccessors: 0 },
      ]);
      const versions: Readonly<Record<string, VersionCount>> = Object.fromEntries(counted);
      const states = { [versionOf(3)]: { Ready: 2, Revoking: 1 } };
      const value = {
        ...plainKek(kek),
        census: { countedAt: NOW, versions, states, notSettled: 0, behind: 7, lastBehind: 'pg-9' },
      };
      await keks().commit(kek, change({ kek: { value, etag: null } }));
      const stored = await keks().read(kek);
      expect(stored?.kek.value).toEqual(value);
      await keks().commit(kek, change({ kek: { value: plainKek(kek), etag: stored?.kek.etag ?? null } }));
      expect((await keks().read(kek))?.kek.value).toEqual(plainKek(kek));
    });

    test('a change of nothing is no write', async () => {
      const kek = newKek();
      await keks().commit(kek, change({}));
      expect(await keks().read(kek)).toBeUndefined();
    });

    test('inserting twice is refused (invariant I-10)', async () => {
      const kek = newKek();
      await keks().commit(kek, inserted(kek));
      const { version } = await read(kek);
      await expectCode(
        'WriteConflict',
        keks().commit(kek, change({ kek: { value: fullKek(kek), etag: null } })),
      );
      const again = change({ versions: [{ value: fullVersion(1), etag: null }] });
      await expectCode('WriteConflict', keks().commit(kek, again));
      expect((await read(kek)).version).toEqual(version);
    });

    test('an ETag changes with every write, and a stale one is refused, of the KEK and of a version', async () => {
      const kek = newKek();
      await keks().commit(kek, inserted(kek));
      const first = await read(kek);
      await keks().commit(kek, change({ kek: first.kek, versions: first.versions }));
      const second = await read(kek);
      expect([second.kek.etag, second.version.etag]).not.toContain(first.kek.etag);
      expect(second.version.etag).not.toBe(first.version.etag);
      await expectCode('WriteConflict', keks().commit(kek, change({ kek: first.kek })));
      await expectCode('WriteConflict', keks().commit(kek, change({ versions: first.versions })));
      expect(await read(kek)).toEqual(second);
    });

    test.each(['*', '', STALE])('the ETag %j writes nothing, there or not (invariant I-10)', async (etag) => {
      const kek = newKek();
      await expectCode('WriteConflict', keks().commit(kek, change({ kek: { value: plainKek(kek), etag } })));
      expect(await keks().read(kek)).toBeUndefined();
      await keks().commit(kek, inserted(kek));
      await expectCode('WriteConflict', keks().commit(kek, change({ kek: { value: fullKek(kek), etag } })));
      expect((await read(kek)).kek.value).toEqual(plainKek(kek));
    });

    test('one stale row takes the whole transaction with it, its outbox included', async () => {
      const kek = newKek();
      await keks().commit(kek, inserted(kek));
      const before = await read(kek);
      const versions = [
        { value: fullVersion(1), etag: STALE },
        { value: fullVersion(2), etag: null },
      ];
      const whole = { kek: { value: fullKek(kek), etag: before.kek.etag }, versions, outbox: entry };
      await expectCode('WriteConflict', keks().commit(kek, whole));
      expect(await read(kek)).toEqual(before);
      const rows = await under().stores.outbox.pageOutbox(`${kek.vault}|${kek.name}`, false, 10);
      expect(rows).toEqual([]);
    });

    test('one that does not parse throws when it is read alone, and is reported and left out of a list', async () => {
      const [sound, spoilt] = [newKek('sound'), newKek('spoilt')];
      for (const kek of [sound, spoilt]) await keks().commit(kek, inserted(kek));
      await under().spoilKek(spoilt);
      await expectCode('InvalidRow', keks().read(spoilt));
      const reported = under().invalid.length;
      const listed = await collect(keks().list({ vault: spoilt.vault }));
      expect(listed).toEqual([]);
      expect(
        under()
          .invalid.slice(reported)
          .map(({ code }) => code),
      ).toEqual(['InvalidRow']);
      expect(await collect(keks().list({ vault: sound.vault }))).toHaveLength(1);
    });

    test('are listed with their versions, all or of one vault, and no vault whose name begins like it', async () => {
      const { vault } = newKek();
      const names = ['b', 'a', 'a-1', '0'];
      const own = names.map((name) => ({ vault, name }));
      const others = [`${vault}.au`, `${vault}:8443`, `a${vault}`].map((host) => ({
        vault: host,
        name: 'a',
      }));
      for (const kek of [...own, ...others]) await keks().commit(kek, { ...inserted(kek), outbox: entry });
      const listed = await collect(keks().list({ vault }));
      expect(listed.map(({ kek }) => kek.value.kek.name).toSorted()).toEqual(names.toSorted());
      expect(listed.every(({ versions }) => versions.length === 1)).toBe(true);
      const from = { vault, name: 'a-1' };
      const rest = await collect(keks().list({ vault, from }));
      expect(rest.map(({ kek }) => kek.value.kek.name)).toEqual(['a-1', 'b']);
      const all = await collect(keks().list({ vault: null }));
      expect((await collect(keks().list({ vault: null, from }))).map(({ kek }) => kek.value.kek)).toEqual(
        all.map(({ kek }) => kek.value.kek).filter((kek) => kekKey(kek) >= kekKey(from)),
      );
      for (const kek of [...own, ...others]) expect(all.map((one) => one.kek.value.kek)).toContainEqual(kek);
      expect(listed[0]).toEqual(
        await keks().read(own.find(({ name }) => name === listed[0]?.kek.value.kek.name) ?? newKek()),
      );
    });

    test('a hundred writes go in one transaction, and one more is a fault of the caller', async () => {
      const kek = newKek();
      const versions = Array.from({ length: 99 }, (_, n) => ({ value: plainVersion(n), etag: null }));
      const whole = { kek: { value: plainKek(kek), etag: null }, versions, outbox: entry };
      await expect(keks().commit(kek, whole)).rejects.toThrow(RangeError);
      await keks().commit(kek, { ...whole, outbox: null });
      expect((await keks().read(kek))?.versions).toHaveLength(99);
    });
  });

  describe('the breaker', () => {
    test('is one row, written under its ETag', async () => {
      const closed = { suspects: {}, trippedAt: null };
      const open = { suspects: { 'a.vault.azure.net': NOW, '127.0.0.1:8443': LATER }, trippedAt: NOW };
      expect(await keks().readBreaker()).toBeUndefined();
      await expectCode('WriteConflict', keks().writeBreaker({ value: open, etag: STALE }));
      await keks().writeBreaker({ value: closed, etag: null });
      const first = await keks().readBreaker();
      expect(first?.value).toEqual(closed);
      await expectCode('WriteConflict', keks().writeBreaker({ value: open, etag: null }));
      await keks().writeBreaker({ value: open, etag: first?.etag ?? null });
      await expectCode('WriteConflict', keks().writeBreaker({ value: closed, etag: first?.etag ?? null }));
      expect((await keks().readBreaker())?.value).toEqual(open);
    });

    test('is no KEK', async () => {
      const all = await collect(keks().list({ vault: null }));
      expect(all.map(({ kek }) => kek.value.kek.vault)).not.toContain('breaker');
    });
  });
}
