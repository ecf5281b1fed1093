import { beforeEach, expect, test } from 'vitest';
import { pagesOf } from '../../../shared/operations/server-pages.ts';
import type { PageQuery, ServerPage } from '../../../shared/ports/server-store.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

let world: World;
beforeEach(async () => {
  world = makeWorld();
  await world.begin(5);
});

const idsOf = ({ rows }: ServerPage) => rows.map(({ value }) => value.serverId);

test.each([
  [2, [['s001', 's002'], ['s003', 's004'], ['s005']]],
  [1000, [['s001', 's002', 's003', 's004', 's005']]],
])('in pages of %i comes to every server once', async (limit, expected) => {
  const pages: string[][] = [];
  for await (const page of pagesOf(world.stores.servers, KEK, limit)) pages.push(idsOf(page));
  expect(pages.filter((ids) => ids.length > 0)).toEqual(expected);
});

test('of a range comes to those in it, both ends included', async () => {
  const ids: string[] = [];
  for await (const page of pagesOf(world.stores.servers, KEK, 2, { from: 's002', to: 's004' }))
    ids.push(...idsOf(page));
  expect(ids).toEqual(['s002', 's003', 's004']);
});

test('of no servers is one page with none', async () => {
  const pages: string[][] = [];
  const none = { ...KEK, name: 'none' };
  for await (const page of pagesOf(world.stores.servers, none, 2)) pages.push(idsOf(page));
  expect(pages).toEqual([[]]);
});

test('reads a page only when it is asked for, and none after the caller has had enough', async () => {
  const asked: (string | null)[] = [];
  const servers = {
    page: (kek: typeof KEK, query: PageQuery) => {
      asked.push(query.after);
      return world.stores.servers.page(kek, query);
    },
  };
  for await (const page of pagesOf(servers, KEK, 2)) {
    expect(asked).toHaveLength(page.rows[0]?.value.serverId === 's001' ? 1 : 2);
    if (asked.length === 2) break;
  }
  expect(asked).toEqual([null, 's002']);
});
