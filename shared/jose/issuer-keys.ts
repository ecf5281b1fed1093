// The public keys of the issuer, found by its discovery document (OpenID Connect Discovery 1.0) unless settings say where.
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { CmkError, describeError } from '../domain/errors.ts';
import type { Log } from '../ports/runtime.ts';

const TIMEOUT_MS = 5000;
/** The least time between two looks for a key id that isn't there, or at an issuer that can't be asked. */
const COOLDOWN_MS = 30_000;
/** A key that the issuer withdraws is trusted for so long at most. */
const MAX_AGE_MS = 600_000;
/** Its keys are used for so long while the issuer can't be asked: servers must boot meanwhile, and be revoked. */
const OUTAGE_MS = 24 * 3_600_000;

export function issuerUnavailable(issuer: string, cause: unknown): CmkError {
  return new CmkError('IssuerUnavailable', `the keys of ${issuer} can't be had: ${describeError(cause)}`, {
    remedy:
      'Try again. If it lasts, check PGCMK_AUTH_ISSUER, PGCMK_AUTH_JWKS_URI and the way out of the app.',
    retryable: true,
    cause,
  });
}

/** Keys that are used though the issuer can't be asked whether they still are its own. */
export interface OldKeys {
  readonly fetchedAt: Date;
  readonly usedUntil: Date;
}

export interface IssuerKeys {
  readonly getKey: JWTVerifyGetKey;
  /** Whether there are keys to be had; null: of now. @throws CmkError IssuerUnavailable */
  readonly check: () => Promise<OldKeys | null>;
}

export interface IssuerKeysOptions {
  readonly now?: () => Date;
  readonly log?: Pick<Log, 'write'>;
}

interface Held {
  readonly keys: ReturnType<typeof createLocalJWKSet>;
  readonly at: number;
}

/** The last look, which failed. */
interface Failure {
  readonly error: CmkError;
  /** It gave no answer at all since it last gave its keys. */
  readonly isOutage: boolean;
  readonly at: number;
}

/**
 * Looked up when first needed; a failed look is tried again by the next caller, and one look serves all who wait.
 *
 * While the issuer can't be asked (no connection, 5xx, 429), the keys that it last gave are used for a day. One answer
 * of it is enough: a key that isn't in that is never used again; nor are old keys where it answers with none.
 */
export function makeIssuerKeys(
  issuer: string,
  jwksUri: string | null,
  { now = () => new Date(), log }: IssuerKeysOptions = {},
): IssuerKeys {
  let address = jwksUri;
  let held: Held | undefined;
  let failure: Failure | undefined;
  let looking: Promise<void> | undefined;
  const isWithin = (at: number, milliseconds: number) => now().getTime() - at < milliseconds;

  const ask = async () => {
    try {
      address ??= await discover(issuer);
      const keys = createLocalJWKSet(parseKeys(await get(address), address));
      held = { keys, at: now().getTime() };
      failure = undefined;
    } catch (error) {
      const isSilent = error instanceof IssuerSilent;
      // Its keys may have moved.
      if (!isSilent) address = jwksUri;
      const isOutage = isSilent && failure?.isOutage !== false;
      failure = { error: issuerUnavailable(issuer, error), isOutage, at: now().getTime() };
      const old = findOld();
      if (old !== null)
        log?.write('warn', 'the issuer can not be asked: the keys that it last gave are used', {
          issuer,
          ...old,
          problem: describeError(error),
        });
    }
  };

  const findOld = (): OldKeys | null => {
    if (held === undefined || isWithin(held.at, MAX_AGE_MS) || failure?.isOutage !== true) return null;
    if (!isWithin(held.at, OUTAGE_MS)) return null;
    return { fetchedAt: new Date(held.at), usedUntil: new Date(held.at + OUTAGE_MS) };
  };

  const findUsable = (): Held | undefined =>
    held !== undefined && (isWithin(held.at, MAX_AGE_MS) || findOld() !== null) ? held : undefined;

  /** @throws CmkError IssuerUnavailable */
  const find = async (maxAgeMs: number): Promise<Held> => {
    if (held !== undefined && isWithin(held.at, maxAgeMs)) return held;
    const isSpared = failure !== undefined && isWithin(failure.at, COOLDOWN_MS);
    if (!isSpared || findUsable() === undefined) {
      looking ??= ask().finally(() => {
        looking = undefined;
      });
      await looking;
    }
    const usable = findUsable();
    if (usable !== undefined) return usable;
    throw failure?.error ?? issuerUnavailable(issuer, 'they have grown old');
  };

  return {
    getKey: async (header, token) => {
      const { keys } = await find(MAX_AGE_MS);
      try {
        return await keys(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        const newer = await find(COOLDOWN_MS);
        // It may be a new one: only the issuer could say.
        if (failure !== undefined) throw failure.error;
        return newer.keys(header, token);
      }
    },
    check: async () => {
      await find(MAX_AGE_MS);
      return findOld();
    },
  };
}

/** No answer, or none about what was asked. */
class IssuerSilent extends Error {
  override readonly name = 'IssuerSilent';
}

async function get(address: string): Promise<unknown> {
  const { status, text } = await fetchText(address);
  if (status >= 500 || status === 429) throw new IssuerSilent(`${address} answered ${status}`);
  if (status !== 200) throw new Error(`${address} answered ${status}`);
  return JSON.parse(text);
}

async function fetchText(address: string) {
  try {
    const answer = await fetch(address, {
      headers: { accept: 'application/json, application/jwk-set+json' },
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return { status: answer.status, text: await answer.text() };
  } catch (cause) {
    throw new IssuerSilent(`${address} gave no answer: ${describeError(cause)}`, { cause });
  }
}

function parseKeys(document: unknown, address: string): JSONWebKeySet {
  if (isKeySet(document)) return document;
  throw new Error(`${address} holds no keys`);
}

/** What each of them is, jose looks at when it is used. */
const isKeySet = (value: unknown): value is JSONWebKeySet =>
  typeof value === 'object' &&
  value !== null &&
  'keys' in value &&
  Array.isArray(value.keys) &&
  value.keys.every((key: unknown) => typeof key === 'object' && key !== null);

async function discover(issuer: string): Promise<string> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await get(address);
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
