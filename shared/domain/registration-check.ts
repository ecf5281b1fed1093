// What is looked at before a server is registered: each check by its own code, with what to do (design 9).

export type CheckCode =
  | 'VaultNotAllowed'
  | 'KeyNotReadable'
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

/** `warning`: the registration goes on. `skipped`: it couldn't be looked at because of what failed before. */
export type CheckOutcome = 'passed' | 'warning' | 'failed' | 'skipped';

export interface RegistrationCheck {
  readonly code: CheckCode;
  readonly outcome: CheckOutcome;
  /** What was found. */
  readonly message: string;
  /** What to do; null where there is nothing to do. */
  readonly remedy: string | null;
}
