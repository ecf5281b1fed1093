import { describe, expect, test } from 'vitest';
import { refusalOf, useEmulator } from './emulator-fixture.ts';

const { addVault, keyClient, cryptoClient, send } = useEmulator({
  authenticate: async (token) => token.startsWith('token'),
  authority: 'https://login.microsoftonline.com/my-tenant',
});

const forbidden = (inner: string) => ({ status: 403, code: 'Forbidden', inner });
const unauthorized = { status: 401, json: { error: { code: 'Unauthorized' } } };

describe('the challenge', () => {
  test('a request without a token learns where to get one, whatever it asks for', async () => {
    const vault = await addVault();
    for (const path of ['/keys/k1/?api-version=7.4', '/nonsense']) {
      const answer = await send(vault, path, { token: null });
      expect(answer).toMatchObject(unauthorized);
      expect(answer.headers['www-authenticate']).toBe(
        'Bearer authorization="https://login.microsoftonline.com/my-tenant", resource="https://vault.azure.net"',
      );
    }
  });

  test('the SDK passes it when its first request is one with a body', async () => {
    const vault = await addVault();
    const key = await keyClient(vault).createKey('k1', 'RSA');
    vault.resetCounters();
    await cryptoClient(key).wrapKey('RSA-OAEP-256', Buffer.from('dek'));
    expect(vault.counters()).toEqual({ unauthorized: 1, wrapkey: 1 });
  });

  test('a token that is not accepted is refused', async () => {
    const vault = await addVault();
    expect(await send(vault, '/keys?api-version=7.4', { token: 'forged' })).toMatchObject(unauthorized);
    const refusal = await refusalOf(keyClient(vault, 'forged').getKey('k1'));
    expect(refusal).toMatchObject({ status: 401, code: 'Unauthorized' });
  });
});

describe('permission', () => {
  test.each(['ForbiddenByRbac', 'ForbiddenByPolicy', 'AccessDenied'] as const)(
    'denied by %s',
    async (rbacCode) => {
      const vault = await addVault();
      await vault.createKey('k1');
      const client = keyClient(vault);
      await vault.setSwitches({ rbac: 'denied', rbacCode });
      expect(await refusalOf(client.getKey('k1'))).toEqual(forbidden(rbacCode));
      expect(await refusalOf(client.getKey('no-such-key'))).toEqual(forbidden(rbacCode));
      await vault.setSwitches({ rbac: 'allowed' });
      await client.getKey('k1');
    },
  );

  test('can be missing for some operations only', async () => {
    const vault = await addVault({ switches: { rbac: ['unwrapkey', 'deletedkeys'] } });
    const client = keyClient(vault);
    const key = await client.createKey('k1', 'RSA');
    const { result } = await cryptoClient(key).wrapKey('RSA-OAEP-256', Buffer.from('dek'));
    const unwrap = cryptoClient(key).unwrapKey('RSA-OAEP-256', result);
    expect(await refusalOf(unwrap)).toEqual(forbidden('ForbiddenByRbac'));
    expect(await refusalOf(client.getDeletedKey('k1'))).toEqual(forbidden('ForbiddenByRbac'));
    expect(vault.counters()).toMatchObject({ 'unwrapkey:refused': 1, 'deletedkeys:refused': 1 });
  });
});

test.each(['ForbiddenByFirewall', 'ForbiddenByConnection'] as const)(
  'network closed: %s',
  async (firewallCode) => {
    const vault = await addVault({ switches: { firewall: 'closed', firewallCode, rbac: 'denied' } });
    const client = keyClient(vault);
    expect(await refusalOf(client.getKey('k1'))).toEqual(forbidden(firewallCode));
    expect(await send(vault, '/keys', { token: null })).toMatchObject(unauthorized);
    await vault.setSwitches({ firewall: 'open' });
    expect(await refusalOf(client.getKey('k1'))).toEqual(forbidden('ForbiddenByRbac'));
  },
);
