// The public keys of the issuer, found by its discovery document (OpenID Connect Discovery 1.0) unless settings say where.
import { createRemoteJWKSet, type JWTVerifyGetKey } from 'jose';
import { CmkError, describeError } from '../domain/errors.ts';

const TIMEOUT_MS = 5000;
/** The least time between two looks for a key id that isn't there. */
const COOLDOWN_MS = 30_000;
/** A key that the issuer withdraws is trusted for so long at most. */
const MAX_AGE_MS = 600_000;

export function issuerUnavailable(issuer: string, cause: unknown): CmkError {
  return new CmkError('IssuerUnavailable', `the keys of ${issuer} can't be had: ${describeError(cause)}`, {
    remedy:
      'Try again. If it lasts, check PGCMK_AUTH_ISSUER, PGCMK_AUTH_JWKS_URI and the way out of the app.',
    retryable: true,
    cause,
  });
}

export interface IssuerKeys {
  readonly getKey: JWTVerifyGetKey;
  /** Whether there are keys to be had. @throws CmkError IssuerUnavailable */
  readonly check: () => Promise<void>;
}

/** Looked up when first needed; a failed look is tried again by the next caller, and one look serves all who wait. */
export function makeIssuerKeys(issuer: string, jwksUri: string | null): IssuerKeys {
  let found: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;
  const look = async () => {
    const url = new URL(jwksUri ?? (await discover(issuer)));
    return createRemoteJWKSet(url, {
      timeoutDuration: TIMEOUT_MS,
      cooldownDuration: COOLDOWN_MS,
      cacheMaxAge: MAX_AGE_MS,
    });
  };
  const find = () => {
    found ??= look().catch((error: unknown) => {
      found = undefined;
      throw issuerUnavailable(issuer, error);
    });
    return found;
  };
  return {
    getKey: async (header, token) => (await find())(header, token),
    check: async () => {
      const keys = await find();
      if (keys.fresh) return;
      await keys.reload().catch((error: unknown) => {
        throw issuerUnavailable(issuer, error);
      });
    },
  };
}

async function discover(issuer: string): Promise<string> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const answer = await fetch(address, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
  const document: unknown = await answer.json();
  if (typeof document !== 'object' || document === null) throw new Error(`${address} holds no document`);
  // A document about somebody else would have us trust somebody else's keys (section 4.3).
  if (!('issuer' in document) || document.issuer !== issuer) {
    throw new Error(`${address} is about another issuer`);
  }
  const uri = 'jwks_uri' in document ? document.jwks_uri : undefined;
  if (typeof uri !== 'string' || !isTrustedWay(uri))
    throw new Error(`${address} names no https address of keys`);
  return uri;
}

/** TLS, or this very machine. */
function isTrustedWay(address: string): boolean {
  const url = URL.parse(address);
  if (url === null) return false;
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  return url.protocol === 'https:' || (url.protocol === 'http:' && isHere);
}
