import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import type { KeyVaultKey } from '@azure/keyvault-keys';
import { describe, expect, test } from 'vitest';
import type { NewKey } from '../../../local/key-vault/emulated-vault.ts';
import type { SwitchesChange } from '../../../local/key-vault/switches.ts';
import { DAY, refusalOf, useEmulator } from './emulator-fixture.ts';

const { addVault, keyClient, cryptoClient, send } = useEmulator();

const dek = randomBytes(64);
const now = () => Math.floor(Date.now() / 1000);

async function makeKey(key: NewKey = {}, switches: SwitchesChange = {}) {
  const vault = await addVault({ switches });
  await vault.createKey('k1', key);
  return { vault, client: keyClient(vault), key: await keyClient(vault).getKey('k1') };
}

/** Made as the app makes it: with the public key, asking nobody. */
function wrapLocally({ key }: KeyVaultKey, padding: 'RSA-OAEP-256' | 'RSA-OAEP' | 'RSA1_5' = 'RSA-OAEP-256') {
  const n = Buffer.from(key?.n ?? []).toString('base64url');
  const e = Buffer.from(key?.e ?? []).toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
  return padding === 'RSA1_5'
    ? publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, dek)
    : publicEncrypt({ key: publicKey, oaepHash: padding === 'RSA-OAEP' ? 'sha1' : 'sha256' }, dek);
}

const forbidden = (inner: string) => ({ status: 403, code: 'Forbidden', inner });

describe('wrap and unwrap', () => {
  test.each([
    ['RSA', 2048],
    ['RSA', 3072],
    ['RSA', 4096],
    ['RSA-HSM', 2048],
  ] as const)('%s of %i bits, remotely both ways', async (kty, bits) => {
    const { key } = await makeKey({ kty, bits });
    const wrapped = await cryptoClient(key).wrapKey('RSA-OAEP-256', dek);
    expect(wrapped.keyID).toBe(key.id);
    const unwrapped = await cryptoClient(key).unwrapKey('RSA-OAEP-256', wrapped.result);
    expect(unwrapped.keyID).toBe(key.id);
    expect(Buffer.from(unwrapped.result)).toEqual(dek);
  });

  test.each(['RSA-OAEP-256', 'RSA-OAEP', 'RSA1_5'] as const)('%s, wrapped by anyone', async (algorithm) => {
    const { vault, key } = await makeKey();
    const { result } = await cryptoClient(key).unwrapKey(algorithm, wrapLocally(key, algorithm));
    expect(Buffer.from(result)).toEqual(dek);
    const body = { alg: algorithm, value: dek.toString('base64url') };
    const wrapped = await send(vault, '/keys/k1//wrapkey?api-version=7.4', { method: 'POST', body });
    const { value } = Object.assign({ value: '' }, wrapped.json);
    const again = await cryptoClient(key).unwrapKey(algorithm, Buffer.from(value, 'base64url'));
    expect(Buffer.from(again.result)).toEqual(dek);
  });

  test('encrypt and decrypt are the same under other names', async () => {
    const { vault, key } = await makeKey();
    const { result } = await cryptoClient(key).decrypt('RSA-OAEP-256', wrapLocally(key));
    expect(Buffer.from(result)).toEqual(dek);
    const body = { alg: 'RSA-OAEP-256', value: dek.toString('base64url') };
    expect(await send(vault, '/keys/k1//encrypt?api-version=7.4', { method: 'POST', body })).toMatchObject({
      status: 200,
      json: { kid: key.id },
    });
  });

  test('without a version the current one wraps and names itself', async () => {
    const { vault, client } = await makeKey();
    const rotated = await client.rotateKey('k1');
    const body = { alg: 'RSA-OAEP-256', value: dek.toString('base64url') };
    for (const path of ['/keys/k1//wrapkey', '/keys/k1/wrapKey']) {
      const answer = await send(vault, `${path}?api%2Dversion=7.4`, { method: 'POST', body });
      expect(answer.json).toMatchObject({ kid: rotated.id });
    }
  });

  test('a wrapping opens under its own version only, many at a time', async () => {
    const { key, client } = await makeKey();
    const other = await client.rotateKey('k1');
    const wrapped = Array.from({ length: 40 }, () => wrapLocally(key));
    const crypto = cryptoClient(key);
    await crypto.unwrapKey('RSA-OAEP-256', wrapLocally(key));
    const opened = await Promise.all(wrapped.map((each) => crypto.unwrapKey('RSA-OAEP-256', each)));
    expect(opened.every(({ result }) => dek.equals(result))).toBe(true);
    const refusal = await refusalOf(cryptoClient(other).unwrapKey('RSA-OAEP-256', wrapLocally(key)));
    expect(refusal).toEqual({ status: 400, code: 'BadParameter', inner: null });
  });
});

describe('what a version refuses', () => {
  const disabled = { enabled: false };
  const expired = { exp: 1_600_000_000 };
  const notYetValid = { nbf: 4_000_000_000 };
  const canWrap = { disabledWraps: true };
  const cannotWrap = { disabledWraps: false };

  test.each<[string, NewKey, SwitchesChange, string | null, string | null]>([
    ['enabled', {}, {}, null, null],
    ['disabled', disabled, canWrap, null, 'KeyDisabled'],
    ['disabled, where that stops wrapping', disabled, cannotWrap, 'KeyDisabled', 'KeyDisabled'],
    ['expired', expired, {}, 'KeyExpired', null],
    ['not yet valid', notYetValid, {}, 'KeyNotYetValid', null],
    ['not yet valid, by another code', notYetValid, { notYetValidCode: 'X' }, 'X', null],
    ['disabled and expired', { ...disabled, ...expired }, {}, 'KeyExpired', 'KeyDisabled'],
    [
      'the same, unwrapping',
      { ...disabled, ...expired },
      { disabledExpiredUnwraps: true },
      'KeyExpired',
      null,
    ],
    ['disabled, with that switch', disabled, { disabledExpiredUnwraps: true }, null, 'KeyDisabled'],
    ['disabled and not yet valid', { ...disabled, ...notYetValid }, {}, 'KeyNotYetValid', 'KeyDisabled'],
    ['without wrapKey', { keyOps: ['unwrapKey'] }, {}, 'KeyOperationForbidden', null],
    ['without unwrapKey', { keyOps: ['wrapKey'] }, {}, null, 'KeyOperationForbidden'],
    ['for nothing, disabled', { keyOps: [], ...disabled }, {}, 'KeyOperationForbidden', 'KeyDisabled'],
  ])('%s', async (_name, spec, switches, wrapCode, unwrapCode) => {
    const { vault, key } = await makeKey(spec, switches);
    const path = `/keys/k1/${key.properties.version}`;
    const wrapBody = { alg: 'RSA-OAEP-256', value: dek.toString('base64url') };
    const unwrapBody = { alg: 'RSA-OAEP-256', value: wrapLocally(key).toString('base64url') };
    for (const [operation, body, code] of [
      ['wrapkey', wrapBody, wrapCode],
      ['encrypt', wrapBody, spec.keyOps === undefined ? wrapCode : undefined],
      ['unwrapkey', unwrapBody, unwrapCode],
      ['decrypt', unwrapBody, spec.keyOps === undefined ? unwrapCode : undefined],
    ] as const) {
      if (code === undefined) continue;
      const answer = await send(vault, `${path}/${operation}?api-version=7.4`, { method: 'POST', body });
      const refusal = { error: { code: 'Forbidden', innererror: { code } } };
      expect(answer).toMatchObject(code === null ? { status: 200 } : { status: 403, json: refusal });
    }
  });

  test('the SDK shows the inner code where the app looks for it', async () => {
    const { vault, key } = await makeKey();
    vault.updateKey('k1', 'all', { enabled: false });
    const unwrap = cryptoClient(key).unwrapKey('RSA-OAEP-256', wrapLocally(key));
    expect(await refusalOf(unwrap)).toEqual(forbidden('KeyDisabled'));
    vault.updateKey('k1', 'all', { enabled: true });
    await cryptoClient(key).unwrapKey('RSA-OAEP-256', wrapLocally(key));
  });

  test('the clock of the vault decides about nbf and exp', async () => {
    const { vault, key } = await makeKey({ nbf: now() + DAY, exp: now() + 2 * DAY });
    const wrap = () => cryptoClient(key).wrapKey('RSA-OAEP-256', dek);
    expect(await refusalOf(wrap())).toEqual(forbidden('KeyNotYetValid'));
    await vault.setClockOffset(DAY + 60);
    await wrap();
    await vault.setClockOffset(2 * DAY + 60);
    expect(await refusalOf(wrap())).toEqual(forbidden('KeyExpired'));
    await cryptoClient(key).unwrapKey('RSA-OAEP-256', wrapLocally(key));
  });
});

describe('bad parameters', () => {
  const value = dek.toString('base64url');
  test.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['no object', '7'],
    ['no algorithm', { value }],
    ['an algorithm for other keys', { alg: 'A256KW', value }],
    ['no value', { alg: 'RSA-OAEP-256' }],
    ['an empty value', { alg: 'RSA-OAEP-256', value: '' }],
    ['a ciphertext of another length', { alg: 'RSA-OAEP-256', value }],
    ['a ciphertext of nothing', { alg: 'RSA-OAEP-256', value: Buffer.alloc(256, 1).toString('base64url') }],
    ['the same for OAEP', { alg: 'RSA-OAEP', value: Buffer.alloc(256, 1).toString('base64url') }],
    ['the same for PKCS#1', { alg: 'RSA1_5', value: Buffer.alloc(256, 1).toString('base64url') }],
    ['a short one for PKCS#1', { alg: 'RSA1_5', value }],
  ])('%s', async (_name, body) => {
    const { vault } = await makeKey();
    const answer = await send(vault, '/keys/k1//unwrapkey?api-version=7.4', { method: 'POST', body });
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'BadParameter' } } });
    expect(vault.counters()).toMatchObject({ 'unwrapkey:refused': 1 });
  });

  test('a plaintext too long for the key', async () => {
    const { vault, key } = await makeKey();
    await cryptoClient(key).wrapKey('RSA-OAEP-256', Buffer.alloc(190));
    for (const [alg, length] of [
      ['RSA-OAEP-256', 191],
      ['RSA-OAEP', 215],
      ['RSA1_5', 246],
    ] as const) {
      const body = { alg, value: Buffer.alloc(length).toString('base64url') };
      const answer = await send(vault, '/keys/k1//wrapkey?api-version=7.4', { method: 'POST', body });
      expect(answer).toMatchObject({ status: 400, json: { error: { code: 'BadParameter' } } });
    }
  });
});
