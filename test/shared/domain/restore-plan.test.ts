import { describe, expect, test } from 'vitest';
import { makeRestorePlan } from '../../../shared/domain/restore-plan.ts';
import type { ExportedTable, TableRow } from '../../../shared/domain/table-export.ts';
import { A, B, historyKey, V1 } from '../../fixtures/raw-fleet.ts';

const row = (partitionKey: string, rowKey: string, columns: TableRow['columns'] = {}): TableRow => ({
  partitionKey,
  rowKey,
  changedAt: '2026-11-24T12:00:00.000Z',
  columns,
});
const index = (serverId: string, kek: string) => row(serverId, 'server', { kek });

/** What becomes of each row of `servers`. */
function decide(entries: readonly TableRow[], servers: readonly TableRow[], late = 0) {
  const plan = makeRestorePlan(servers.length - late + 1);
  const rows: readonly (readonly [ExportedTable, TableRow, number])[] = [
    ...entries.map((entry, at) => ['serverindex', entry, at + 1] as const),
    ...servers.map((server, at) => ['servers', server, at + 1] as const),
  ];
  for (const [table, one, line] of rows) plan.see(table, one, line);
  expect(entries.map((entry, at) => plan.decide('serverindex', entry, at + 1))).toEqual(
    entries.map(() => null),
  );
  return servers.map((server, at) => plan.decide('servers', server, at + 1));
}

describe('what is restored of the servers', () => {
  test('each that the index points to, with its history and its outbox', () => {
    const servers = [
      row(A, historyKey('x', V1, 0)),
      row(A, 'o:000000000000001:1-a-s'),
      row(A, 's:x', { sequence: 1 }),
    ];
    expect(decide([index('x', A)], servers)).toEqual([null, null, null]);
  });

  test('the later line of a row that is there twice', () => {
    const servers = [row(A, 's:x'), row(A, historyKey('x', V1, 0)), row(A, 's:x', { sequence: 1 })];
    expect(decide([index('x', A)], [...servers, row(A, historyKey('x', V1, 0))], 2)).toEqual([
      'replaced',
      'replaced',
      null,
      null,
    ]);
  });

  test('the later line of a history also where it is the first of the late lines', () => {
    const history = row(A, historyKey('x', V1, 0));
    const servers = [row(A, 's:x'), history, row(A, 's:x', { sequence: 1 }), history];
    expect(decide([index('x', A)], servers, 1)).toEqual(['replaced', 'replaced', null, null]);
  });

  test('not the row that a server has left', () => {
    expect(decide([index('x', A)], [row(B, 's:x'), row(A, 's:x')])).toEqual(['moved', null]);
  });

  test('both sides of a move whose end is still to come', () => {
    const arriving = row(A, 's:x', { incoming: true });
    expect(decide([index('x', A)], [row(B, 's:x'), arriving])).toEqual([null, null]);
    expect(decide([index('x', B)], [row(B, 's:x'), arriving])).toEqual([null, 'moved']);
  });

  test('a row that the index does not point to, where the one that it points to is not there', () => {
    expect(decide([index('x', A)], [row(B, 's:x')])).toEqual([null]);
  });

  test('not a server whose id was freed', () => {
    expect(decide([], [row(A, 's:x')])).toEqual(['purged']);
  });

  test('not a history that is ahead of its server, but all of one whose server is elsewhere', () => {
    const history = [0, 1, 2].map((sequence) => row(A, historyKey('x', V1, sequence)));
    const server = row(A, 's:x', { sequence: 2 });
    expect(decide([index('x', A)], [server, ...history], 3)).toEqual([null, null, null, 'ahead']);
    expect(decide([index('x', B)], [server, ...history, row(B, 's:x')], 4)).toEqual([
      'moved',
      null,
      null,
      null,
      null,
    ]);
    expect(decide([], history)).toEqual([null, null, null]);
  });
});

test('rows of other tables say nothing of where a server is, whatever their keys are', () => {
  const plan = makeRestorePlan(1);
  plan.see('serverindex', index('x', A), 1);
  plan.see('audit', row('x', 'head', { kek: B }), 1);
  plan.see('servers', row(B, 's:x'), 1);
  plan.see('servers', row(A, 's:x'), 2);
  expect(plan.decide('servers', row(B, 's:x'), 1)).toBe('moved');
  expect(plan.decide('servers', row(A, 's:x'), 2)).toBeNull();
});

test('other tables are restored as they are', () => {
  const plan = makeRestorePlan(1);
  for (const table of ['keks', 'audit'] as const) {
    plan.see(table, row(A, 'head'), 1);
    expect(plan.decide(table, row(A, 'head'), 1)).toBeNull();
  }
});
