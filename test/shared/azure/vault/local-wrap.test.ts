import { constants, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { makeLocalWrap } from '../../../../shared/azure/vault/local-wrap.ts';

test.each([2048, 3072])('wraps by RSA-OAEP with SHA-256 under %i bits', async (bits) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const described = { keyType: 'RSA', bits, spki } as const;
  const localWrap = makeLocalWrap();
  const plaintext = randomBytes(64);
  const [first, second] = [
    await localWrap.wrap(described, plaintext),
    await localWrap.wrap(described, plaintext),
  ];
  expect(first).not.toBe(second);
  for (const ciphertext of [first, second]) {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const bytes = Buffer.from(ciphertext, 'base64url');
    expect(bytes.length).toBe(bits / 8);
    expect(privateDecrypt({ key: privateKey, padding, oaepHash: 'sha256' }, bytes)).toEqual(plaintext);
  }
});
