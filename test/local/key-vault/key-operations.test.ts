import { generateKeyPairSync } from 'node:crypto';
import type { KeyRotationLifetimeAction } from '@azure/keyvault-keys';
import { describe, expect, test } from 'vitest';
import { DAY, refusalOf, useEmulator } from './emulator-fixture.ts';

const { addVault, keyClient, cryptoClient, send } = useEmulator();

const names = async (items: AsyncIterable<{ readonly name: string }>) => {
  const found: string[] = [];
  for await (const item of items) found.push(item.name);
  return found;
};
const versions = async (items: AsyncIterable<{ readonly version?: string }>) => {
  const found: string[] = [];
  for await (const item of items) found.push(item.version ?? '');
  return found;
};

describe('keys and versions', () => {
  test('a created key has a concrete id on the origin of its vault, and the attributes of the service', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const key = await client.createRsaKey('k1', { keySize: 3072, tags: { team: 'a' } });
    expect(key.id).toMatch(new RegExp(`^${vault.url}/keys/k1/[0-9a-f]{32}$`));
    expect(key.keyType).toBe('RSA');
    expect(key.key?.n).toHaveLength(384);
    expect(key.keyOperations).toContain('unwrapKey');
    expect(key.properties).toMatchObject({
      enabled: true,
      recoveryLevel: 'Recoverable+Purgeable',
      recoverableDays: 90,
      tags: { team: 'a' },
      vaultUrl: vault.url,
    });
    expect(key.properties.createdOn).toEqual(key.properties.updatedOn);
  });

  test('RSA-HSM is a key type of its own', async () => {
    const key = await keyClient(await addVault()).createRsaKey('k1', { hsm: true });
    expect(key.keyType).toBe('RSA-HSM');
  });

  test('the newest version is the current one, and old ones stay readable', async () => {
    const client = keyClient(await addVault());
    const first = await client.createKey('k1', 'RSA');
    const second = await client.createKey('k1', 'RSA');
    const third = await client.rotateKey('k1');
    expect(new Set([first.id, second.id, third.id]).size).toBe(3);
    expect(third.keyType).toBe('RSA');
    expect(third.key?.n).not.toEqual(second.key?.n);
    expect((await client.getKey('k1')).id).toBe(third.id);
    const old = await client.getKey('k1', { version: first.properties.version ?? '' });
    expect(old.key?.n).toEqual(first.key?.n);
  });

  test('names are the same in any case', async () => {
    const client = keyClient(await addVault());
    const key = await client.createKey('Orders', 'RSA');
    expect((await client.getKey('ORDERS')).id).toBe(key.id);
  });

  test('lists come in pages of 25', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const { versions: made } = await fillVersions(vault, 'k1', 27);
    expect((await versions(client.listPropertiesOfKeyVersions('k1'))).toSorted()).toEqual(made.toSorted());

    const page = await send(vault, '/keys/k1/versions?api-version=2025-07-01&maxresults=20');
    expect(page.json).toMatchObject({ nextLink: expect.stringContaining(`${vault.url}/keys/k1/versions?`) });
    expect((await send(vault, '/keys/k1/versions?api-version=7.4')).json).toHaveProperty('value.length', 25);
    for (const maxresults of ['0', '26', 'x']) {
      const answer = await send(vault, `/keys?api-version=7.4&maxresults=${maxresults}`);
      expect(answer).toMatchObject({ status: 400, json: { error: { code: 'BadParameter' } } });
    }
  });

  test('a list of keys shows each once, without a version, and no deleted one', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    for (const name of ['b', 'a', 'gone']) await vault.createKey(name);
    await vault.rotateKey('a');
    vault.deleteKey('gone');
    expect(await names(client.listPropertiesOfKeys())).toEqual(['a', 'b']);
    expect((await send(vault, '/keys?api-version=7.4')).json).toMatchObject({
      value: [{ kid: `${vault.url}/keys/a` }, { kid: `${vault.url}/keys/b` }],
      nextLink: null,
    });
    expect(await names(client.listDeletedKeys())).toEqual(['gone']);
  });

  test('attributes change on the version named, and on the current one where none is', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const first = await client.createKey('k1', 'RSA');
    await client.rotateKey('k1');
    const expiresOn = new Date('2031-01-01T00:00:00Z');
    const version = first.properties.version ?? '';
    await client.updateKeyProperties('k1', version, { enabled: false });
    await client.updateKeyProperties('k1', { expiresOn, keyOps: ['wrapKey'] });
    expect((await client.getKey('k1', { version })).properties).toMatchObject({ enabled: false });
    const current = await client.getKey('k1');
    expect(current.properties).toMatchObject({ enabled: true, expiresOn });
    expect(current.keyOperations).toEqual(['wrapKey']);
  });

  test('null is not given: it clears nothing', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { exp: 2_000_000_000 });
    const body = { attributes: { exp: null, enabled: false } };
    const answer = await send(vault, '/keys/k1?api-version=7.4', { method: 'PATCH', body });
    expect(answer.json).toMatchObject({ attributes: { exp: 2_000_000_000, enabled: false } });
  });

  test('a listed version shows that it is disabled', async () => {
    const vault = await addVault();
    await vault.createKey('k1', { enabled: false });
    for await (const item of keyClient(vault).listPropertiesOfKeyVersions('k1'))
      expect(item.enabled).toBe(false);
  });

  test('a disabled key is readable, or where so switched is not', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    await vault.createKey('k1', { enabled: false });
    expect((await client.getKey('k1')).properties.enabled).toBe(false);
    await vault.setSwitches({ disabledReads: false });
    expect(await refusalOf(client.getKey('k1'))).toEqual({
      status: 403,
      code: 'Forbidden',
      inner: 'KeyDisabled',
    });
  });

  test('an imported key is the one that was given', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const jwk = privateKey.export({ format: 'jwk' });
    const bytes = (text: string | undefined) => Buffer.from(text ?? '', 'base64url');
    const members = ['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'] as const;
    const material = Object.fromEntries(members.map((member) => [member, bytes(jwk[member])]));
    const key = await client.importKey('k1', { kty: 'RSA', ...material }, { hardwareProtected: true });
    expect(key.keyType).toBe('RSA-HSM');
    expect(Buffer.from(key.key?.n ?? []).toString('base64url')).toBe(jwk.n);
    const broken = { kty: 'RSA', ...material, n: Buffer.from('zzz') };
    expect(await refusalOf(client.importKey('k2', broken))).toMatchObject({
      status: 400,
      code: 'BadParameter',
    });
  });

  test('a backup brings the key back, every version under its id, without an event for it', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const first = await client.createKey('k1', 'RSA', { tags: { a: 'b' } });
    await client.rotateKey('k1');
    const { result: wrapped } = await cryptoClient(first).wrapKey('RSA-OAEP-256', Buffer.from('dek'));
    const backup = (await client.backupKey('k1')) ?? new Uint8Array();
    expect(await refusalOf(client.restoreKeyBackup(backup))).toMatchObject({ status: 409, code: 'Conflict' });
    vault.deleteKey('k1');
    expect(await refusalOf(client.restoreKeyBackup(backup))).toMatchObject({ status: 409 });
    vault.purgeKey('k1');
    await client.restoreKeyBackup(backup);
    const { result } = await cryptoClient(first).unwrapKey('RSA-OAEP-256', wrapped);
    expect(Buffer.from(result).toString()).toBe('dek');
    const junk = await refusalOf(client.restoreKeyBackup(Buffer.from('junk')));
    expect(junk).toMatchObject({ status: 400, code: 'BadParameter' });
  });
});

describe('rotation policy', () => {
  test('by default it is a notice 30 days before expiry; what is set is given back', async () => {
    const client = keyClient(await addVault());
    await client.createKey('k1', 'RSA');
    const byDefault = await client.getKeyRotationPolicy('k1');
    expect(byDefault.lifetimeActions).toMatchObject([{ action: 'Notify', timeBeforeExpiry: 'P30D' }]);
    const lifetimeActions: KeyRotationLifetimeAction[] = [
      { action: 'Rotate', timeAfterCreate: 'P60D' },
      { action: 'Notify', timeBeforeExpiry: 'P10D' },
    ];
    await client.updateKeyRotationPolicy('k1', { expiresIn: 'P90D', lifetimeActions });
    expect(await client.getKeyRotationPolicy('k1')).toMatchObject({ expiresIn: 'P90D', lifetimeActions });
    const before = Math.floor(Date.now() / 1000) + 90 * DAY;
    const rotated = await client.rotateKey('k1');
    expect((rotated.properties.expiresOn?.getTime() ?? 0) / 1000).toBeGreaterThanOrEqual(before);
    await client.updateKeyRotationPolicy('k1', { lifetimeActions: [] });
    expect((await client.getKeyRotationPolicy('k1')).lifetimeActions).toHaveLength(1);
  });

  test.each([
    { attributes: { expiryTime: 'P27D' } },
    { attributes: { expiryTime: 'PT5H' } },
    { lifetimeActions: [{ trigger: { timeAfterCreate: 'P6D' }, action: { type: 'Rotate' } }] },
    { lifetimeActions: [{ trigger: {}, action: { type: 'Rotate' } }] },
    { lifetimeActions: [{ trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'Explode' } }] },
  ])('%j is refused', async (body) => {
    const vault = await addVault();
    await vault.createKey('k1');
    const answer = await send(vault, '/keys/k1/rotationpolicy?api-version=7.4', { method: 'PUT', body });
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'BadParameter' } } });
  });
});

describe('delete, recover, purge', () => {
  test('a deleted key is found among the deleted only, and recovered with all its versions', async () => {
    const vault = await addVault({ retentionDays: 7 });
    const client = keyClient(vault);
    const first = await client.createKey('k1', 'RSA');
    const second = await client.rotateKey('k1');
    const deleted = await (await client.beginDeleteKey('k1')).pollUntilDone();
    expect(deleted.properties.recoveryId).toBe(`${vault.url}/deletedkeys/k1`);
    const { deletedOn, scheduledPurgeDate, recoveryLevel } = deleted.properties;
    expect((scheduledPurgeDate?.getTime() ?? 0) - (deletedOn?.getTime() ?? 0)).toBe(7 * DAY * 1000);
    expect(recoveryLevel).toBe('CustomizedRecoverable+Purgeable');
    const notFound = { status: 404, code: 'KeyNotFound', inner: null };
    const version = first.properties.version ?? '';
    expect(await refusalOf(client.getKey('k1'))).toEqual(notFound);
    expect(await refusalOf(client.getKey('k1', { version }))).toEqual(notFound);
    expect(await refusalOf(cryptoClient(first).unwrapKey('RSA-OAEP-256', Buffer.alloc(256)))).toEqual(
      notFound,
    );
    expect((await client.getDeletedKey('k1')).id).toBe(second.id);
    expect(await refusalOf(client.createKey('k1', 'RSA'))).toEqual({
      status: 409,
      code: 'Conflict',
      inner: 'ObjectIsDeletedButRecoverable',
    });
    await (await client.beginRecoverDeletedKey('k1')).pollUntilDone();
    expect((await versions(client.listPropertiesOfKeyVersions('k1'))).length).toBe(2);
    expect(await refusalOf(client.getDeletedKey('k1'))).toEqual(notFound);
  });

  test('a purged key is gone, and its name free', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const key = await client.createKey('k1', 'RSA');
    await (await client.beginDeleteKey('k1')).pollUntilDone();
    await client.purgeDeletedKey('k1');
    const answer = await send(vault, '/deletedkeys/k1?api-version=7.4');
    expect(answer).toMatchObject({ status: 404, json: { error: { code: 'KeyNotFound' } } });
    expect(answer.text).toContain('Deleted Key not found');
    expect((await client.createKey('k1', 'RSA')).id).not.toBe(key.id);
  });

  test('purge protection refuses the purge until the retention is over, which purges', async () => {
    const vault = await addVault({ purgeProtection: true, retentionDays: 10 });
    const client = keyClient(vault);
    await client.createKey('k1', 'RSA');
    expect((await client.getKey('k1')).properties.recoveryLevel).toBe('CustomizedRecoverable');
    await (await client.beginDeleteKey('k1')).pollUntilDone();
    expect(await refusalOf(client.purgeDeletedKey('k1'))).toMatchObject({ status: 403, code: 'Forbidden' });
    await vault.setClockOffset(10 * DAY + 1);
    expect(await refusalOf(client.getDeletedKey('k1'))).toMatchObject({ status: 404 });
    expect(await names(client.listDeletedKeys())).toEqual([]);
    await client.createKey('k1', 'RSA');
  });

  test('while a change settles, the key is in neither place and its name is refused', async () => {
    const vault = await addVault({ switches: { settlingSeconds: 60 } });
    const client = keyClient(vault);
    const conflict = (inner: string) => ({ status: 409, code: 'Conflict', inner });
    await client.createKey('k1', 'RSA');
    const remove = () => send(vault, '/keys/k1?api-version=7.4', { method: 'DELETE' });
    expect((await remove()).status).toBe(200);
    expect(await refusalOf(client.getDeletedKey('k1'))).toMatchObject({ status: 404 });
    expect(await refusalOf(client.createKey('k1', 'RSA'))).toEqual(conflict('ObjectIsBeingDeleted'));
    expect(await refusalOf(client.purgeDeletedKey('k1'))).toEqual(conflict('ObjectIsBeingDeleted'));
    expect((await remove()).status).toBe(409);
    await vault.setClockOffset(61);
    await client.getDeletedKey('k1');
    vault.recoverKey('k1');
    expect(await refusalOf(client.getKey('k1'))).toMatchObject({ status: 404 });
    expect(await refusalOf(client.createKey('k1', 'RSA'))).toEqual(conflict('ObjectIsBeingRecovered'));
    await vault.setClockOffset(122);
    await client.getKey('k1');
    vault.deleteKey('k1');
    await vault.setClockOffset(183);
    vault.purgeKey('k1');
    expect(await refusalOf(client.getDeletedKey('k1'))).toMatchObject({ status: 404 });
    expect(await refusalOf(client.createKey('k1', 'RSA'))).toEqual(conflict('ObjectIsBeingDeleted'));
    await vault.setClockOffset(244);
    await client.createKey('k1', 'RSA');
  });
});

test('a clock that is put back takes no recovered key away', async () => {
  const vault = await addVault({ clockOffsetSeconds: DAY });
  await vault.createKey('k1');
  vault.deleteKey('k1');
  vault.recoverKey('k1');
  await vault.setClockOffset(0);
  await keyClient(vault).getKey('k1');
});

describe('requests', () => {
  test('an unknown key or version is KeyNotFound', async () => {
    const client = keyClient(await addVault());
    await client.createKey('k1', 'RSA');
    const notFound = { status: 404, code: 'KeyNotFound', inner: null };
    expect(await refusalOf(client.getKey('k2'))).toEqual(notFound);
    expect(await refusalOf(client.getKey('k1', { version: '0'.repeat(32) }))).toEqual(notFound);
    expect(await refusalOf(client.rotateKey('k2'))).toEqual(notFound);
    expect(await refusalOf(client.updateKeyProperties('k2', { enabled: true }))).toEqual(notFound);
    expect(await refusalOf(client.getKeyRotationPolicy('k2'))).toEqual(notFound);
    expect(await refusalOf(client.beginDeleteKey('k2'))).toEqual(notFound);
  });

  test.each([
    ['GET', '/keys/k1', 400],
    ['GET', '/keys/k1?api-version=', 400],
    ['GET', '/keys/no_such?api-version=7.4', 400],
    ['GET', '/keys/%E0%A4%A?api-version=7.4', 400],
    ['POST', '/keys/k1/create?api-version=7.4', 400],
    ['DELETE', '/keys/k1/x?api-version=7.4', 405],
    ['DELETE', '/keys?api-version=7.4', 405],
    ['PUT', '/keys/k1/x/y?api-version=7.4', 405],
    ['POST', '/deletedkeys/k1?api-version=7.4', 405],
    ['GET', '/secrets/s1?api-version=7.4', 404],
  ])('%s %s is answered %i', async (method, path, status) => {
    const answer = await send(await addVault(), path, { method });
    expect(answer).toMatchObject({ status, json: { error: { code: expect.any(String) } } });
  });

  test.each([
    '{"kty":"EC"}',
    '{"kty":"RSA","key_size":1024}',
    '{"kty":"RSA","key_ops":["fly"]}',
    '{"kty":"RSA","attributes":{"exp":"soon"}}',
    '[]',
    'kty=RSA',
  ])('%s is no way to create a key', async (body) => {
    const answer = await send(await addVault(), '/keys/k1/create?api-version=7.4', { method: 'POST', body });
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'BadParameter' } } });
  });

  test('the spellings of the SDK are understood: encoded names, doubled and trailing slashes', async () => {
    const vault = await addVault();
    const { version } = await vault.createKey('k1');
    for (const path of ['/keys/k1/?api%2Dversion=2025-07-01', `/keys/k1/${version}/?api%2Dversion=7.4`]) {
      expect((await send(vault, path)).status).toBe(200);
    }
  });

  test('each kind of operation is counted, until reset', async () => {
    const vault = await addVault();
    const client = keyClient(vault);
    const key = await client.createKey('k1', 'RSA');
    await client.getKey('k1');
    await client.rotateKey('k1');
    await client.updateKeyProperties('k1', { enabled: true });
    await names(client.listPropertiesOfKeys());
    const { result } = await cryptoClient(key).wrapKey('RSA-OAEP-256', Buffer.alloc(64));
    await cryptoClient(key).unwrapKey('RSA-OAEP-256', result);
    await refusalOf(cryptoClient(key).unwrapKey('RSA-OAEP-256', Buffer.alloc(256)));
    await refusalOf(client.getDeletedKey('k1'));
    await (await client.beginDeleteKey('k1')).pollUntilDone();
    vault.recoverKey('k1');
    expect(vault.counters()).toEqual({
      unauthorized: expect.any(Number),
      create: 1,
      get: 1,
      rotate: 1,
      update: 1,
      list: 1,
      wrapkey: 1,
      'unwrapkey:64': 1,
      'unwrapkey:refused': 1,
      'deletedkeys:refused': 1,
      deletedkeys: 1,
      delete: 1,
    });
    vault.resetCounters();
    expect(vault.counters()).toEqual({});
  });
});

// Bare requests, since 27 keys would take a second to make: a backup with its version told 27 times.
async function fillVersions(vault: Awaited<ReturnType<typeof addVault>>, name: string, count: number) {
  await vault.createKey(name);
  const { json } = await send(vault, `/keys/${name}/backup?api-version=7.4`, { method: 'POST' });
  const { value } = Object.assign({ value: '' }, json);
  const blob = JSON.parse(Buffer.from(value, 'base64url').toString());
  const made = Array.from({ length: count }, (_, index) => index.toString(16).padStart(32, '0'));
  blob.versions = made.map((version) => ({ ...blob.versions[0], version }));
  vault.deleteKey(name);
  vault.purgeKey(name);
  const body = { value: Buffer.from(JSON.stringify(blob)).toString('base64url') };
  await send(vault, '/keys/restore?api-version=7.4', { method: 'POST', body });
  return { versions: made };
}
