// Errors as callers get them: problem details (RFC 9457) with a stable code and a remedy.
import type { HttpResponseInit } from '@azure/functions';
import type { Problem } from '../../shared/api/common.ts';
import { CmkError, type ErrorCode } from '../../shared/domain/errors.ts';

/** 4xx: the caller's or the resource's doing. 5xx: the app's, or of what it depends on. */
export const STATUS_OF: Readonly<Record<ErrorCode, number>> = {
  InvalidConfig: 500,
  InvalidKeyId: 400,
  InvalidEvent: 500,
  InvalidMessage: 500,
  InvalidRow: 500,
  InvalidServer: 400,
  ServerIdTaken: 409,
  DekAlreadyMade: 409,
  ServerNotFound: 404,
  KekNotProven: 409,
  WriteConflict: 409,
  StoreUnavailable: 503,
  VaultRefused: 409,
  VaultUnavailable: 503,
  WrappedDekMalformed: 409,
  DekBindingMismatch: 409,
  DekIdMismatch: 409,
  RewrapProofFailed: 500,
  ServerUnreachable: 409,
  ServerTlsFailed: 409,
  ServerAuthFailed: 409,
  ServerRightsMissing: 409,
  SecretSettingMissing: 409,
  ServerHostRefused: 409,
  PublishFailed: 503,
  InvalidRequest: 400,
  BodyTooLarge: 413,
  ContentTypeRefused: 415,
  InvalidCursor: 400,
  AuthNotConfigured: 503,
  IssuerUnavailable: 503,
  TokenMissing: 401,
  TokenMalformed: 401,
  TokenAlgorithmRefused: 401,
  TokenKeyUnknown: 401,
  TokenSignatureWrong: 401,
  TokenIssuerWrong: 401,
  TokenAudienceWrong: 401,
  TokenExpired: 401,
  TokenNotYetValid: 401,
  RoleMissing: 403,
  PrincipalMismatch: 403,
  PreconditionFailed: 412,
  KekNotFound: 404,
  VersionNotFound: 404,
  RegistrationRefused: 422,
  ServerNotSettled: 409,
  ServerDeleted: 409,
  ServerMoving: 409,
  CopyRefused: 409,
  DrillRefused: 409,
  DekRefused: 409,
  DekRateLimited: 429,
  InvalidPublicKey: 400,
  VersionInUse: 409,
  VersionSoaking: 409,
  RotationNotPossible: 409,
  ExportBroken: 500,
  RestoreRefused: 409,
};

/** Of an error's detail only these go out: none of them can hold a secret, or what a stranger's server answered. */
const TOLD = [
  'faults',
  'checks',
  'dependents',
  'state',
  'reason',
  'phase',
  'role',
  'retireFrom',
  'lastDependedOn',
  'version',
  'missingRights',
  'staysClosed',
  'retryAfterSeconds',
] as const;

const RETRY_AFTER_SECONDS = 2;

/** @param invocationId by which the log has what isn't told here */
export function toProblem(error: unknown, invocationId: string): Problem {
  if (!(error instanceof CmkError)) {
    return {
      type: 'urn:pg-cmk:problem:Internal',
      title: 'Internal',
      status: 500,
      code: 'Internal',
      detail: 'a fault of the app itself',
      remedy: `Look for invocation ${invocationId} in the log, and report it.`,
      invocationId,
    };
  }
  const told = Object.fromEntries(
    TOLD.flatMap((name) => (error.detail[name] === undefined ? [] : [[name, error.detail[name]]])),
  );
  return {
    ...told,
    type: `urn:pg-cmk:problem:${error.code}`,
    title: toTitle(error.code),
    status: statusOf(error),
    code: error.code,
    detail: error.message,
    remedy: error.remedy,
  };
}

/** What may work when it is tried again says so by its status, unless it is the caller's own haste. */
const statusOf = ({ code, retryable }: CmkError): number =>
  retryable && STATUS_OF[code] !== 429 ? 503 : STATUS_OF[code];

/** `ServerIdTaken`: "Server id taken". */
const toTitle = (code: string): string =>
  code.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

export function toProblemResponse(error: unknown, invocationId: string): HttpResponseInit {
  const problem = toProblem(error, invocationId);
  return {
    status: problem.status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...challengeOf(problem),
      ...retryAfterOf(error),
    },
    body: JSON.stringify(problem),
  };
}

/** RFC 6750, section 3: no error is named where no token came. */
function challengeOf({ status, code }: Problem): Readonly<Record<string, string>> {
  if (code === 'TokenMissing') return { 'www-authenticate': 'Bearer' };
  if (status === 401)
    return { 'www-authenticate': `Bearer error="invalid_token", error_description="${code}"` };
  return code === 'RoleMissing' ? { 'www-authenticate': 'Bearer error="insufficient_scope"' } : {};
}

function retryAfterOf(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof CmkError)) return {};
  const { retryAfterSeconds: asked } = error.detail;
  if (typeof asked === 'number') return { 'retry-after': String(Math.max(1, Math.ceil(asked))) };
  return error.retryable ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {};
}
