// Why a key or a server is as it is, each with what a person does about it. Every reason has a section in
// docs/runbook.md; the two lists are compared by a test.

/** Why a key version isn't usable, or why that couldn't be told (design 5). */
export type KeyReason =
  | 'KeyDisabled'
  | 'KeyExpired'
  | 'KeyNotYetValid'
  | 'KeyOperationForbidden'
  | 'KeySoftDeleted'
  | 'KeyPurged'
  | 'KeyNotFound'
  | 'AccessDenied'
  | 'FirewallDenied'
  | 'VaultNotFound'
  | 'IdentityUnavailable'
  | 'Throttled'
  | 'VaultUnreachable'
  | 'UnexpectedAnswer'
  | 'CanaryMismatch'
  | 'CanaryUnavailable';

/** Why a server isn't simply `Ready`, beyond what its key says. */
export type ServerReason =
  | 'OperatorHold'
  | 'KeyNotProven'
  | 'AccessNotApplied'
  | 'SessionNotEndable'
  | 'ReplicaLagging'
  | 'ServerUnreachable'
  | 'ServerTlsFailed'
  | 'ServerAuthFailed'
  | 'ServerRightsMissing';

export type Reason = KeyReason | ServerReason;

/** What to do about each reason; one or two sentences, shown beside it everywhere. */
export const REMEDIES: Readonly<Record<Reason, string>> = {
  KeyDisabled: 'Enable the key version in Key Vault. Access comes back by itself.',
  KeyExpired: 'Extend the expiry of the version, or create a new version: servers move to it by themselves.',
  KeyNotYetValid: "Wait for the version's activation date, or set it to an earlier one.",
  KeyOperationForbidden: "Add unwrapKey to the key's permitted operations.",
  KeySoftDeleted: 'Recover the deleted key in Key Vault. Access comes back by itself.',
  KeyPurged: 'Restore the key from its Key Vault backup. Without one the data encryption keys are lost.',
  KeyNotFound: 'Check that the key exists in this vault and was not deleted; recover or restore it.',
  AccessDenied: "Give the app's identity the role Key Vault Crypto Service Encryption User on the key.",
  FirewallDenied: "Let the app through the vault's firewall or private endpoint.",
  VaultNotFound: 'Recover the vault, then recreate its role assignments and event subscriptions.',
  IdentityUnavailable: "Check that the app's managed identity exists and is assigned to the app.",
  Throttled: 'Nothing at once: the app slows down. If it lasts, lower vaultShare or spread the keys.',
  VaultUnreachable: 'Nothing if the vault has an outage. Otherwise check DNS, routes and private endpoints.',
  UnexpectedAnswer:
    'Look at the answer in the log; the vault, or something in between, said what it never says.',
  CanaryMismatch:
    'Report it: the vault answered with other bytes. No access changes and nothing is rewrapped.',
  CanaryUnavailable: 'Let the app read the key (keys/get), so that it can make its canary.',
  OperatorHold: 'An operator holds this server or key. Only an operator lifts it.',
  KeyNotProven: 'Make a version of the key usable by the app; the server follows by itself.',
  AccessNotApplied: 'Nothing: the app is at it. If it lasts, see the last failure on the server.',
  SessionNotEndable: "End the named sessions as a superuser: the app's role can't end a superuser's session.",
  ReplicaLagging: 'Check replication: the flags of the primary have not arrived at this replica yet.',
  ServerUnreachable: 'Start the server, or open the way to it. The app keeps trying.',
  ServerTlsFailed:
    "Give the server a certificate that the app trusts for this host name, or fix the server's host.",
  ServerAuthFailed: "Check the app's login on the server: user, password setting, or Entra role.",
  ServerRightsMissing: "Grant the app's role what the failure lists.",
};
