// The StatementSigner port on jose: a JWS by the app's own Ed25519 key pair (RFC 8037).
import { createPublicKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose';
import type { Clock } from '../ports/runtime.ts';
import type { StatementSigner } from '../ports/statement-signer.ts';

/** The only algorithm that statements are signed with. */
const ALGORITHM = 'EdDSA';
/** So that a statement passes for no other kind of JWT (RFC 8725, section 3.11). */
const TYPE = 'pg-cmk-statement+jwt';

export interface StatementSignerDeps {
  /** An Ed25519 private key. */
  readonly key: KeyObject;
  /** `iss`: who says so. */
  readonly issuer: string;
  readonly clock: Pick<Clock, 'now'>;
}

/** The key's id is its thumbprint (RFC 7638), so that whoever has the public key can tell it without asking. */
export function makeStatementSigner({ key, issuer, clock }: StatementSignerDeps): StatementSigner {
  const readPublic = async () => {
    const jwk = await exportJWK(createPublicKey(key));
    return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: ALGORITHM, use: 'sig' };
  };
  let known: ReturnType<typeof readPublic> | null = null;
  const publicKey = () => {
    known ??= readPublic();
    return known;
  };
  return {
    sign: async (claims) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: (await publicKey()).kid })
        .setIssuer(issuer)
        .setIssuedAt(clock.now())
        .sign(key),
    publicKeys: async () => ({ keys: [await publicKey()] }),
  };
}
