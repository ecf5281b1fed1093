import { describe, expect, test } from 'vitest';
import { CmkError, type ErrorCode } from '../../../shared/domain/errors.ts';
import type { PostgresAccess } from '../../../shared/domain/server-spec.ts';
import { makeCheckServer } from '../../../shared/operations/check-server.ts';
import { makeMemoryServerAccess } from '../../fakes/server-access.ts';

const begin = () => {
  const postgres = makeMemoryServerAccess();
  const server = postgres.addServer();
  const checkServer = makeCheckServer({ access: postgres.port });
  const report = async (change: Partial<PostgresAccess> = {}) =>
    Object.fromEntries(
      (await checkServer({ ...server.access, ...change })).map(({ code, outcome }) => [code, outcome]),
    );
  const fail = (code: ErrorCode, retryable = false) =>
    server.failNext(new CmkError(code, 'what happened', { remedy: 'what to do', retryable }));
  return { postgres, server, checkServer, report, fail };
};

const SOUND = {
  ServerNotReachable: 'passed',
  ServerCertificateRefused: 'passed',
  ServerLoginRefused: 'passed',
  ServerRightsLacking: 'passed',
  MaintenanceDatabaseOpen: 'passed',
  ServerTlsWeak: 'passed',
};
const PASSWORD = { kind: 'setting', name: 'PGCMK_SECRET_DB' } as const;

describe('checkServer', () => {
  test('a sound server passes every check, and is not changed', async () => {
    const { postgres, server, report } = begin();
    expect(await report()).toEqual(SOUND);
    expect(postgres.orders).toEqual([]);
    expect(server.takesConnections('app')).toBe(true);
  });

  test('nothing is looked at where only the DEK is cared for', async () => {
    const { checkServer } = begin();
    expect(await checkServer({ kind: 'none' })).toEqual([]);
  });

  test.each([
    ['verify-full', 'passed', 'passed'],
    ['verify-ca', 'passed', 'passed'],
    ['require', 'skipped', 'warning'],
    ['disable', 'skipped', 'warning'],
  ] as const)('tls %s: the certificate %s, the mode %s', async (tls, certificate, weak) => {
    const { report } = begin();
    expect(await report({ tls, auth: PASSWORD })).toEqual({
      ...SOUND,
      ServerCertificateRefused: certificate,
      ServerTlsWeak: weak,
    });
  });

  test.each(['verify-ca', 'require', 'disable'] as const)(
    'no token goes to any host: tls %s',
    async (tls) => {
      const { server, report, fail } = begin();
      fail('ServerAuthFailed');
      const skippedAll = Object.fromEntries(Object.keys(SOUND).map((code) => [code, 'skipped']));
      expect(await report({ tls })).toEqual({ ...skippedAll, ServerTlsWeak: 'failed' });
      // The failure still waits for the first connection: there was none.
      expect(await report()).toMatchObject({ ServerLoginRefused: 'failed' });
      expect(server.takesConnections('app')).toBe(true);
    },
  );

  test('one that cannot be reached yet is warned of', async () => {
    const { server, report } = begin();
    server.setReachable(false);
    expect(await report()).toEqual({
      ServerNotReachable: 'warning',
      ServerCertificateRefused: 'skipped',
      ServerLoginRefused: 'skipped',
      ServerRightsLacking: 'skipped',
      MaintenanceDatabaseOpen: 'skipped',
      ServerTlsWeak: 'passed',
    });
  });

  test.each<[ErrorCode, boolean, string, Readonly<Record<string, string>>]>([
    ['ServerTlsFailed', false, 'passed failed skipped skipped', {}],
    ['ServerAuthFailed', false, 'passed passed failed skipped', {}],
    ['ServerAuthFailed', true, 'skipped skipped warning skipped', {}],
    ['SecretSettingMissing', false, 'skipped skipped failed skipped', {}],
    ['ServerHostRefused', false, 'skipped skipped failed skipped', {}],
    ['ServerRightsMissing', false, 'passed passed passed failed', {}],
  ])('%s (retryable: %s): %s', async (code, retryable, outcomes) => {
    const { report, fail } = begin();
    fail(code, retryable);
    const [reachable, certificate, login, rights] = outcomes.split(' ');
    expect(await report()).toEqual({
      ServerNotReachable: reachable,
      ServerCertificateRefused: certificate,
      ServerLoginRefused: login,
      ServerRightsLacking: rights,
      MaintenanceDatabaseOpen: 'skipped',
      ServerTlsWeak: 'passed',
    });
  });

  test('what failed is said as the server said it', async () => {
    const { server, checkServer, fail } = begin();
    fail('ServerTlsFailed');
    expect(await checkServer(server.access)).toContainEqual({
      code: 'ServerCertificateRefused',
      outcome: 'failed',
      message: 'what happened',
      remedy: 'what to do',
    });
  });

  test('each right that a revocation would lack', async () => {
    const { server, checkServer } = begin();
    server.allowSignals(false);
    server.createDatabase('foreign', { owned: false });
    const checks = await checkServer(server.access);
    expect(checks.find(({ code }) => code === 'ServerRightsLacking')).toMatchObject({
      outcome: 'failed',
      remedy: expect.stringMatching(/pg_signal_backend.*; .*"foreign"/),
    });
    expect(checks.find(({ code }) => code === 'MaintenanceDatabaseOpen')?.outcome).toBe('passed');
  });

  test('a maintenance database that anyone may enter is no lack of rights', async () => {
    const { server, report, checkServer } = begin();
    server.openMaintenance(true);
    expect(await report()).toEqual({ ...SOUND, MaintenanceDatabaseOpen: 'failed' });
    const checks = await checkServer({ ...server.access, maintenanceDatabase: 'the "one"' });
    expect(checks.find(({ code }) => code === 'MaintenanceDatabaseOpen')?.remedy).toBe(
      'Run REVOKE CONNECT ON DATABASE "the ""one""" FROM PUBLIC;',
    );
  });

  test('what is no answer of a server is thrown', async () => {
    const { server, checkServer, fail } = begin();
    fail('StoreUnavailable');
    await expect(checkServer(server.access)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const broken = makeCheckServer({
      access: {
        revoke: () => Promise.reject(new TypeError('a bug')),
        restore: () => Promise.reject(new TypeError('a bug')),
        inspect: () => Promise.reject(new TypeError('a bug')),
      },
    });
    await expect(broken(server.access)).rejects.toThrow('a bug');
  });
});
