import { describe, expect, test } from 'vitest';
import {
  isAllowedVault,
  isSameKek,
  kekKey,
  keyUrl,
  parseKekId,
  parseKekKey,
  parseKeyUrl,
  parseVersion,
} from '../../../shared/domain/key-id.ts';
import { KEK, V1 } from './states.ts';

const host = 'https://contoso.vault.azure.net';
const mixed = '0123456789abcdefABCDEF0123456789';
const invalid = expect.objectContaining({ code: 'InvalidKeyId' });

describe('parseKeyUrl', () => {
  test.each([
    ['with a version', `${host}/keys/kek/${V1}`, KEK, V1],
    ['without one', `${host}/keys/kek`, KEK, null],
    ['with a slash at the end', `${host}/keys/kek/`, KEK, null],
    ['with two', `${host}/keys/kek//`, KEK, null],
    ['with a version and a slash at the end', `${host}/keys/kek/${V1}/`, KEK, V1],
    ['with spaces around it', `  ${host}/keys/kek/${V1}\n`, KEK, V1],
    [
      'with spaces inside, as in the docs’ events',
      `https:// contoso.vault.azure.net/keys/ kek / ${V1}`,
      KEK,
      V1,
    ],
    ['with a blank version and a slash', `${host}/keys/kek/ /`, KEK, null],
    [
      'with a port that begins like the standard one',
      'https://localhost:4430/keys/kek',
      { vault: 'localhost:4430', name: 'kek' },
      null,
    ],
    ['with a blank version', `${host}/keys/kek/ `, KEK, null],
    ['in upper case', `HTTPS://Contoso.Vault.Azure.Net/Keys/KEK/${mixed}`, KEK, mixed.toLowerCase()],
    ['with a port', `https://localhost:8443/keys/kek`, { vault: 'localhost:8443', name: 'kek' }, null],
    [
      'of a managed HSM',
      'https://h.managedhsm.azure.net/keys/k-1',
      { vault: 'h.managedhsm.azure.net', name: 'k-1' },
      null,
    ],
    ['with the longest name', `${host}/keys/${'k'.repeat(127)}`, { ...KEK, name: 'k'.repeat(127) }, null],
    ['with a host of one letter', 'https://a/keys/kek', { vault: 'a', name: 'kek' }, null],
  ])('reads a key URL %s', (_, text, kek, version) => expect(parseKeyUrl(text)).toEqual({ kek, version }));

  test.each([
    ['nothing', ''],
    ['no URL', 'kek'],
    ['http', `http://contoso.vault.azure.net/keys/kek`],
    ['something before it', `x${host}/keys/kek`],
    ['a secret', `${host}/secrets/kek`],
    ['no key', `${host}/keys/`],
    ['no path', host],
    ['something after the version', `${host}/keys/kek/${V1}/wrapkey`],
    ['a query', `${host}/keys/kek?api-version=7.4`],
    ['a fragment', `${host}/keys/kek/${V1}#`],
    ['a user in front of the host', `https://contoso.vault.azure.net@evil.example/keys/kek`],
    ['a query in the host', 'https://evil.example?.vault.azure.net/keys/kek'],
    ['a name with other characters', `${host}/keys/k_k`],
    ['a name of 128', `${host}/keys/${'k'.repeat(128)}`],
    ['a blank name', `${host}/keys/ `],
    ['a host that ends with a dot', 'https://contoso.vault.azure.net./keys/kek'],
    ['a host that begins with a dash', 'https://-contoso/keys/kek'],
    ['a host with other characters', 'https://cöntoso.vault.azure.net/keys/kek'],
    ['a host that is too long', `https://${'h'.repeat(253)}/keys/kek`],
    ['a port without digits', 'https://contoso:/keys/kek'],
    ['a port with six digits', 'https://contoso:844300/keys/kek'],
    ['two ports', 'https://contoso:1:2/keys/kek'],
    ['an IPv6 address', 'https://[::1]/keys/kek'],
    ['I-09: the version "latest"', `${host}/keys/kek/latest`],
    ['I-09: a short version', `${host}/keys/kek/${V1.slice(1)}`],
  ])('refuses %s', (_, text) => expect(() => parseKeyUrl(text)).toThrow(invalid));

  test('says what it was given, and not all of it', () => {
    expect(() => parseKeyUrl(`x${'y'.repeat(900)}`)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/^.{1,300}$/),
        remedy: expect.stringMatching(/./),
      }),
    );
    expect(() => parseKeyUrl('"quoted')).toThrow('"\\"quoted"');
    expect(() => parseKeyUrl('kek')).toThrow('https://{vault}/keys/{name}[/{version}]');
    expect(() => parseVersion('latest')).toThrow('32 hexadecimal digits');
  });

  test('the standard port names the same KEK as none', () => {
    expect(parseKeyUrl('https://contoso.vault.azure.net:443/keys/kek').kek).toEqual(KEK);
  });
});

describe('parseVersion (I-09)', () => {
  test('I-09: takes 32 hexadecimal digits, in lower case', () => {
    expect(parseVersion(` ${mixed} `)).toBe(mixed.toLowerCase());
  });

  test.each(['', ' ', 'latest', 'g'.repeat(32), V1.slice(1), `${V1}1`, `${V1.slice(2)}-1`])(
    'I-09: refuses %j: it isn’t concrete',
    (text) => expect(() => parseVersion(text)).toThrow(invalid),
  );
});

describe('parseKekId', () => {
  test('normalises case and spaces', () => {
    expect(parseKekId(' Contoso.Vault.Azure.Net ', ' KEK ')).toEqual(KEK);
  });

  test.each([
    ['', 'kek'],
    ['contoso/x', 'kek'],
    ['contoso', ''],
    ['contoso', 'k|k'],
    ['contoso', 'k/k'],
  ])('refuses %j, %j', (vault, name) => expect(() => parseKekId(vault, name)).toThrow(invalid));

  test('says which of the two is wrong', () => {
    expect(() => parseKekId('bad host', 'kek')).toThrow(/host.*"bad host"/);
    expect(() => parseKekId('contoso', 'bad name')).toThrow(/key name.*"bad name"/);
  });
});

describe('isAllowedVault', () => {
  test.each([
    ['contoso.vault.azure.net', true],
    ['vault.azure.net', true],
    ['contoso.vault.azure.net:8443', true],
    ['a.managedhsm.azure.net', true],
    ['evilvault.azure.net', false],
    ['contoso.vault.azure.net.evil.example', false],
    ['contoso.vault.azure.net:8443.evil.example', false],
    ['vault:1.azure.net', false],
    ['evil.example', false],
  ])('%s: %s', (vault, allowed) => {
    expect(isAllowedVault(vault, ['vault.azure.net', 'managedhsm.azure.net'])).toBe(allowed);
  });

  test('without suffixes none is', () => expect(isAllowedVault('contoso.vault.azure.net', [])).toBe(false));
});

describe('kekKey, keyUrl', () => {
  test('a KEK’s key in tables can be read back', () => {
    expect(kekKey(KEK)).toBe('contoso.vault.azure.net|kek');
    expect(parseKekKey(kekKey(KEK))).toEqual(KEK);
  });

  test.each(['', 'contoso', 'contoso|', '|kek', 'contoso|kek|', 'contoso|kek|more'])(
    '%j is no such key',
    (key) => {
      expect(() => parseKekKey(key)).toThrow(invalid);
    },
  );

  test('says so of one with too many parts', () => {
    expect(() => parseKekKey('contoso|kek|more')).toThrow('{vault}|{key}');
  });

  test('a URL names the key, or one version of it', () => {
    expect(keyUrl(KEK)).toBe('https://contoso.vault.azure.net/keys/kek');
    expect(keyUrl(KEK, V1)).toBe(`https://contoso.vault.azure.net/keys/kek/${V1}`);
  });

  test('two KEKs are the same by vault and name', () => {
    expect(isSameKek(KEK, { ...KEK })).toBe(true);
    expect(isSameKek(KEK, { ...KEK, name: 'other' })).toBe(false);
    expect(isSameKek(KEK, { ...KEK, vault: 'other' })).toBe(false);
  });
});
