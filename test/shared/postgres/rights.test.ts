// What a DBA may have prepared, and how it is told when it isn't; and what a revoke doesn't touch.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PostgresAccess } from '../../../shared/domain/server-spec.ts';
import type { ServerAccess } from '../../../shared/ports/server-access.ts';
import type { ServerUnderTest } from '../../contracts/server-access.ts';
import {
  connect,
  type PostgresUnderTest,
  startPostgresUnderTest,
} from '../../fixtures/postgres-under-test.ts';

let postgres: PostgresUnderTest;
let server: ServerUnderTest;
let access: PostgresAccess;
let port: ServerAccess;

beforeAll(async () => {
  postgres = await startPostgresUnderTest({ configuration: { max_prepared_transactions: '2' } });
});

beforeEach(async () => {
  server = await postgres.start(['app']);
  ({ access, port } = server);
});

afterAll(() => postgres?.stop());

const order = { serverId: 'orders-db', epoch: 1, policy: 'terminate', endSessions: true } as const;
const lacks = (sentence: string) => ({
  code: 'ServerRightsMissing',
  retryable: false,
  detail: { missingRights: [expect.stringContaining(sentence)] },
});

describe('the record', () => {
  test('without CREATE on the maintenance database the right is named, and nothing is closed', async () => {
    await postgres.dba.query('REVOKE CREATE ON DATABASE cmk_admin FROM cmk');
    const sentence = 'GRANT CREATE ON DATABASE "cmk_admin" TO "cmk"';
    expect((await port.inspect(access)).missingRights).toEqual([expect.stringContaining(sentence)]);
    await expect(port.revoke(access, order)).rejects.toMatchObject(lacks(sentence));
    expect(await server.takesConnections('app')).toBe(true);
    await postgres.dba.query('GRANT CREATE ON DATABASE cmk_admin TO cmk');
  });

  test('a schema that the DBA made for the app will do, without CREATE', async () => {
    await postgres.dba.query('REVOKE CREATE ON DATABASE cmk_admin FROM cmk');
    await postgres.dba.query('CREATE SCHEMA pgcmk AUTHORIZATION cmk');
    expect((await port.inspect(access)).missingRights).toEqual([]);
    expect(await port.revoke(access, order)).toMatchObject({ kind: 'applied' });
    await postgres.dba.query('GRANT CREATE ON DATABASE cmk_admin TO cmk');
  });

  test.each([
    'CREATE SCHEMA pgcmk',
    'CREATE SCHEMA pgcmk AUTHORIZATION cmk; CREATE TABLE pgcmk.access (epoch bigint, desired text)',
    'CREATE SCHEMA pgcmk AUTHORIZATION cmk; CREATE VIEW pgcmk.closed_databases AS SELECT 1',
  ])('is not taken over from somebody else: %s', async (statement) => {
    await postgres.dba.query(statement);
    const sentence = '"cmk" must own schema pgcmk';
    expect(await port.inspect(access)).toMatchObject({
      epoch: 0,
      missingRights: [expect.stringContaining(sentence)],
    });
    await expect(port.revoke(access, order)).rejects.toMatchObject(lacks(sentence));
  });

  test('is not made by asking', async () => {
    await port.inspect(access);
    const { rows } = await postgres.dba.query("SELECT FROM pg_namespace WHERE nspname = 'pgcmk'");
    expect(rows).toEqual([]);
  });
});

test('membership in the owner is as good as ownership, but not without inheritance', async () => {
  await postgres.dba.query('DROP ROLE IF EXISTS tenant');
  await postgres.dba.query('CREATE ROLE tenant');
  await postgres.dba.query('ALTER DATABASE app OWNER TO tenant');
  await postgres.dba.query('GRANT tenant TO cmk WITH INHERIT FALSE');
  const sentence = 'may not close or reopen "app": GRANT "tenant" TO "cmk"';
  expect((await port.inspect(access)).missingRights).toEqual([expect.stringContaining(sentence)]);
  await expect(port.revoke(access, order)).rejects.toMatchObject(lacks(sentence));
  await postgres.dba.query('GRANT tenant TO cmk WITH INHERIT TRUE');
  expect((await port.inspect(access)).missingRights).toEqual([]);
  expect(await port.revoke(access, order)).toMatchObject({ closed: ['app', 'postgres', 'template1'] });
});

test('Invariant I-04: a database that may no longer be reopened stays on the list until it may', async () => {
  await port.revoke(access, order);
  await postgres.dba.query('ALTER DATABASE app OWNER TO postgres');
  const restoring = { serverId: 'orders-db', epoch: 2 };
  await expect(port.restore(access, restoring)).rejects.toMatchObject(lacks('"app"'));
  expect(await port.inspect(access)).toMatchObject({
    desired: 'granted',
    openDatabases: ['postgres', 'template1'],
    closedByUs: ['app'],
    missingRights: [expect.stringContaining('"app"')],
  });
  await postgres.dba.query('ALTER DATABASE app OWNER TO cmk');
  expect(await port.restore(access, restoring)).toMatchObject({ reopened: ['app'] });
  expect(await server.takesConnections('app')).toBe(true);
});

test('sessions that the server will not let it end, for a reason of its own, leave the revoke incomplete', async () => {
  const session = await server.openSession('app');
  const signal = 'FUNCTION pg_terminate_backend';
  await postgres.dba.query(`REVOKE EXECUTE ON ${signal} FROM PUBLIC`);
  const hurried = postgres.makeAccess({ maxRounds: 2 });
  expect(await hurried.revoke(access, order)).toEqual({
    kind: 'incomplete',
    reason: 'SessionNotEndable',
    sessionsEnded: 0,
    sessionsOpen: 1,
  });
  expect(await server.takesConnections('app')).toBe(false);
  await postgres.dba.query(`GRANT EXECUTE ON ${signal} TO PUBLIC`);
  expect(await port.revoke(access, order)).toMatchObject({ kind: 'applied', sessionsEnded: 1 });
  await session.close();
});

test('a maintenance database that anyone may enter is told of, and refuses no order', async () => {
  await postgres.dba.query('GRANT CONNECT ON DATABASE cmk_admin TO PUBLIC');
  const { missingRights, publicConnect } = await port.inspect(access);
  expect(publicConnect).toContain('REVOKE CONNECT ON DATABASE "cmk_admin" FROM PUBLIC');
  expect(missingRights).toEqual([publicConnect]);
  expect(await port.revoke(access, order)).toMatchObject({ kind: 'applied' });
  await postgres.dba.query('REVOKE CONNECT ON DATABASE cmk_admin FROM PUBLIC');
});

test('a read-only default, as of a server whose disk is full, stops no revocation', async () => {
  await postgres.dba.query('ALTER ROLE cmk SET default_transaction_read_only = on');
  expect(await port.revoke(access, order)).toMatchObject({ kind: 'applied' });
  await postgres.dba.query('ALTER ROLE cmk RESET default_transaction_read_only');
});

test('a dead synchronous standby holds up no revocation', async () => {
  await postgres.dba.query("ALTER SYSTEM SET synchronous_standby_names = 'dead'");
  await postgres.dba.query('SELECT pg_reload_conf()');
  const hurried = postgres.makeAccess({ statementTimeoutMs: 2_000, connectTimeoutMs: 1_000 });
  expect(await hurried.revoke(access, order)).toMatchObject({ kind: 'applied' });
  await postgres.dba.query('ALTER SYSTEM RESET synchronous_standby_names');
  await postgres.dba.query('SELECT pg_reload_conf()');
});

test('prepared transactions and replication slots, which outlive a revoke, are counted', async () => {
  const client = await connect(postgres.cluster, 'app');
  await client.query('BEGIN');
  await client.query('CREATE TABLE t ()');
  await client.query("PREPARE TRANSACTION 'prepared'");
  await client.query("SELECT pg_create_physical_replication_slot('slot')");
  await client.end();
  expect(await port.inspect(access)).toMatchObject({ preparedTransactions: 1, replicationSlots: 1 });
  await port.revoke(access, order);
  expect(await port.inspect(access)).toMatchObject({ preparedTransactions: 1, replicationSlots: 1 });
  await server.allowConnections('app', true);
  const dba = await connect(postgres.cluster, 'app');
  await dba.query("ROLLBACK PREPARED 'prepared'");
  await dba.query("SELECT pg_drop_replication_slot('slot')");
  await dba.end();
});

test('streaming to a replica goes on through a revoke', async () => {
  await server.startReplica();
  const streaming = async () => {
    const { rows } = await postgres.dba.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'",
    );
    return rows;
  };
  let before = await streaming();
  while (before.length === 0) before = await streaming();
  expect(await port.revoke(access, order)).toMatchObject({ kind: 'applied', sessionsEnded: 0 });
  expect(await streaming()).toEqual(before);
});
