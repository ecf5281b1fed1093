import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeLocalCertificates } from '../../local/certificates.ts';
import { type Postgres, type PostgresReplica, startPostgres, startReplica } from '../../local/postgres.ts';
import { until } from './host/host-under-test.ts';

async function query(
  server: Postgres,
  sql: string,
  ssl: object | false = false,
): Promise<readonly unknown[]> {
  const { host, port, superuser: user, password } = server;
  const client = new Client({ host, port, user, password, database: 'postgres', ssl });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return rows;
  } finally {
    await client.end();
  }
}

describe('startPostgres', () => {
  let server: Postgres;

  beforeAll(async () => {
    server = await startPostgres({ name: 'alpha', password: "it's secret" });
  });
  afterAll(() => server?.stop());

  test('runs PostgreSQL 18 under its name and password', async () => {
    expect(server.password).toBe("it's secret");
    const [row] = await query(server, "SELECT current_setting('cluster_name') AS name, version()");
    expect(row).toMatchObject({ name: 'alpha', version: expect.stringMatching(/^PostgreSQL 18/) });
    await expect(query({ ...server, password: 'wrong' }, 'SELECT 1')).rejects.toMatchObject({
      code: '28P01',
    });
  });

  test('keeps its data and port over a restart and over a crash', async () => {
    await query(server, 'CREATE TABLE kept AS SELECT 1 AS n');
    await server.restart();
    expect(await query(server, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
    await query(server, 'UPDATE kept SET n = 2');
    await server.kill();
    await expect(query(server, 'SELECT 1')).rejects.toThrow();
    await server.restart();
    expect(await query(server, 'SELECT n FROM kept')).toEqual([{ n: 2 }]);
  });

  test('takes only TLS once it has certificates', async () => {
    const { caPem, certPem, keyPem } = await makeLocalCertificates();
    const secure = await startPostgres({ name: 'secure', ssl: { certPem, keyPem } });
    const ssl = { ca: caPem };
    const sql = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    expect(await query(secure, sql, ssl)).toEqual([{ ssl: true }]);
    await expect(query(secure, sql)).rejects.toThrow('no encryption');
    const replica = await startReplica(secure, { name: 'secure-replica' });
    expect(await query(replica, sql, ssl)).toEqual([{ ssl: true }]);
    await replica.stop();
    await secure.stop();
    expect(existsSync(secure.dataDirectory)).toBe(false);
  });
});

describe('startReplica', () => {
  let primary: Postgres;
  let replica: PostgresReplica;

  beforeAll(async () => {
    primary = await startPostgres({ name: 'primary' });
    await query(primary, 'CREATE TABLE t AS SELECT 1 AS n');
    replica = await startReplica(primary, { name: "replica's" });
  });
  afterAll(async () => {
    await replica?.stop();
    await primary?.stop();
  });

  test('streams what the primary writes, and refuses writes', async () => {
    await query(primary, 'INSERT INTO t VALUES (2)');
    await until(async () => (await query(replica, 'SELECT n FROM t')).length === 2);
    await expect(query(replica, 'INSERT INTO t VALUES (3)')).rejects.toMatchObject({ code: '25006' });
    const streams = await query(primary, 'SELECT application_name, state FROM pg_stat_replication');
    expect(streams).toEqual([{ application_name: "replica's", state: 'streaming' }]);
  });

  test('carries over closed databases and goes on after the primary restarted', async () => {
    await query(primary, 'CREATE DATABASE app');
    await query(primary, 'ALTER DATABASE app ALLOW_CONNECTIONS false');
    await primary.restart();
    const sql = "SELECT datallowconn FROM pg_database WHERE datname = 'app'";
    await until(async () => JSON.stringify(await query(replica, sql)) === '[{"datallowconn":false}]');
  });

  test('takes writes once promoted', async () => {
    await replica.promote();
    expect(await query(replica, 'SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: false }]);
    await query(replica, 'INSERT INTO t VALUES (9)');
    await replica.restart();
    expect(await query(replica, 'SELECT n FROM t WHERE n = 9')).toEqual([{ n: 9 }]);
  });
});

test('a server and its directory go away when the process is killed', async () => {
  const url = new URL('../../local/postgres.ts', import.meta.url).href;
  const script = `
    const { startPostgres } = await import(${JSON.stringify(url)});
    const { port, password, dataDirectory } = await startPostgres({ name: 'orphan' });
    console.log(JSON.stringify({ port, password, dataDirectory }));
    setInterval(() => {}, 1000);
  `;
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: [...stdio] });
  const line = await new Promise<string>((resolve) =>
    parent.stdout?.once('data', (text) => resolve(String(text))),
  );
  const orphan: Postgres = { ...JSON.parse(line), superuser: 'postgres', host: '127.0.0.1' };
  expect(await query(orphan, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  parent.kill('SIGKILL');
  await until(() => !existsSync(orphan.dataDirectory));
  await expect(query(orphan, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
