// The bearer token of a request (RFC 6750): its signature by the issuer's keys, its claims (RFC 7519), and who it names.
import { decodeJwt, errors, type JWTPayload, jwtVerify } from 'jose';
import { type Caller, ROLES } from '../domain/caller.ts';
import { CmkError, type ErrorCode } from '../domain/errors.ts';
import type { VerifyToken } from '../ports/token-verifier.ts';
import { type IssuerKeys, issuerUnavailable, makeIssuerKeys } from './issuer-keys.ts';

export interface TokenRules {
  /** Exactly as the tokens' `iss` says it. */
  readonly issuer: string;
  /** A token names at least one of them. */
  readonly audiences: readonly string[];
  /** null: the issuer's discovery document says. */
  readonly jwksUri: string | null;
  readonly rolesClaim: string;
  readonly principalClaim: string;
}

/** Signatures by a private key only: with a shared secret the issuer's public key could be made to sign (RFC 8725, 2.1). */
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
const SKEW_SECONDS = 60;
const MAX_TOKEN_LENGTH = 16_384;
const MAX_PRINCIPAL_LENGTH = 200;

const REMEDIES = {
  TokenMissing: 'Send `Authorization: Bearer …` with a token of the configured issuer.',
  TokenMalformed: 'Send a signed access token (JWT) with `exp` and the claim that names its bearer.',
  TokenAlgorithmRefused: 'Have the token signed with an asymmetric algorithm: RS, PS, ES or EdDSA.',
  TokenKeyUnknown: 'Get a new token: the issuer no longer has the key that signed this one, or never had it.',
  TokenSignatureWrong:
    'Get the token from the issuer itself: this one was changed, or signed by somebody else.',
  TokenIssuerWrong:
    'Get the token from the issuer that PGCMK_AUTH_ISSUER names; the two must be the same to the letter.',
  TokenAudienceWrong: 'Ask for a token for this API: one of the audiences in PGCMK_AUTH_AUDIENCE.',
  TokenExpired: 'Get a new token.',
  TokenNotYetValid: 'Wait, or compare the clocks of the issuer and of the app.',
} as const satisfies Partial<Record<ErrorCode, string>>;

/** Nothing of the token is in the message: it may end in a log. */
const refuse = (code: keyof typeof REMEDIES, message: string, cause?: unknown) =>
  new CmkError(code, message, { remedy: REMEDIES[code], ...(cause === undefined ? {} : { cause }) });

/** Without an issuer nobody can be known: every request is refused with AuthNotConfigured. */
export function makeVerifyToken(
  rules: TokenRules | null,
  keys: IssuerKeys | null = rules === null ? null : makeIssuerKeys(rules.issuer, rules.jwksUri),
  now: () => Date = () => new Date(),
): VerifyToken {
  if (rules === null || keys === null) return () => Promise.reject(notConfigured());
  return async (authorization) => {
    const token = readBearer(authorization);
    assertIssuer(token, rules.issuer);
    try {
      const { payload } = await jwtVerify(token, keys.getKey, {
        algorithms: ALGORITHMS,
        issuer: rules.issuer,
        audience: [...rules.audiences],
        clockTolerance: SKEW_SECONDS,
        currentDate: now(),
        requiredClaims: ['exp'],
      });
      return toCaller(payload, rules);
    } catch (error) {
      throw translate(error, rules.issuer);
    }
  };
}

const notConfigured = () =>
  new CmkError('AuthNotConfigured', 'no issuer of tokens is configured', {
    remedy: 'Set PGCMK_AUTH_ISSUER, PGCMK_AUTH_AUDIENCE and PGCMK_SIGNING_KEY.',
  });

function readBearer(authorization: string | undefined): string {
  const text = authorization?.trim() ?? '';
  if (!/^bearer(?:\s|$)/i.test(text)) throw refuse('TokenMissing', 'the request bears no token');
  const token = text.slice('bearer'.length).trim();
  if (token === '') throw refuse('TokenMissing', 'the request bears an empty token');
  if (token.length <= MAX_TOKEN_LENGTH && /^[\w.-]+$/.test(token)) return token;
  throw refuse('TokenMalformed', 'what the request bears is no JWT');
}

/** Before its signature is looked at: a stranger's token costs no look at the issuer's keys. It only ever refuses. */
function assertIssuer(token: string, issuer: string): void {
  let claims: JWTPayload;
  try {
    claims = decodeJwt(token);
  } catch (error) {
    throw refuse('TokenMalformed', 'what the request bears is no JWT', stripped(error));
  }
  if (claims.iss !== issuer) throw refuse('TokenIssuerWrong', `the token is not one of ${issuer}`);
}

function toCaller(payload: JWTPayload, { rolesClaim, principalClaim }: TokenRules): Caller {
  const principalId = payload[principalClaim];
  if (typeof principalId !== 'string' || principalId === '' || principalId.length > MAX_PRINCIPAL_LENGTH) {
    throw refuse('TokenMalformed', `the token doesn't say who bears it: ${principalClaim}`);
  }
  const claimed = payload[rolesClaim];
  const names: readonly unknown[] = typeof claimed === 'string' ? claimed.split(/\s+/) : toList(claimed);
  return { principalId, roles: ROLES.filter((role) => names.includes(role)) };
}

const toList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function translate(error: unknown, issuer: string): CmkError {
  if (error instanceof CmkError) return error;
  const cause = stripped(error);
  if (error instanceof errors.JWTExpired) return refuse('TokenExpired', 'the token has expired', cause);
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error;
    if (claim === 'iss') return refuse('TokenIssuerWrong', `the token is not one of ${issuer}`, cause);
    if (claim === 'aud') return refuse('TokenAudienceWrong', 'the token is for somebody else', cause);
    if (claim === 'nbf' && reason === 'check_failed') {
      return refuse('TokenNotYetValid', 'the token is not valid yet', cause);
    }
    return refuse('TokenMalformed', `the token's ${claim} is ${reason}`, cause);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return refuse('TokenAlgorithmRefused', 'the token is signed in a way that is not allowed', cause);
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return refuse('TokenKeyUnknown', `${issuer} has no key of the id that the token names`, cause);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse('TokenSignatureWrong', "the token's signature is not its issuer's", cause);
  }
  const isOfToken = [errors.JWSInvalid, errors.JWTInvalid, errors.JOSENotSupported].some(
    (kind) => error instanceof kind,
  );
  if (isOfToken) return refuse('TokenMalformed', 'what the request bears is no JWT of ours', cause);
  return issuerUnavailable(issuer, cause);
}

/** The errors of jose carry the claims they have read: only the text goes on. */
const stripped = (error: unknown): Error =>
  new Error(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
