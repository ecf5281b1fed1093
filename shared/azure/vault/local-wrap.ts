// Wrapping with the public half of a key version, on this machine (RFC 8017 section 7.1, OAEP with SHA-256).
import { constants, createPublicKey, type KeyObject, publicEncrypt } from 'node:crypto';
import type { LocalWrap, PublicKey } from '../../ports/key-vault.ts';

export function makeLocalWrap(): LocalWrap {
  const imported = new WeakMap<PublicKey, KeyObject>();
  const importKey = (publicKey: PublicKey): KeyObject => {
    const known = imported.get(publicKey);
    if (known !== undefined) return known;
    const key = createPublicKey({ key: Buffer.from(publicKey.spki), format: 'der', type: 'spki' });
    imported.set(publicKey, key);
    return key;
  };
  return {
    async wrap(publicKey, plaintext) {
      const key = importKey(publicKey);
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      return publicEncrypt({ key, padding, oaepHash: 'sha256' }, plaintext).toString('base64url');
    },
  };
}
