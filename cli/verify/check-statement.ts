// A statement of the app's, checked offline: a JWS by one of the keys at hand (RFC 7515, RFC 8037).
import { createLocalJWKSet, errors, importJWK, type JWK, type JWTPayload, jwtVerify } from 'jose';
import * as z from 'zod';
import { SigningKeys } from '../../shared/api/keys.ts';
import { cliError } from '../cli-error.ts';
import { readJson } from '../text-file.ts';

/** The only algorithm, and the only type, that statements are signed with. */
const ALGORITHMS = ['EdDSA'];
const TYPE = 'pg-cmk-statement+jwt';

export type StatementReport =
  | { readonly sound: true; readonly claims: JWTPayload }
  | { readonly sound: false; readonly message: string };

const Jwk = z.looseObject({ kty: z.string() });

/** A JWK set, or a single JWK. @throws CliError FileUnusable */
export async function readKeys(file: string): Promise<ReturnType<typeof createLocalJWKSet>> {
  const json = await readJson(file);
  const one = Jwk.safeParse(json);
  const given = one.success ? [one.data] : (SigningKeys.safeParse(json).data?.keys ?? []);
  const keys = given.flatMap(toPublicKey);
  const problem = given.length === 0 ? 'no JWK set' : 'no Ed25519 public key';
  if (keys.length === 0 || !(await Promise.all(keys.map(isUsable))).every((usable) => usable)) {
    throw cliError(
      'FileUnusable',
      `${file} holds ${problem}`,
      'Make it by `pg-cmk keys signing-keys --out`.',
    );
  }
  return createLocalJWKSet({ keys });
}

/** Only what a public key is made of is taken over: nothing else in the file has a say. */
function toPublicKey({ kty, crv, x, kid }: JWK): readonly JWK[] {
  if (kty !== 'OKP' || crv !== 'Ed25519' || typeof x !== 'string') return [];
  return [{ kty, crv, x, ...(typeof kid === 'string' ? { kid } : {}) }];
}

const isUsable = (key: JWK): Promise<boolean> =>
  importJWK(key, 'EdDSA').then(
    () => true,
    () => false,
  );

export async function checkStatement(
  text: string,
  keys: ReturnType<typeof createLocalJWKSet>,
  now: Date,
): Promise<StatementReport> {
  try {
    const { payload } = await jwtVerify(text.trim(), keys, {
      algorithms: ALGORITHMS,
      typ: TYPE,
      currentDate: now,
      requiredClaims: ['iss', 'iat', 'sub'],
    });
    return { sound: true, claims: payload };
  } catch (error) {
    if (error instanceof errors.JOSEError) return { sound: false, message: toMessage(error) };
    throw error;
  }
}

function toMessage(error: errors.JOSEError): string {
  switch (error.code) {
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return "its signature is not made by the key at hand: it was changed, or is somebody else's";
    case 'ERR_JWKS_NO_MATCHING_KEY':
      return 'none of the keys at hand has made it';
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
      return 'it is signed in another way than pg-cmk signs';
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return `it is no statement of pg-cmk: ${error.message}`;
    default:
      return `it is no signed statement: ${error.message}`;
  }
}
