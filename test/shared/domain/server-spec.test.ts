import { describe, expect, test } from 'vitest';
import {
  type AccessSpec,
  isAmongHosts,
  isTokenSafe,
  type PostgresAccess,
} from '../../../shared/domain/server-spec.ts';

describe('isAmongHosts', () => {
  const among = ['postgres.database.azure.com', '10.0.0.4'];

  test.each([
    ['postgres.database.azure.com', true],
    ['orders.POSTGRES.database.azure.com', true],
    ['10.0.0.4', true],
    ['evilpostgres.database.azure.com', false],
    ['postgres.database.azure.com.evil.example', false],
    ['postgres.database.azure.com.', false],
    ['database.azure.com', false],
    ['110.0.0.4', false],
    ['', false],
  ])('%s: %s', (host, is) => {
    expect(isAmongHosts(host, among)).toBe(is);
  });

  test('nobody is among none', () => {
    expect(isAmongHosts('db', [])).toBe(false);
  });
});

describe('isTokenSafe', () => {
  const access: PostgresAccess = {
    kind: 'postgres',
    host: 'db',
    port: 5432,
    maintenanceDatabase: 'cmk_admin',
    excludeDatabases: [],
    user: 'cmk',
    tls: 'verify-full',
    auth: { kind: 'entra' },
  };
  const password = { kind: 'setting', name: 'PGCMK_SECRET_DB' } as const;

  test.each<[string, AccessSpec, boolean]>([
    ['no access, no token', { kind: 'none' }, true],
    ['a token to a host that proves who it is', access, true],
    ['a token to any host with a certificate', { ...access, tls: 'verify-ca' }, false],
    ['a token to whoever encrypts', { ...access, tls: 'require' }, false],
    ['a token in the clear', { ...access, tls: 'disable' }, false],
    [
      'a password, of which the setting says where it may go',
      { ...access, tls: 'disable', auth: password },
      true,
    ],
  ])('%s: %s', (_, spec, isSafe) => {
    expect(isTokenSafe(spec)).toBe(isSafe);
  });
});
