// The one error type of pg-cmk. Key states (disabled, expired, gone, denied) are observations, never errors:
// see reason.ts. Every code has a section in docs/runbook.md.

/** What went wrong, as a stable code that people search for and code switches on. */
export type ErrorCode =
  | 'InvalidConfig' // settings that can't work: the host must not start
  | 'InvalidKeyId' // not a Key Vault key URL, or a vault outside the allowed suffixes
  | 'InvalidEvent' // an event that can't be understood
  | 'InvalidMessage' // a queue message that can't be understood
  | 'InvalidRow' // a stored row that doesn't parse: it is held and left alone
  | 'InvalidServer' // a registration that can't be accepted as it is
  | 'ServerIdTaken' // the id is registered under another KEK
  | 'ServerNotFound'
  | 'KekNotProven' // no version of the KEK has passed its canary, so nothing may be wrapped under it
  | 'WriteConflict' // the row changed between reading and writing (412, 409)
  | 'StoreUnavailable' // tables, queues or blobs didn't answer
  | 'VaultRefused' // the vault said no, for a reason of the key's; `fault` says which
  | 'VaultUnavailable' // the vault couldn't be asked
  | 'WrappedDekMalformed' // not a wrapping that this app makes
  | 'DekBindingMismatch' // the DEK inside belongs to another server
  | 'DekIdMismatch' // the DEK inside is not the one on record
  | 'RewrapProofFailed' // a new wrapping didn't unwrap to the DEK that went in: nothing was committed
  | 'ServerUnreachable' // no connection to PostgreSQL
  | 'ServerTlsFailed' // the server's certificate was not accepted
  | 'ServerAuthFailed' // PostgreSQL refused the app's login
  | 'ServerRightsMissing' // the app's role lacks a right it needs; `detail` lists which
  | 'SecretSettingMissing' // `auth: setting` names an app setting that doesn't exist
  | 'ServerHostRefused' // the app's password or token doesn't go to that host
  | 'PublishFailed' // an own event couldn't be published: it stays in the outbox
  | 'InvalidRequest' // a request that can't be understood; `detail.faults` points at each field
  | 'BodyTooLarge' // a request body above what the API takes
  | 'ContentTypeRefused' // a request body that isn't said to be JSON
  | 'InvalidCursor' // a cursor that this app didn't make for this very listing
  | 'AuthNotConfigured' // no issuer is configured: every route but health answers 503
  | 'IssuerUnavailable' // the issuer's keys couldn't be had
  | 'TokenMissing'
  | 'TokenMalformed'
  | 'TokenAlgorithmRefused' // signed in a way that isn't on the list, `none` among them
  | 'TokenKeyUnknown' // the issuer has no key of that id
  | 'TokenSignatureWrong'
  | 'TokenIssuerWrong'
  | 'TokenAudienceWrong'
  | 'TokenExpired'
  | 'TokenNotYetValid'
  | 'RoleMissing' // the token is sound and lacks the role; `detail.role`
  | 'PrincipalMismatch' // the token is another identity's than the server's own
  | 'PreconditionFailed' // If-Match names another state of the resource
  | 'KekNotFound'
  | 'VersionNotFound'
  | 'DekAlreadyMade' // the server has a DEK, and another was to be imported: a server's DEK is made once
  | 'RegistrationRefused' // checks failed; `detail.checks` has each with its code and remedy
  | 'ServerNotSettled' // it isn't `Ready`, and what was asked would leave it so
  | 'ServerDeleted' // a tombstone: it can be purged, and nothing else
  | 'ServerMoving' // a move is under way; it ends by itself
  | 'CopyRefused' // that kind of copy can't be made like that
  | 'DrillRefused' // a drill needs a server that is `Ready`
  | 'DekRefused' // the server's state doesn't let its DEK out; `detail.state` and `detail.reason`
  | 'DekRateLimited' // too many releases to one server; `detail.retryAfterSeconds`
  | 'InvalidPublicKey' // the key that the DEK should be sealed to is no P-256 or X25519 public key
  | 'VersionInUse' // something depends on the key version; `detail.dependents` says what
  | 'VersionSoaking' // nothing depends on it, but not for long enough; `detail.retireFrom`
  | 'RotationNotPossible' // there is no proven newer version to rewrap under; `detail.reason`
  | 'ExportBroken' // an export of the tables that isn't what was written
  | 'RestoreRefused'; // the tables that should be restored into aren't empty

/**
 * Every error that pg-cmk throws on purpose. `retryable` says whether trying the same again may work;
 * `remedy` tells a person what to do. Messages carry ids, never a DEK, a token or a ciphertext.
 */
export class CmkError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly remedy: string;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      readonly remedy: string;
      readonly retryable?: boolean;
      readonly cause?: unknown;
      readonly detail?: Readonly<Record<string, unknown>>;
    },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CmkError';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.remedy = options.remedy;
    this.detail = options.detail ?? {};
  }
}

/** Whether `error` is a CmkError, of the given code where one is named. */
export function isCmkError(error: unknown, code?: ErrorCode): error is CmkError {
  return error instanceof CmkError && (code === undefined || error.code === code);
}

/** The text of anything that was thrown, for a log line or a row; one line, at most 500 characters. */
export function describeError(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : toText(error);
  return text.replaceAll(/\s+/g, ' ').slice(0, 500);
}

/** Of some objects no text can be made: String() would throw. */
const toText = (value: unknown): string =>
  typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value);
