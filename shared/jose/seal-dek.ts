// A DEK sealed to a public key that a server made for one request: a compact JWE (RFC 7516), ECDH-ES (RFC 7518, 4.6)
// to P-256 or X25519 (RFC 8037), A256GCM.
import { CompactEncrypt, type CryptoKey, importJWK, type JWK } from 'jose';
import { CmkError } from '../domain/errors.ts';
import type { DekSealer } from '../ports/dek-sealer.ts';

/** The `typ` of the protected header: this JWE is nothing else than a DEK. */
export const DEK_JWE_TYPE = 'pg-cmk-dek+jwe';

export const makeDekSealer = (): DekSealer => ({
  async seal(dek, publicJwk, { serverId, dekId, releasedAt, leaseExpiresOn }) {
    const publicKey = await importPublicKey(publicJwk);
    const header = {
      alg: 'ECDH-ES',
      enc: 'A256GCM',
      typ: DEK_JWE_TYPE,
      sub: serverId,
      dekId,
      // Whole seconds (RFC 7519, 2), rounded so that the lease in the header is never longer than the one on record.
      iat: Math.ceil(releasedAt.getTime() / 1000),
      exp: Math.floor(leaseExpiresOn.getTime() / 1000),
    };
    // The bytes stay in the DEK's scope: they are read by the encryption, and zeroed with the DEK.
    const sealing = dek.read((bytes) =>
      new CompactEncrypt(bytes).setProtectedHeader(header).encrypt(publicKey),
    );
    return sealing.catch((error: unknown) => {
      // A point of low order: everybody would know the secret that it leads to (RFC 7748, 6.1).
      if (error instanceof Error && error.name === 'OperationError')
        throw invalid('a point of low order', error);
      throw error;
    });
  },
});

/** Only what a public key is made of is taken over: no `alg`, `use` or `key_ops` of the sender's has a say. */
async function importPublicKey(jwk: unknown): Promise<CryptoKey> {
  const key = toPublicJwk(jwk);
  try {
    const imported = await importJWK(key, 'ECDH-ES');
    if (!(imported instanceof Uint8Array)) return imported;
  } catch (error) {
    throw invalid('not a point of that curve', error);
  }
  throw invalid('not a public key');
}

function toPublicJwk(jwk: unknown): JWK {
  if (typeof jwk !== 'object' || jwk === null) throw invalid('not an object');
  const { kty, crv, x, y, d }: { readonly [name: string]: unknown } = { ...jwk };
  if (d !== undefined) throw invalid('a private key, which has no business here: throw it away');
  if (kty === 'OKP' && crv === 'X25519') return { kty, crv, x: toCoordinate(x, 'x') };
  if (kty === 'EC' && crv === 'P-256') return { kty, crv, x: toCoordinate(x, 'x'), y: toCoordinate(y, 'y') };
  throw invalid(`of another kind (kty ${describe(kty)}, crv ${describe(crv)})`);
}

/** 32 bytes in base64url, which are 43 characters without padding. */
function toCoordinate(value: unknown, name: string): string {
  if (typeof value === 'string' && /^[A-Za-z0-9_-]{43}$/.test(value)) return value;
  throw invalid(`\`${name}\` is not 32 bytes in base64url`);
}

const describe = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : 'missing, or no text';

const invalid = (why: string, cause?: unknown) =>
  new CmkError('InvalidPublicKey', `the public key to seal to is ${why}`, {
    remedy: 'Make an X25519 or P-256 key pair for this request, and send its public half as a JWK.',
    cause,
  });
