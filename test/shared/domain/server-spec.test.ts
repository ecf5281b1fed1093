import { describe, expect, test } from 'vitest';
import { isAmongHosts } from '../../../shared/domain/server-spec.ts';

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
