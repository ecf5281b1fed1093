// What is looked at before a server is registered: each check by its own code, with what to do (design 9). Pure; the
// questions are asked in operations/check-registration.ts.
import { isExpired, isNotYetValid, type VersionAttributes } from './key-status.ts';

export type CheckCode =
  | 'VaultNotAllowed'
  | 'KeyNotReadable'
  | 'KeyVersionRetired'
  | 'KeyTypeNotSupported'
  | 'KeySizeNotSupported'
  | 'KeyIsDisabled'
  | 'KeyIsNotYetValid'
  | 'KeyIsExpired'
  | 'KeyExpiresSoon'
  | 'KeyOperationsMissing'
  | 'SoftDeleteOff'
  | 'PurgeProtectionOff'
  | 'RetentionShort'
  | 'KeyRightsMissing'
  | 'ServerNotReachable'
  | 'ServerCertificateRefused'
  | 'ServerLoginRefused'
  | 'ServerRightsLacking'
  | 'MaintenanceDatabaseOpen'
  | 'ServerTlsWeak';

/** `warning`: the registration goes on. `skipped`: it couldn't be looked at, mostly because of what failed before. */
export type CheckOutcome = 'passed' | 'warning' | 'failed' | 'skipped';

export interface RegistrationCheck {
  readonly code: CheckCode;
  readonly outcome: CheckOutcome;
  /** What was found. */
  readonly message: string;
  /** What to do; null where there is nothing to do. */
  readonly remedy: string | null;
}

export const passed = (code: CheckCode, message: string): RegistrationCheck => ({
  code,
  outcome: 'passed',
  message,
  remedy: null,
});
export const skipped = (code: CheckCode, message: string): RegistrationCheck => ({
  code,
  outcome: 'skipped',
  message,
  remedy: null,
});
export const failed = (code: CheckCode, message: string, remedy: string): RegistrationCheck => ({
  code,
  outcome: 'failed',
  message,
  remedy,
});
export const warned = (code: CheckCode, message: string, remedy: string): RegistrationCheck => ({
  code,
  outcome: 'warning',
  message,
  remedy,
});

/** What a vault says of a key version, as far as it is checked. */
export interface KeyFacts {
  readonly attributes: VersionAttributes;
  readonly keyType: string;
  readonly bits: number | null;
  readonly operations: readonly string[];
  readonly recovery: {
    readonly recoverable: boolean;
    readonly purgeProtected: boolean;
    readonly days: number | null;
  };
}

/** In the order in which they are shown. */
export const KEY_FACT_CODES = [
  'KeyTypeNotSupported',
  'KeySizeNotSupported',
  'KeyIsDisabled',
  'KeyIsNotYetValid',
  'KeyIsExpired',
  'KeyExpiresSoon',
  'KeyOperationsMissing',
  'SoftDeleteOff',
  'PurgeProtectionOff',
  'RetentionShort',
] as const satisfies readonly CheckCode[];

const EXPIRES_SOON_DAYS = 30;
const LONGEST_RETENTION_DAYS = 90;
const DAY_MS = 86_400_000;

/** @param vaultNow the vault's own clock */
export function checkKeyFacts(facts: KeyFacts, vaultNow: Date): readonly RegistrationCheck[] {
  return [
    checkType(facts),
    checkSize(facts),
    facts.attributes.enabled
      ? passed('KeyIsDisabled', 'The version is enabled.')
      : failed('KeyIsDisabled', 'The version is disabled.', 'Enable the key version in Key Vault.'),
    ...checkDates(facts.attributes, vaultNow),
    checkOperations(facts.operations),
    ...checkRecovery(facts.recovery),
  ];
}

const isRsa = (keyType: string): boolean => keyType === 'RSA' || keyType === 'RSA-HSM';

const checkType = ({ keyType }: KeyFacts): RegistrationCheck =>
  isRsa(keyType)
    ? passed('KeyTypeNotSupported', `The key is of type ${keyType}.`)
    : failed('KeyTypeNotSupported', `The key is of type ${keyType}.`, 'Use a key of type RSA or RSA-HSM.');

function checkSize({ keyType, bits }: KeyFacts): RegistrationCheck {
  const code = 'KeySizeNotSupported';
  if (!isRsa(keyType) || bits === null) return skipped(code, 'Only the size of an RSA key counts.');
  return [2048, 3072, 4096].includes(bits)
    ? passed(code, `The key has ${bits} bits.`)
    : failed(code, `The key has ${bits} bits.`, 'Use a key of 2048, 3072 or 4096 bits.');
}

function checkDates(attributes: VersionAttributes, vaultNow: Date): readonly RegistrationCheck[] {
  const { notBefore, expiresOn } = attributes;
  const from = notBefore?.toISOString();
  const until = expiresOn?.toISOString();
  const expired = isExpired(attributes, vaultNow);
  const soon = expiresOn !== null && expiresOn.getTime() - vaultNow.getTime() <= EXPIRES_SOON_DAYS * DAY_MS;
  const valid =
    until === undefined ? 'The version has no expiry date.' : `The version is valid until ${until}.`;
  const renew = 'Create a new version, or extend the expiry of this one.';
  return [
    isNotYetValid(attributes, vaultNow)
      ? failed(
          'KeyIsNotYetValid',
          `The version is not valid before ${from}.`,
          "Wait for the version's activation date, or set it to an earlier one.",
        )
      : passed('KeyIsNotYetValid', 'The activation date has passed, or there is none.'),
    expired
      ? failed('KeyIsExpired', `The version has expired on ${until}.`, renew)
      : passed('KeyIsExpired', valid),
    expired
      ? skipped('KeyExpiresSoon', 'The version has expired already.')
      : soon
        ? warned('KeyExpiresSoon', `The version expires on ${until}.`, renew)
        : passed('KeyExpiresSoon', valid),
  ];
}

/** A DEK is wrapped on this machine, so the vault need not allow `wrapKey`. */
function checkOperations(operations: readonly string[]): RegistrationCheck {
  const code = 'KeyOperationsMissing';
  const message = `The key permits: ${operations.join(', ') || 'nothing'}.`;
  if (!operations.includes('unwrapKey'))
    return failed(code, message, "Add unwrapKey to the key's permitted operations.");
  if (!operations.includes('wrapKey'))
    return warned(
      code,
      message,
      "Nothing for pg-cmk, which wraps with the public half. Other tools need wrapKey among the key's permitted operations.",
    );
  return passed(code, message);
}

function checkRecovery({
  recoverable,
  purgeProtected,
  days,
}: KeyFacts['recovery']): readonly RegistrationCheck[] {
  const kept = days === null ? 'The vault does not say how long.' : `A deleted key is kept for ${days} days.`;
  return [
    recoverable
      ? passed('SoftDeleteOff', 'A deleted key can be recovered.')
      : failed(
          'SoftDeleteOff',
          'A deleted key is gone at once, and every data encryption key under it.',
          'Turn on soft delete for the vault.',
        ),
    purgeProtected
      ? passed('PurgeProtectionOff', 'Nobody can purge a deleted key before its time.')
      : failed(
          'PurgeProtectionOff',
          'A deleted key can be purged at once, and every data encryption key under it is lost.',
          'Turn on purge protection for the vault.',
        ),
    !recoverable || days === null
      ? skipped('RetentionShort', recoverable ? kept : 'Nothing is kept at all.')
      : days < LONGEST_RETENTION_DAYS
        ? warned(
            'RetentionShort',
            kept,
            'Use a vault that keeps deleted keys for 90 days: the number can only be chosen when a vault is made.',
          )
        : passed('RetentionShort', kept),
  ];
}

/** Whether a server may be registered: nothing failed. */
export const isValid = (checks: readonly RegistrationCheck[]): boolean =>
  checks.every(({ outcome }) => outcome !== 'failed');
