import { beforeEach, describe, expect, test } from 'vitest';
import { findBrokenRecord } from '../../../shared/domain/audit.ts';
import { CmkError } from '../../../shared/domain/errors.ts';
import { type KekId, kekKey } from '../../../shared/domain/key-id.ts';
import { type AuditPosition, type AuditQuery, makeReadAudit } from '../../../shared/operations/read-audit.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const OTHER: KekId = { vault: 'beta.vault.azure.net', name: 'fleet' };
const ALL: AuditQuery = { kek: null, serverId: null, fromTime: null, toTime: null, from: null, limit: 100 };

let world: World;
beforeEach(async () => {
  world = makeWorld();
  await world.begin(3);
  world.clock.advance(60);
  await world.begin(2, 'terminate', OTHER);
  const problem = new CmkError('InvalidEvent', 'not an event', { remedy: 'None.' });
  await world.app.rejectInput({ source: 'keyDisabled', id: 'e1', problem });
  await world.app.deliverOutbox();
});

const read = (query: Partial<AuditQuery> = {}) => makeReadAudit(world.stores)({ ...ALL, ...query });

describe('reading the audit', () => {
  test('goes through every chain, that of the app last, each whole', async () => {
    const { records, next } = await read();
    const chains = [...new Set(records.map(({ chain }) => chain))];
    expect(chains).toEqual([kekKey(KEK), kekKey(OTHER), 'app']);
    for (const name of chains) {
      const chain = records.filter((one) => one.chain === name).map(({ record }) => record);
      expect(findBrokenRecord(name, chain)).toBeNull();
    }
    expect(next).toBeNull();
  });

  test.each([1, 2, 3, 5])('in pages of %i comes to the same', async (limit) => {
    const found: unknown[] = [];
    let from: AuditPosition | null = null;
    do {
      const page = await read({ limit, from });
      expect(page.records.length).toBeLessThanOrEqual(limit);
      found.push(...page.records);
      from = page.next;
    } while (from !== null);
    expect(found).toEqual((await read()).records);
  });

  test('of one key has its chain only', async () => {
    const { records } = await read({ kek: OTHER });
    expect(new Set(records.map(({ chain }) => chain))).toEqual(new Set([kekKey(OTHER)]));
  });

  test('of a server has what names it, in the chain of the key it is under', async () => {
    const { records } = await read({ serverId: 's002' });
    expect(records.length).toBeGreaterThan(0);
    for (const { chain, record } of records) {
      expect(chain).toBe(kekKey(KEK));
      expect(JSON.parse(record.body).servers).toContain('s002');
    }
    expect((await read({ serverId: 's002', kek: OTHER })).records).toEqual([]);
    await expect(read({ serverId: 'nobody' })).rejects.toMatchObject({ code: 'ServerNotFound' });
  });

  test('by time takes the first instant and leaves out the last', async () => {
    const all = (await read({ kek: KEK })).records.map(({ record }) => record);
    const at = new Date(JSON.parse(all[0]?.body ?? '{}').at);
    const later = new Date(at.getTime() + 1);
    const times = async (fromTime: Date | null, toTime: Date | null) =>
      (await read({ kek: KEK, fromTime, toTime })).records.map(({ record }) => JSON.parse(record.body).at);
    expect(await times(null, at)).toEqual([]);
    expect(await times(at, later)).toContain(at.toISOString());
    expect((await times(later, null)).length).toBeLessThan(all.length);
  });

  test('looks at a bounded number of records for one answer, and says where to go on', async () => {
    const [first] = (await read({ kek: KEK })).records;
    const audit = {
      ...world.stores.audit,
      async *readChain(_: string, after = 0) {
        for (let sequence = after + 1; sequence <= 6000; sequence += 1)
          if (first !== undefined) yield { ...first.record, sequence };
      },
    };
    const readMany = makeReadAudit({ ...world.stores, audit });
    const page = await readMany({ ...ALL, kek: KEK, serverId: 'nobody' });
    expect(page).toEqual({ records: [], next: { chain: kekKey(KEK), after: 5000 } });
    expect(await readMany({ ...ALL, kek: KEK, serverId: 'nobody', from: page.next })).toEqual({
      records: [],
      next: null,
    });
  });
});
