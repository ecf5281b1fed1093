// RSA keys of the emulated vaults: made ahead or on demand, and used the way the service uses them.
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  webcrypto,
} from 'node:crypto';
import { promisify } from 'node:util';

export const RSA_BITS = [2048, 3072, 4096] as const;
export type RsaBits = (typeof RSA_BITS)[number];

export const ALGORITHMS = ['RSA-OAEP-256', 'RSA-OAEP', 'RSA1_5'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export interface KeyMaterial {
  readonly bits: RsaBits;
  /** Modulus and exponent, base64url. */
  readonly n: string;
  readonly e: string;
  /** null where the plaintext is too long for the key. */
  encrypt(algorithm: Algorithm, plaintext: Buffer): Buffer | null;
  /** Off the main thread for OAEP; null where the ciphertext doesn't decrypt. */
  decrypt(algorithm: Algorithm, ciphertext: Buffer): Promise<Buffer | null>;
  toPkcs8Pem(): string;
}

export interface KeyPool {
  /** A pair that nobody else has got: one of those given, or a fresh one. */
  take(bits: RsaBits): Promise<KeyMaterial>;
}

const OAEP_HASH = { 'RSA-OAEP-256': 'SHA-256', 'RSA-OAEP': 'SHA-1' } as const;

// One CryptoKey serialises its operations; copies of it don't (azure-facts 8).
const COPIES = 4;

const generate = promisify(generateKeyPair);

export async function generatePrivateKeyPem(bits: RsaBits): Promise<string> {
  const { privateKey } = await generate('rsa', { modulusLength: bits });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function makeKeyPool(privateKeyPems: readonly string[] = []): KeyPool {
  const ready = privateKeyPems.map((pem) => toKeyMaterial(createPrivateKey(pem)));
  return {
    async take(bits) {
      const index = ready.findIndex((material) => material.bits === bits);
      const [found] = index < 0 ? [] : ready.splice(index, 1);
      return found ?? toKeyMaterial(createPrivateKey(await generatePrivateKeyPem(bits)));
    },
  };
}

/** Throws on anything but RSA of 2048, 3072 or 4096 bits. */
export function toKeyMaterial(privateKey: KeyObject): KeyMaterial {
  const bits = RSA_BITS.find((size) => size === privateKey.asymmetricKeyDetails?.modulusLength);
  if (privateKey.asymmetricKeyType !== 'rsa' || bits === undefined) {
    throw new RangeError(`not an RSA key of ${RSA_BITS.join(', ')} bits`);
  }
  const publicKey = createPublicKey(privateKey);
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const oaep = { 'RSA-OAEP-256': makeOaep(privateKey, 'SHA-256'), 'RSA-OAEP': makeOaep(privateKey, 'SHA-1') };
  return {
    bits,
    n,
    e,
    encrypt: (algorithm, plaintext) => encrypt(publicKey, algorithm, plaintext, bits / 8),
    decrypt: (algorithm, ciphertext) =>
      algorithm === 'RSA1_5'
        ? Promise.resolve(decryptPkcs1(privateKey, ciphertext))
        : oaep[algorithm](ciphertext),
    toPkcs8Pem: () => privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function encrypt(
  key: KeyObject,
  algorithm: Algorithm,
  plaintext: Buffer,
  modulusBytes: number,
): Buffer | null {
  switch (algorithm) {
    case 'RSA1_5':
      if (plaintext.length > modulusBytes - 11) return null;
      return publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, plaintext);
    case 'RSA-OAEP':
    case 'RSA-OAEP-256': {
      const oaepHash = OAEP_HASH[algorithm];
      if (plaintext.length > modulusBytes - 2 - 2 * (oaepHash === 'SHA-1' ? 20 : 32)) return null;
      return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, plaintext);
    }
  }
}

function makeOaep(privateKey: KeyObject, hash: string): (ciphertext: Buffer) => Promise<Buffer | null> {
  let copies: Promise<readonly webcrypto.CryptoKey[]> | undefined;
  let next = 0;
  return async (ciphertext) => {
    copies ??= importCopies(privateKey, hash);
    const key = (await copies)[next++ % COPIES];
    if (key === undefined) return null;
    try {
      return Buffer.from(await webcrypto.subtle.decrypt('RSA-OAEP', key, ciphertext));
    } catch {
      return null; // OperationError: the only way that decrypt fails on a good key
    }
  };
}

function importCopies(privateKey: KeyObject, hash: string): Promise<readonly webcrypto.CryptoKey[]> {
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const importOne = () =>
    webcrypto.subtle.importKey('pkcs8', der, { name: 'RSA-OAEP', hash }, false, ['decrypt']);
  return Promise.all(Array.from({ length: COPIES }, importOne));
}

// RFC 8017 section 7.2.2 by hand: OpenSSL answers a bad padding with random bytes, the service refuses it.
function decryptPkcs1(key: KeyObject, ciphertext: Buffer): Buffer | null {
  try {
    const block = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, ciphertext);
    const end = block.indexOf(0, 2);
    return block[0] === 0 && block[1] === 2 && end >= 10 ? block.subarray(end + 1) : null;
  } catch {
    return null;
  }
}
