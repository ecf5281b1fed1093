// Orders that meet: workers frozen, cut off, or at work at the same time (I-05), and changes under their hands (I-04).
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PostgresAccess } from '../../../shared/domain/server-spec.ts';
import type { RevokeOrder, ServerAccess } from '../../../shared/ports/server-access.ts';
import { ORDER_LOCK } from '../../../shared/postgres/order-transaction.ts';
import type { ServerUnderTest } from '../../contracts/server-access.ts';
import { type PostgresUnderTest, startPostgresUnderTest } from '../../fixtures/postgres-under-test.ts';

let postgres: PostgresUnderTest;
let server: ServerUnderTest;
let access: PostgresAccess;
let port: ServerAccess;

beforeAll(async () => {
  postgres = await startPostgresUnderTest();
});

beforeEach(async () => {
  server = await postgres.start(['app', 'other']);
  ({ access, port } = server);
});

afterAll(() => postgres?.stop());

const terminate = (epoch: number): RevokeOrder => ({
  serverId: 'orders-db',
  policy: 'terminate',
  endSessions: true,
  epoch,
});
/** As it goes over the wire; BEGIN has READ COMMITTED in it. */
const COMMIT = 'COMMIT\0';
const restoring = (epoch: number) => ({ serverId: 'orders-db', epoch });

/** Waits until so many workers wait for the order lock. */
async function awaitWaiting(count: number): Promise<void> {
  const waiting = async () => {
    const { rows } = await postgres.dba.query<{ waiting: number }>(
      "SELECT count(*)::int AS waiting FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
    );
    return rows[0]?.waiting;
  };
  while ((await waiting()) !== count) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('an epoch that no order of the app could ever follow is said, and chased by nobody', async () => {
  await port.revoke(access, terminate(1));
  const set = (epoch: string) => postgres.dba.query(`UPDATE pgcmk.access SET epoch = ${epoch}`);
  for (const epoch of ['9223372036854775807', '9007199254740992']) {
    await set(epoch);
    const refused = {
      code: 'ServerRightsMissing',
      message: expect.stringContaining(epoch),
      retryable: false,
    };
    await expect(port.revoke(access, terminate(2))).rejects.toMatchObject(refused);
    await expect(port.restore(access, restoring(2))).rejects.toMatchObject(refused);
  }
  await set('9007199254740991');
  expect(await port.revoke(access, terminate(2))).toEqual({
    kind: 'overtaken',
    epoch: Number.MAX_SAFE_INTEGER,
  });
});

describe('at the same time', () => {
  test.each(['read committed', 'repeatable read', 'serializable'])(
    "Invariant I-05: an older restore that waits behind a newer revoke is refused, with the role's default %s",
    async (isolation) => {
      await port.revoke(access, terminate(1));
      await postgres.dba.query(`ALTER ROLE cmk SET default_transaction_isolation = '${isolation}'`);
      await postgres.dba.query('SELECT pg_advisory_lock($1)', [ORDER_LOCK]);
      const revoke = port.revoke(access, terminate(3));
      await awaitWaiting(1);
      const restore = port.restore(access, restoring(2));
      await awaitWaiting(2);
      await postgres.dba.query('SELECT pg_advisory_unlock($1)', [ORDER_LOCK]);
      await postgres.dba.query('ALTER ROLE cmk RESET default_transaction_isolation');
      expect(await restore).toEqual({ kind: 'overtaken', epoch: 3 });
      expect(await revoke).toMatchObject({ kind: 'applied' });
      expect(await server.takesConnections('app')).toBe(false);
    },
  );

  test('Invariant I-05: a newer revoke that waits behind an older restore closes everything again', async () => {
    await port.revoke(access, terminate(1));
    await postgres.dba.query('SELECT pg_advisory_lock($1)', [ORDER_LOCK]);
    const restore = port.restore(access, restoring(2));
    await awaitWaiting(1);
    const revoke = port.revoke(access, terminate(3));
    await awaitWaiting(2);
    await postgres.dba.query('SELECT pg_advisory_unlock($1)', [ORDER_LOCK]);
    expect(await restore).toMatchObject({ kind: 'applied' });
    expect(await revoke).toMatchObject({
      kind: 'applied',
      closed: ['app', 'other', 'postgres', 'template1'],
    });
  });

  test('workers that come first all at once make the schema once', async () => {
    await postgres.dba.query('SELECT pg_advisory_lock($1)', [ORDER_LOCK]);
    const orders = [1, 1, 1, 1].map((epoch) => port.revoke(access, terminate(epoch)));
    await awaitWaiting(4);
    await postgres.dba.query('SELECT pg_advisory_unlock($1)', [ORDER_LOCK]);
    for (const outcome of await Promise.all(orders)) expect(outcome).toMatchObject({ kind: 'applied' });
  });

  test('waiting too long for another worker is worth another try', async () => {
    await postgres.dba.query('SELECT pg_advisory_lock($1)', [ORDER_LOCK]);
    const order = postgres.makeAccess({ lockTimeoutMs: 50 }).revoke(access, terminate(1));
    await expect(order).rejects.toMatchObject({ code: 'ServerUnreachable', retryable: true });
    await postgres.dba.query('SELECT pg_advisory_unlock($1)', [ORDER_LOCK]);
    expect(await port.inspect(access)).toMatchObject({ epoch: 0 });
  });
});

describe('a worker that stops in the middle', () => {
  test('Invariant I-05: frozen after its transaction, and thawed after a restore, it ends no session', async () => {
    const proxy = await postgres.holdAt(access, 'pg_terminate_backend');
    const before = await server.openSession('app');
    const late = port.revoke(proxy.access, terminate(1));
    await proxy.held;
    await port.restore(access, restoring(2));
    const session = await server.openSession('app');
    proxy.release();
    expect(await late).toEqual({ kind: 'overtaken', epoch: 2 });
    expect(await session.isOpen()).toBe(true);
    await before.close();
    await session.close();
  });

  test('Invariant I-05: frozen before it closes again what was reopened, it closes nothing after a restore', async () => {
    const proxy = await postgres.holdAt(access, 'pg_stat_activity');
    const late = port.revoke(proxy.access, terminate(1));
    await proxy.held;
    await port.restore(access, restoring(2));
    proxy.release();
    expect(await late).toEqual({ kind: 'overtaken', epoch: 2 });
    expect(await server.takesConnections('app')).toBe(true);
  });

  test('Invariant I-04: cut off before its commit, it has done nothing', async () => {
    const proxy = await postgres.holdAt(access, COMMIT);
    const revoke = port.revoke(proxy.access, terminate(1));
    await proxy.held;
    proxy.cut();
    await expect(revoke).rejects.toMatchObject({ code: 'ServerUnreachable', retryable: true });
    expect(await port.inspect(access)).toMatchObject({ epoch: 0, desired: 'granted', closedByUs: [] });
    expect(await server.takesConnections('app')).toBe(true);
    expect(await port.revoke(access, terminate(1))).toMatchObject({ kind: 'applied' });
  });

  test('Invariant I-04: a restore cut off before its commit leaves the list whole', async () => {
    await port.revoke(access, terminate(1));
    const proxy = await postgres.holdAt(access, COMMIT);
    const restore = port.restore(proxy.access, restoring(2));
    await proxy.held;
    proxy.cut();
    await expect(restore).rejects.toMatchObject({ code: 'ServerUnreachable' });
    const closedByUs = ['app', 'other', 'postgres', 'template1'];
    expect(await port.inspect(access)).toMatchObject({
      epoch: 1,
      desired: 'revoked',
      openDatabases: [],
      closedByUs,
    });
    expect(await port.restore(access, restoring(2))).toMatchObject({ reopened: closedByUs });
  });

  test('Invariant I-05: frozen inside its transaction, it is dropped by the server and holds up no revocation', async () => {
    await port.revoke(access, terminate(1));
    const proxy = await postgres.holdAt(access, COMMIT);
    const hurried = postgres.makeAccess({ idleInTransactionTimeoutMs: 300 });
    const restore = hurried.restore(proxy.access, restoring(2)).catch((thrown: unknown) => thrown);
    await proxy.held;
    expect(await port.revoke(access, terminate(3))).toMatchObject({ kind: 'applied' });
    proxy.release();
    expect(await restore).toMatchObject({ code: 'ServerUnreachable', retryable: true });
    expect(await server.takesConnections('app')).toBe(false);
  });
});

describe('changes under its hands', () => {
  test('a database created after the commit is closed before the revoke is called applied', async () => {
    const proxy = await postgres.holdAt(access, 'pg_stat_activity');
    const revoke = port.revoke(proxy.access, terminate(1));
    await proxy.held;
    await server.createDatabase('new');
    proxy.release();
    expect(await revoke).toMatchObject({ closed: ['app', 'new', 'other', 'postgres', 'template1'] });
    expect(await server.takesConnections('new')).toBe(false);
  });

  test('Invariant I-04: a database renamed in the middle of the transaction is the one that is closed', async () => {
    const proxy = await postgres.holdAt(access, 'DO $block$');
    const revoke = port.revoke(proxy.access, terminate(1));
    await proxy.held;
    await server.renameDatabase('app', 'renamed');
    proxy.release();
    expect(await revoke).toMatchObject({ closed: ['other', 'postgres', 'renamed', 'template1'] });
  });

  test('Invariant I-04: one dropped in the middle of the transaction undoes it, and the next try succeeds', async () => {
    const proxy = await postgres.holdAt(access, 'DO $block$');
    const revoke = port.revoke(proxy.access, terminate(1));
    await proxy.held;
    await server.dropDatabase('other');
    proxy.release();
    await expect(revoke).rejects.toMatchObject({ code: 'ServerUnreachable', retryable: true });
    expect(await port.inspect(access)).toMatchObject({ epoch: 0, closedByUs: [] });
    expect(await port.revoke(access, terminate(1))).toMatchObject({
      closed: ['app', 'postgres', 'template1'],
    });
  });

  test("a DBA's unfinished ALTER DATABASE makes the order fail and be tried again, never half done", async () => {
    await postgres.dba.query('BEGIN');
    await server.renameDatabase('app', 'renamed');
    const hurried = postgres.makeAccess({ lockTimeoutMs: 50 });
    await expect(hurried.revoke(access, terminate(1))).rejects.toMatchObject({
      code: 'ServerUnreachable',
      retryable: true,
    });
    await postgres.dba.query('COMMIT');
    expect(await port.inspect(access)).toMatchObject({ epoch: 0, closedByUs: [] });
    expect(await port.revoke(access, terminate(1))).toMatchObject({ kind: 'applied' });
  });
});

describe('a broken connection', () => {
  test('a session that is ended in the middle of an order fails it as unreachable, and the process lives on', async () => {
    const proxy = await postgres.holdAt(access, 'pg_advisory_xact_lock');
    const order = port.restore(proxy.access, { serverId: 'orders-db', epoch: 1 });
    // Waited for from the start: the session's end and the answer to the DBA arrive in either order.
    const failed = expect(order).rejects.toMatchObject({ code: 'ServerUnreachable', retryable: true });
    await proxy.held;
    await postgres.dba.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg-cmk'",
    );
    await failed;
  });

  test('a server that stops answering in the middle of an order is unreachable', async () => {
    const proxy = await postgres.holdAt(access, 'pg_is_in_recovery');
    const hurried = postgres.makeAccess({ connectTimeoutMs: 200, statementTimeoutMs: 100 });
    const order = hurried.restore(proxy.access, { serverId: 'orders-db', epoch: 1 });
    await expect(order).rejects.toMatchObject({ code: 'ServerUnreachable', retryable: true });
  });
});
