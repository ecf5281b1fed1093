import { describe, expect, test } from 'vitest';
import { type ChainedRecord, findBrokenRecord } from '../../../shared/domain/audit.ts';
import { makeKekState } from '../../../shared/domain/kek.ts';
import { kekKey } from '../../../shared/domain/key-id.ts';
import type { OwnEvent } from '../../../shared/domain/own-event.ts';
import { APP_CHAIN } from '../../../shared/operations/reject-input.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const CHAIN = kekKey(KEK);
const OTHER = { ...KEK, name: 'other' };

const chainOf = async (world: World, chain = CHAIN): Promise<readonly ChainedRecord[]> => {
  const records: ChainedRecord[] = [];
  for await (const record of world.stores.audit.readChain(chain)) records.push(record);
  return records;
};
const left = async (world: World, chain = CHAIN) => [
  (await world.stores.outbox.pageOutbox(chain, false, 1000)).length,
  (await world.stores.outbox.pageOutbox(chain, true, 1000)).length,
];
const put = async (world: World, name: string, records: number, events = 0, chain = CHAIN) => {
  const at = world.clock.now();
  const audit = Array.from({ length: records }, (_, index) => ({
    at,
    action: 'kek.verdict' as const,
    cause: { kind: 'sweep' } as const,
    servers: [],
    versionBefore: null,
    versionAfter: null,
    reason: `${name}-${index}`,
    detail: {},
  }));
  const made = Array.from(
    { length: events },
    (_, index): OwnEvent => ({
      id: `${name}-${index}`,
      type: 'PgCmk.ServerReady',
      subject: name,
      time: at,
      data: {},
    }),
  );
  await world.stores.outbox.put(chain, { audit, events: made });
};
const reasons = async (world: World, chain = CHAIN) =>
  (await chainOf(world, chain)).map(({ body }) => JSON.parse(body).reason);
const begin = async (publishes = true) => {
  const world = makeWorld({ publishes });

  const kek = { value: { ...emptyKek, kek: KEK }, etag: null };
  await world.stores.keks.commit(KEK, { kek, versions: [], outbox: null });
  return world;
};

const emptyKek = makeKekState(KEK);

describe('deliverOutbox', () => {
  test('chains records in order, publishes events, and leaves nothing', async () => {
    const world = await begin();
    await put(world, 'a', 2, 1);
    await put(world, 'b', 1);
    await put(world, 'app', 1, 1, APP_CHAIN);
    await world.app.deliverOutbox();
    await put(world, 'c', 1);
    await world.app.deliverOutbox();
    expect(await reasons(world)).toEqual(['a-0', 'a-1', 'b-0', 'c-0']);
    expect(await reasons(world, APP_CHAIN)).toEqual(['app-0']);
    expect(findBrokenRecord(CHAIN, await chainOf(world))).toBeNull();
    expect(findBrokenRecord(APP_CHAIN, await chainOf(world, APP_CHAIN))).toBeNull();
    expect(world.topic.events.map(({ id }) => id).toSorted()).toEqual(['a-0', 'app-0']);
    expect(await left(world)).toEqual([0, 0]);
  });

  test('a full outbox is worked through page by page, in transactions that fit', async () => {
    const world = await begin();
    for (let index = 0; index < 120; index += 1) await put(world, `r${index}`, 4, 1);
    await world.app.deliverOutbox();
    const chain = await chainOf(world);
    expect(chain).toHaveLength(480);
    expect(findBrokenRecord(CHAIN, chain)).toBeNull();
    expect(world.topic.events).toHaveLength(120);
    expect(await left(world)).toEqual([0, 0]);
  });

  test.each(['outbox.markAudited', 'outbox.remove'] as const)(
    'a crash between appending and %s chains nothing twice',
    async (operation) => {
      const world = await begin();
      await put(world, 'a', 2, 1);
      await put(world, 'b', 2);
      world.stores.failNext(operation, 'before');
      await world.app.deliverOutbox();
      await put(world, 'c', 1);
      await world.app.deliverOutbox();
      expect(await reasons(world)).toEqual(['a-0', 'a-1', 'b-0', 'b-1', 'c-0']);
      expect(findBrokenRecord(CHAIN, await chainOf(world))).toBeNull();
      expect(await left(world)).toEqual([0, 0]);
    },
  );

  test('an answer that is lost after the append took effect chains nothing twice', async () => {
    const world = await begin();
    await put(world, 'a', 2, 1);
    world.stores.failNext('audit.append', 'after');
    await world.app.deliverOutbox();
    expect(world.log.errors()).toHaveLength(1);
    await world.app.deliverOutbox();
    expect(await reasons(world)).toEqual(['a-0', 'a-1']);
    expect(await left(world)).toEqual([0, 0]);
  });

  test('a topic that is down delays no audit and loses nothing', async () => {
    const world = await begin();
    world.topic.down = true;
    await put(world, 'a', 1, 1);
    await world.app.deliverOutbox();
    await put(world, 'b', 1, 2);
    await world.app.deliverOutbox();
    expect(await reasons(world)).toEqual(['a-0', 'b-0']);
    expect(await left(world)).toEqual([0, 2]);
    world.topic.down = false;
    await world.app.deliverOutbox();
    expect(world.topic.events.map(({ id }) => id)).toEqual(['a-0', 'b-0', 'b-1']);
    expect(await left(world)).toEqual([0, 0]);
  });

  test('without a topic, events go no further than the audit', async () => {
    const world = await begin(false);
    await put(world, 'a', 1, 1);
    await world.app.deliverOutbox();
    expect(await reasons(world)).toEqual(['a-0']);
    expect(await left(world)).toEqual([0, 0]);
    // What had been audited while there was a topic leaves too.
    await put(world, 'b', 1, 1);
    const [row] = await world.stores.outbox.pageOutbox(CHAIN, false, 1);
    if (row !== undefined) await world.stores.outbox.markAudited(CHAIN, row);
    await world.app.deliverOutbox();
    expect(await left(world)).toEqual([0, 0]);
    expect(world.topic.events).toEqual([]);
  });

  test('the trouble of one chain delays no other', async () => {
    const world = await begin();
    const kek = { value: { ...emptyKek, kek: OTHER }, etag: null };
    await world.stores.keks.commit(OTHER, { kek, versions: [], outbox: null });
    await put(world, 'a', 1);
    await put(world, 'o', 1, 0, kekKey(OTHER));
    const { append } = world.stores.audit;
    world.stores.audit.append = (chain, records) =>
      chain === CHAIN ? Promise.reject(new Error('full')) : append(chain, records);
    await world.app.deliverOutbox();
    expect(await reasons(world, kekKey(OTHER))).toEqual(['o-0']);
    expect(await left(world)).toEqual([1, 0]);
    expect(world.log.lines.at(-1)?.fields).toMatchObject({ chain: CHAIN, error: 'Error: full' });
  });

  test('I-10: two writers at once make one sound chain', async () => {
    const world = await begin();
    for (let index = 0; index < 10; index += 1) await put(world, `r${index}`, 1);
    const other = world.startInstance();
    await Promise.all([world.app.deliverOutbox(), other.deliverOutbox()]);
    await world.app.deliverOutbox();
    const chain = await chainOf(world);
    expect(new Set(chain.map(({ outboxId }) => outboxId)).size).toBe(10);
    expect(chain).toHaveLength(10);
    expect(findBrokenRecord(CHAIN, chain)).toBeNull();
  });
});
