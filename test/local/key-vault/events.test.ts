import { describe, expect, test } from 'vitest';
import { DAY, useEmulator } from './emulator-fixture.ts';

const { addVault, eventsOf, keyClient, send, emulator } = useEmulator();

const NEW = 'Microsoft.KeyVault.KeyNewVersionCreated';
const NEAR = 'Microsoft.KeyVault.KeyNearExpiry';
const EXPIRED = 'Microsoft.KeyVault.KeyExpired';

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
type Vault = Awaited<ReturnType<typeof addVault>>;
const typesOf = (vault: Vault) => eventsOf(vault).map(({ eventType }) => eventType);
const told = (vault: Vault) => eventsOf(vault).map(({ eventType, data }) => [eventType, data.Version]);

test('the wire shape is that of Event Grid', async () => {
  const vault = await addVault();
  const { version } = await vault.createKey('k1', { exp: inSeconds(900 * DAY), nbf: 5 });
  const [event] = eventsOf(vault);
  expect(event).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    topic: `/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers/Microsoft.KeyVault/vaults/${vault.name}`,
    subject: 'k1',
    eventType: NEW,
    eventTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    data: {
      Id: `${vault.url}/keys/k1/${version}`,
      VaultName: vault.name,
      ObjectType: 'Key',
      ObjectName: 'k1',
      Version: version,
      NBF: 5,
      EXP: expect.any(Number),
    },
    dataVersion: '1',
    metadataVersion: '1',
  });
});

describe('what raises an event', () => {
  test('every new version, the first included, and nothing else that is done to a key', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    await client.createKey('k1', 'RSA');
    await client.createKey('k1', 'RSA');
    await client.rotateKey('k1');
    expect(typesOf(vault)).toEqual([NEW, NEW, NEW]);
    expect(new Set(eventsOf(vault).map(({ id }) => id)).size).toBe(3);

    await client.updateKeyProperties('k1', { enabled: false });
    await client.updateKeyProperties('k1', { enabled: true, expiresOn: new Date('2036-01-01T00:00:00Z') });
    const backup = await client.backupKey('k1');
    vault.deleteKey('k1');
    vault.recoverKey('k1');
    vault.deleteKey('k1');
    vault.purgeKey('k1');
    await client.restoreKeyBackup(backup ?? new Uint8Array());
    await vault.setSwitches({ rbac: 'denied', firewall: 'closed' });
    await vault.setSwitches({ rbac: 'allowed', firewall: 'open' });
    expect(typesOf(vault)).toEqual([NEW, NEW, NEW]);
  });

  test('a change of access policies, about the vault', async () => {
    const vault = await addVault();
    vault.changeAccessPolicy();
    expect(eventsOf(vault)).toMatchObject([
      {
        eventType: 'Microsoft.KeyVault.VaultAccessPolicyChanged',
        topic: vault.resourceId,
        data: {
          Id: vault.resourceId,
          VaultName: vault.name,
          ObjectName: '',
          Version: '',
          NBF: null,
          EXP: null,
        },
      },
    ]);
  });

  test('a listener that throws disturbs neither the operation nor the other listeners', async () => {
    const warned = new Promise((resolve) => process.once('warning', resolve));
    const end = emulator().onEvent(() => {
      throw new Error('listener');
    });
    const vault = await addVault();
    await vault.createKey('k1');
    end();
    expect(typesOf(vault)).toEqual([NEW]);
    expect(await warned).toMatchObject({ message: 'listener' });
  });
});

describe('expiry', () => {
  test('is near 30 days before, and comes, each told once', async () => {
    const vault = await addVault();
    const { version } = await vault.createKey('k1', { exp: inSeconds(100 * DAY) });
    const at = async (days: number) => {
      await vault.setClockOffset(days * DAY);
      await vault.tick();
      return typesOf(vault).slice(1);
    };
    expect(await at(69)).toEqual([]);
    expect(await at(71)).toEqual([NEAR]);
    expect(await at(99)).toEqual([NEAR]);
    expect(await at(101)).toEqual([NEAR, EXPIRED]);
    expect(await at(200)).toEqual([NEAR, EXPIRED]);
    expect(eventsOf(vault).every(({ data }) => data.Version === version)).toBe(true);
    expect(Date.parse(eventsOf(vault)[2]?.eventTime ?? '')).toBeGreaterThan(Date.now() + 100 * DAY * 1000);
  });

  test('both are told, in order, where the clock leaps over them', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: inSeconds(100 * DAY) });
    await vault.setClockOffset(101 * DAY);
    expect(typesOf(vault)).toEqual([NEW, NEAR, EXPIRED]);
  });

  test('in the past when it was set, it was never near', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: 1_600_000_000 });
    await vault.tick();
    expect(typesOf(vault)).toEqual([NEW, EXPIRED]);
  });

  test('put off and come again, it is told again', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: inSeconds(10 * DAY) });
    await vault.tick();
    vault.updateKey('k1', 'current', { exp: inSeconds(100 * DAY) });
    await vault.tick();
    expect(typesOf(vault)).toEqual([NEW, NEAR]);
    await vault.setClockOffset(71 * DAY);
    expect(typesOf(vault)).toEqual([NEW, NEAR, NEAR]);
  });

  test('is told of the current version only', async () => {
    const vault = await addVault();
    const old = await vault.createKey('k1', { exp: inSeconds(40 * DAY) });
    const current = await vault.createKey('k1', { exp: inSeconds(50 * DAY) });
    await vault.setClockOffset(45 * DAY);
    expect(told(vault)).toEqual([
      [NEW, old.version],
      [NEW, current.version],
      [NEAR, current.version],
    ]);
  });

  test('is told of a disabled version, and not of a deleted key', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: inSeconds(10 * DAY), enabled: false });
    await vault.createKey('k2', { exp: inSeconds(10 * DAY) });
    vault.deleteKey('k2');
    await vault.tick();
    expect(eventsOf(vault).filter(({ eventType }) => eventType === NEAR)).toMatchObject([{ subject: 'k1' }]);
  });

  test('a timer notices it too', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: inSeconds(10 * DAY) });
    await expect.poll(() => typesOf(vault)).toEqual([NEW, NEAR]);
  });

  test.each([
    ['with an expiry time', 'P90D', 10],
    ['without one, by the default', undefined, 30],
  ])('is near when the policy says so, %s', async (_name, expiryTime, days) => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: inSeconds(100 * DAY) });
    const body = {
      lifetimeActions: [{ trigger: { timeBeforeExpiry: 'P10D' }, action: { type: 'notify' } }],
      attributes: { expiryTime },
    };
    await send(vault, '/keys/k1/rotationpolicy?api-version=7.4', { method: 'PUT', body });
    await vault.setClockOffset((99 - days) * DAY);
    expect(typesOf(vault)).toEqual([NEW]);
    await vault.setClockOffset((101 - days) * DAY);
    expect(typesOf(vault)).toEqual([NEW, NEAR]);
  });
});

test.each([
  ['after creation', { timeAfterCreate: 'P2M' }],
  ['before expiry', { timeBeforeExpiry: 'P30D' }],
])('the policy rotates a key %s, with the expiry it gives', async (_name, trigger) => {
  const vault = await addVault();
  const old = await vault.createKey('k1', { exp: inSeconds(90 * DAY) });
  const body = {
    lifetimeActions: [{ trigger, action: { type: 'Rotate' } }],
    attributes: { expiryTime: 'P90D' },
  };
  await send(vault, '/keys/k1/rotationpolicy?api-version=7.4', { method: 'PUT', body });
  await vault.setClockOffset(59 * DAY);
  expect(vault.keys()[0]?.versions).toHaveLength(1);
  await vault.setClockOffset(61 * DAY);
  await expect.poll(() => vault.keys()[0]?.versions.length).toBe(2);
  const current = vault.keys()[0]?.versions[1];
  expect(current?.exp).toBeGreaterThanOrEqual(inSeconds(150 * DAY));
  expect(told(vault)).toEqual([
    [NEW, old.version],
    [NEAR, old.version],
    [NEW, current?.version],
  ]);
});
