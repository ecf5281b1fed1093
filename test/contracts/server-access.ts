// What every ServerAccess does, the one in memory and the one on PostgreSQL alike (design 8). Invariants I-04 (revoking
// destroys nothing and restoring is exact) and I-05 (revoke wins) are proven here on both.
import { afterEach, describe, expect, test } from 'vitest';
import { isCmkError } from '../../shared/domain/errors.ts';
import type { PostgresAccess } from '../../shared/domain/server-spec.ts';
import type { RevokeOrder, ServerAccess } from '../../shared/ports/server-access.ts';

type Eventually<T> = T | Promise<T>;

export interface SessionUnderTest {
  isOpen(): Eventually<boolean>;
  close(): Eventually<void>;
}

/** A server on which the app owns every database, may end sessions, and is no superuser. */
export interface ServerUnderTest {
  readonly access: PostgresAccess;
  readonly port: ServerAccess;
  /** A worker that stops before its transaction, until it is thawed. */
  freezeWorker(): Eventually<{ readonly port: ServerAccess; readonly frozen: Promise<void>; thaw(): void }>;
  createDatabase(name: string, options?: { readonly owned?: boolean }): Eventually<void>;
  dropDatabase(name: string): Eventually<void>;
  renameDatabase(name: string, to: string): Eventually<void>;
  allowConnections(name: string, allowed: boolean): Eventually<void>;
  takesConnections(name: string): Eventually<boolean>;
  openSession(
    database: string,
    options?: { readonly superuser?: boolean; readonly reconnects?: boolean },
  ): Eventually<SessionUnderTest>;
  allowSignals(allowed: boolean): Eventually<void>;
  startReplica(): Eventually<ReplicaUnderTest>;
  /** The same server as it is when nobody listens. */
  readonly unreachable: PostgresAccess;
}

export interface ReplicaUnderTest {
  readonly access: PostgresAccess;
  openSession(database: string): Eventually<SessionUnderTest>;
  holdBack(): Eventually<void>;
  catchUp(): Eventually<void>;
  promote(): Eventually<void>;
}

const ALL = { serverId: 'orders-db', policy: 'terminate', endSessions: true } as const;
const terminate = (epoch: number): RevokeOrder => ({ ...ALL, epoch });
const restoring = (epoch: number) => ({ serverId: 'orders-db', epoch });
const sorted = (names: readonly string[]) => names.toSorted();

export const ODD_NAMES = [
  'with "quotes"',
  "it's",
  'two words',
  'Ünïcødé 数据',
  "'; DROP TABLE x; --",
  '%I %s',
  'UPPER',
];

/** `start` gives a server with the databases postgres, template1, and those named, which takes part in one test. */
export function describeServerAccess(
  name: string,
  start: (databases: readonly string[], excludeDatabases?: readonly string[]) => Eventually<ServerUnderTest>,
): void {
  const sessions: SessionUnderTest[] = [];
  const open = async (
    ...[server, ...rest]: [ServerUnderTest, ...Parameters<ServerUnderTest['openSession']>]
  ) => {
    const session = await server.openSession(...rest);
    sessions.push(session);
    return session;
  };

  describe(name, () => {
    afterEach(async () => {
      for (const session of sessions.splice(0)) await session.close();
    });

    describe('revoke', () => {
      test('closes every database, template1, postgres and odd names included', async () => {
        const server = await start(['app', ...ODD_NAMES]);
        const outcome = await server.port.revoke(server.access, terminate(1));
        const names = sorted(['app', 'postgres', 'template1', ...ODD_NAMES]);
        expect(outcome).toMatchObject({
          kind: 'applied',
          role: 'primary',
          sessionsEnded: 0,
          sessionsOpen: 0,
        });
        expect(outcome.kind === 'applied' && sorted(outcome.closed)).toEqual(names);
        for (const each of names) expect(await server.takesConnections(each)).toBe(false);
      });

      test('leaves excluded databases and their sessions alone', async () => {
        const server = await start(['app', 'azure_sys'], ['azure_sys']);
        const session = await open(server, 'azure_sys');
        const outcome = await server.port.revoke(server.access, terminate(1));
        expect(outcome).toMatchObject({ kind: 'applied', sessionsEnded: 0, sessionsOpen: 0 });
        expect(await server.takesConnections('azure_sys')).toBe(true);
        expect(await session.isOpen()).toBe(true);
        expect(await server.port.inspect(server.access)).toMatchObject({ excludedDatabases: ['azure_sys'] });
      });

      test('ends sessions, those that reconnect in a loop too', async () => {
        const server = await start(['app', 'other']);
        const clients = [
          await open(server, 'app'),
          await open(server, 'app', { reconnects: true }),
          await open(server, 'other', { reconnects: true }),
        ];
        const outcome = await server.port.revoke(server.access, terminate(1));
        expect(outcome).toMatchObject({ kind: 'applied', sessionsOpen: 0 });
        expect(outcome.kind === 'applied' && outcome.sessionsEnded).toBeGreaterThanOrEqual(3);
        for (const client of clients) expect(await client.isOpen()).toBe(false);
      });

      test('can be repeated: nothing changes, and the list of what to reopen stays', async () => {
        const server = await start(['app']);
        const first = await server.port.revoke(server.access, terminate(1));
        expect(await server.port.revoke(server.access, terminate(1))).toEqual(first);
        expect(await server.port.revoke(server.access, terminate(2))).toEqual(first);
      });

      test('drain leaves the sessions until it is time, and counts them', async () => {
        const server = await start(['app']);
        const session = await open(server, 'app');
        const drain = (endSessions: boolean): RevokeOrder => ({
          ...ALL,
          epoch: 1,
          policy: 'drain',
          endSessions,
        });
        const outcome = await server.port.revoke(server.access, drain(false));
        expect(outcome).toMatchObject({ kind: 'applied', sessionsEnded: 0, sessionsOpen: 1 });
        expect(await server.takesConnections('app')).toBe(false);
        expect(await session.isOpen()).toBe(true);
        const later = await server.port.revoke(server.access, drain(true));
        expect(later).toMatchObject({ kind: 'applied', sessionsEnded: 1, sessionsOpen: 0 });
        expect(await session.isOpen()).toBe(false);
      });

      test('denyNew never ends a session', async () => {
        const server = await start(['app']);
        const session = await open(server, 'app');
        const outcome = await server.port.revoke(server.access, { ...ALL, epoch: 1, policy: 'denyNew' });
        expect(outcome).toMatchObject({ kind: 'applied', sessionsEnded: 0, sessionsOpen: 1 });
        expect(await session.isOpen()).toBe(true);
      });

      test("is incomplete while a superuser's session remains, and ends the others", async () => {
        const server = await start(['app']);
        const superuser = await open(server, 'app', { superuser: true });
        const session = await open(server, 'app');
        expect(await server.port.revoke(server.access, terminate(1))).toEqual({
          kind: 'incomplete',
          reason: 'SessionNotEndable',
          sessionsEnded: 1,
          sessionsOpen: 1,
        });
        expect(await session.isOpen()).toBe(false);
        expect(await superuser.isOpen()).toBe(true);
        expect(await server.takesConnections('app')).toBe(false);
        await superuser.close();
        expect(await server.port.revoke(server.access, terminate(1))).toMatchObject({ kind: 'applied' });
      });

      test('closes all but what it lacks the rights for, and names that', async () => {
        const server = await start(['app']);
        await server.createDatabase('foreign', { owned: false });
        const session = await open(server, 'app');
        const error = await server.port
          .revoke(server.access, terminate(1))
          .catch((thrown: unknown) => thrown);
        expect(isCmkError(error, 'ServerRightsMissing') && error.detail['missingRights']).toEqual([
          expect.stringContaining('"foreign"'),
        ]);
        expect(await server.takesConnections('app')).toBe(false);
        expect(await session.isOpen()).toBe(false);
        expect(await server.takesConnections('foreign')).toBe(true);
        expect(await server.port.inspect(server.access)).toMatchObject({ epoch: 1, desired: 'revoked' });
        expect(await server.port.restore(server.access, restoring(2))).toMatchObject({
          reopened: expect.not.arrayContaining(['foreign']),
        });
      });

      test('names the right to end sessions where it is lacking, having closed everything', async () => {
        const server = await start(['app']);
        await server.allowSignals(false);
        await open(server, 'app');
        await expect(server.port.revoke(server.access, terminate(1))).rejects.toMatchObject({
          code: 'ServerRightsMissing',
          detail: { missingRights: [expect.stringContaining('pg_signal_backend')] },
        });
        expect(await server.takesConnections('app')).toBe(false);
      });
    });

    describe('restore', () => {
      test('Invariant I-04: reopens what was closed, and nothing that the DBA had closed', async () => {
        const server = await start(['app', 'archive']);
        await server.allowConnections('archive', false);
        await server.port.revoke(server.access, terminate(1));
        expect(await server.port.inspect(server.access)).toMatchObject({ openDatabases: [] });
        const outcome = await server.port.restore(server.access, restoring(2));
        expect(outcome.kind === 'applied' && sorted(outcome.reopened)).toEqual([
          'app',
          'postgres',
          'template1',
        ]);
        expect(await server.takesConnections('app')).toBe(true);
        expect(await server.takesConnections('archive')).toBe(false);
        expect(await server.port.inspect(server.access)).toMatchObject({
          closedByUs: [],
          desired: 'granted',
          epoch: 2,
        });
      });

      test('Invariant I-04: a repeated revoke, with a newer epoch or the same, forgets nothing', async () => {
        const server = await start(['app']);
        await server.port.revoke(server.access, terminate(1));
        await server.port.revoke(server.access, terminate(1));
        await server.port.revoke(server.access, { ...ALL, epoch: 3, policy: 'denyNew' });
        const outcome = await server.port.restore(server.access, restoring(4));
        expect(outcome.kind === 'applied' && sorted(outcome.reopened)).toEqual([
          'app',
          'postgres',
          'template1',
        ]);
      });

      test('Invariant I-04: databases are known by oid, through renames and under reused names', async () => {
        const server = await start(['app', 'old', 'gone']);
        await server.port.revoke(server.access, terminate(1));
        await server.renameDatabase('app', 'renamed');
        await server.dropDatabase('gone');
        await server.dropDatabase('old');
        await server.createDatabase('old');
        await server.allowConnections('old', false);
        const outcome = await server.port.restore(server.access, restoring(2));
        expect(outcome.kind === 'applied' && sorted(outcome.reopened)).toEqual([
          'postgres',
          'renamed',
          'template1',
        ]);
        expect(await server.takesConnections('renamed')).toBe(true);
        expect(await server.takesConnections('old')).toBe(false);
      });

      test('Invariant I-04: databases that swapped their names are each reopened or left as they were', async () => {
        const server = await start(['app', 'archive']);
        await server.allowConnections('archive', false);
        await server.port.revoke(server.access, terminate(1));
        await server.renameDatabase('app', 'tmp');
        await server.renameDatabase('archive', 'app');
        await server.renameDatabase('tmp', 'archive');
        await server.port.restore(server.access, restoring(2));
        expect(await server.takesConnections('archive')).toBe(true);
        expect(await server.takesConnections('app')).toBe(false);
      });

      test('can be repeated, and works where nothing was ever revoked', async () => {
        const server = await start(['app']);
        const nothing = { kind: 'applied', reopened: [], role: 'primary' };
        expect(await server.port.restore(server.access, restoring(1))).toEqual(nothing);
        expect(await server.port.restore(server.access, restoring(1))).toEqual(nothing);
        expect(await server.takesConnections('app')).toBe(true);
      });
    });

    describe('drift while revoked', () => {
      test('what was created or reopened meanwhile is seen, closed by the next revoke, and reopened at the end', async () => {
        const server = await start(['app', 'other']);
        await server.port.revoke(server.access, terminate(1));
        await server.createDatabase('new');
        await server.allowConnections('app', true);
        const session = await open(server, 'app');
        const seen = await server.port.inspect(server.access);
        expect(sorted(seen.openDatabases)).toEqual(['app', 'new']);
        expect(seen).toMatchObject({ desired: 'revoked', epoch: 1, sessionsOpen: 1 });
        const outcome = await server.port.revoke(server.access, terminate(1));
        expect(outcome.kind === 'applied' && sorted(outcome.closed)).toEqual(
          sorted(['app', 'new', 'other', 'postgres', 'template1']),
        );
        expect(await session.isOpen()).toBe(false);
        await server.port.restore(server.access, restoring(2));
        for (const each of ['app', 'new', 'other']) expect(await server.takesConnections(each)).toBe(true);
      });
    });

    describe('orders out of order', () => {
      test('Invariant I-05: an older restore, or one of the same epoch, reopens nothing', async () => {
        const server = await start(['app']);
        await server.port.revoke(server.access, terminate(5));
        for (const epoch of [4, 5]) {
          expect(await server.port.restore(server.access, restoring(epoch))).toEqual({
            kind: 'overtaken',
            epoch: 5,
          });
        }
        expect(await server.takesConnections('app')).toBe(false);
        expect(await server.port.restore(server.access, restoring(6))).toMatchObject({ kind: 'applied' });
      });

      test('Invariant I-05: an older revoke, or one of the same epoch, closes nothing and ends nobody', async () => {
        const server = await start(['app']);
        await server.port.restore(server.access, restoring(5));
        const session = await open(server, 'app');
        for (const epoch of [4, 5]) {
          expect(await server.port.revoke(server.access, terminate(epoch))).toEqual({
            kind: 'overtaken',
            epoch: 5,
          });
        }
        expect(await server.takesConnections('app')).toBe(true);
        expect(await session.isOpen()).toBe(true);
        expect(await server.port.revoke(server.access, terminate(6))).toMatchObject({ kind: 'applied' });
      });

      test('Invariant I-05: a restore that was frozen before its transaction is refused after a newer revoke', async () => {
        const server = await start(['app']);
        await server.port.revoke(server.access, terminate(1));
        const worker = await server.freezeWorker();
        const late = worker.port.restore(server.access, restoring(2));
        await worker.frozen;
        await server.port.revoke(server.access, terminate(3));
        worker.thaw();
        expect(await late).toEqual({ kind: 'overtaken', epoch: 3 });
        expect(await server.takesConnections('app')).toBe(false);
      });

      test('Invariant I-05: a revoke that was frozen before its transaction is refused after a newer restore', async () => {
        const server = await start(['app']);
        const worker = await server.freezeWorker();
        const late = worker.port.revoke(server.access, terminate(1));
        await worker.frozen;
        await server.port.restore(server.access, restoring(2));
        worker.thaw();
        expect(await late).toEqual({ kind: 'overtaken', epoch: 2 });
        expect(await server.takesConnections('app')).toBe(true);
      });

      test('Invariant I-05: whatever the order in which they come, the newest order is what holds', async () => {
        const server = await start(['app']);
        for (const newest of ['revoke', 'restore'] as const) {
          const { epoch } = await server.port.inspect(server.access);
          const orders = [1, 2, 3, 4, 5].map((offset) => {
            const revokes = (offset === 5) === (newest === 'revoke');
            return revokes
              ? server.port.revoke(server.access, terminate(epoch + offset))
              : server.port.restore(server.access, restoring(epoch + offset));
          });
          const last = (await Promise.all(orders)).at(-1);
          expect(last).toMatchObject({ kind: 'applied' });
          expect(await server.takesConnections('app')).toBe(newest === 'restore');
          expect(await server.port.inspect(server.access)).toMatchObject({ epoch: epoch + 5 });
        }
      });
    });

    describe('inspect', () => {
      test('says how things are, and changes nothing', async () => {
        const server = await start(['app', 'azure_sys'], ['azure_sys']);
        await open(server, 'app');
        const expected = {
          role: 'primary',
          epoch: 0,
          desired: 'granted',
          openDatabases: expect.toSatisfy(
            (names: string[]) => sorted(names).join() === 'app,postgres,template1',
          ),
          closedByUs: [],
          excludedDatabases: ['azure_sys'],
          sessionsOpen: 1,
          preparedTransactions: 0,
          replicationSlots: 0,
          missingRights: [],
          publicConnect: null,
        };
        expect(await server.port.inspect(server.access)).toEqual(expected);
        expect(await server.port.inspect(server.access)).toEqual(expected);
        await server.port.revoke(server.access, terminate(7));
        const revoked = await server.port.inspect(server.access);
        expect(revoked).toMatchObject({ epoch: 7, desired: 'revoked', openDatabases: [], sessionsOpen: 0 });
        expect(sorted(revoked.closedByUs)).toEqual(['app', 'postgres', 'template1']);
      });

      test('names every missing right', async () => {
        const server = await start(['app']);
        await server.createDatabase('foreign', { owned: false });
        await server.allowSignals(false);
        const { missingRights } = await server.port.inspect(server.access);
        expect(missingRights).toHaveLength(2);
        expect(missingRights).toContainEqual(expect.stringContaining('"foreign"'));
        expect(missingRights).toContainEqual(expect.stringContaining('pg_signal_backend'));
      });
    });

    test('a server that does not answer is unreachable, and worth another try', async () => {
      const server = await start(['app']);
      const unreachable = { code: 'ServerUnreachable', retryable: true };
      await expect(server.port.revoke(server.unreachable, terminate(1))).rejects.toMatchObject(unreachable);
      await expect(server.port.restore(server.unreachable, restoring(2))).rejects.toMatchObject(unreachable);
      await expect(server.port.inspect(server.unreachable)).rejects.toMatchObject(unreachable);
    });

    describe('a replica', () => {
      test('is revoked and restored by what its primary writes, lags, and is a primary once promoted', async () => {
        const server = await start(['app', 'archive']);
        await server.allowConnections('archive', false);
        const replica = await server.startReplica();
        const session = await replica.openSession('app');
        sessions.push(session);
        const { port } = server;

        await replica.holdBack();
        await port.revoke(server.access, terminate(4));
        const lagging = { kind: 'incomplete', reason: 'ReplicaLagging' };
        expect(await port.revoke(replica.access, terminate(1))).toEqual({
          ...lagging,
          sessionsEnded: 0,
          sessionsOpen: 1,
        });
        expect(await session.isOpen()).toBe(true);

        await replica.catchUp();
        const revoked = await port.revoke(replica.access, terminate(1));
        expect(revoked).toMatchObject({
          kind: 'applied',
          role: 'replica',
          sessionsEnded: 1,
          sessionsOpen: 0,
        });
        expect(revoked.kind === 'applied' && sorted(revoked.closed)).toEqual([
          'app',
          'postgres',
          'template1',
        ]);
        expect(await session.isOpen()).toBe(false);
        expect(await port.inspect(replica.access)).toMatchObject({
          role: 'replica',
          epoch: 4,
          desired: 'revoked',
        });

        await replica.holdBack();
        await port.restore(server.access, restoring(5));
        expect(await port.restore(replica.access, restoring(2))).toEqual(lagging);
        await replica.catchUp();
        expect(await port.restore(replica.access, restoring(2))).toEqual({
          kind: 'applied',
          reopened: [],
          role: 'replica',
        });

        await port.revoke(server.access, terminate(6));
        await port.revoke(replica.access, terminate(3));
        await replica.promote();
        expect(await port.restore(replica.access, restoring(6))).toEqual({ kind: 'overtaken', epoch: 6 });
        const promoted = await port.restore(replica.access, restoring(7));
        expect(promoted).toMatchObject({ kind: 'applied', role: 'primary' });
        expect(promoted.kind === 'applied' && sorted(promoted.reopened)).toEqual([
          'app',
          'postgres',
          'template1',
        ]);
        expect(await port.inspect(server.access)).toMatchObject({ desired: 'revoked', epoch: 6 });
      });
    });
  });
}
