// The key version that a DEK may be wrapped under now: held, observed and proven (design 7).
import { CmkError } from '../domain/errors.ts';
import { findVersion, makeKekState } from '../domain/kek.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import { isProven, makeVersionState, type VersionState } from '../domain/key-status.ts';
import { type KeyReason, REMEDIES } from '../domain/reason.ts';
import { classifyFault } from '../domain/vault-answer.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { KeyVault } from '../ports/key-vault.ts';
import type { Clock } from '../ports/runtime.ts';
import { onConflict } from './on-conflict.ts';
import type { ReconcileKek } from './reconcile-kek.ts';
import { toSnapshot } from './snapshot.ts';

export interface ProveKekDeps {
  readonly keks: KekStore;
  readonly vault: KeyVault;
  readonly reconcileKek: ReconcileKek;
  readonly clock: Clock;
}

/** Reasons that are no fault of the key's: asking again may do. */
const TRANSIENT: readonly KeyReason[] = [
  'IdentityUnavailable',
  'Throttled',
  'VaultUnreachable',
  'UnexpectedAnswer',
  'CanaryUnavailable',
];

/** @param retryable also where the reason is one of the key's, such as a second good probe that is still to come */
export function kekNotProven(
  kek: KekId,
  version: string | null,
  reason: KeyReason,
  retryable = false,
): CmkError {
  const id = keyUrl(kek, version ?? undefined);
  return new CmkError('KekNotProven', `no DEK can be wrapped under ${id}: ${reason}`, {
    remedy: REMEDIES[reason],
    retryable: retryable || TRANSIENT.includes(reason),
    detail: { reason },
  });
}

/**
 * The version to wrap under: `pin`, or the KEK's target. A KEK that was never seen to work is held, and observed on
 * the spot; a pinned version is watched from then on.
 *
 * Nothing is wrapped under a version again that was retired.
 * @throws CmkError KekNotProven (retryable where the vault couldn't be asked, or the proof is a matter of seconds),
 *   StoreUnavailable, WriteConflict
 */
export async function proveKek(deps: ProveKekDeps, kek: KekId, pin: string | null): Promise<VersionState> {
  const find = async () => {
    const stored = await deps.keks.read(kek);
    const snapshot = stored === undefined ? undefined : toSnapshot(stored);
    return { snapshot, version: snapshot && findVersion(snapshot, pin ?? snapshot.kek.target) };
  };
  const known = await find();
  assertNotRetired(kek, known.version);
  const watched = pin === null || known.version?.inUse === true;
  if (known.version !== undefined && isProven(known.version) && watched) return known.version;
  await holdKek(deps, kek, pin);
  await deps.reconcileKek({ kek, cause: { kind: 'operator', by: 'registration' } }, null);
  const { version, snapshot } = await find();
  assertNotRetired(kek, version);
  if (version !== undefined && isProven(version)) return version;
  // A version that answers well again serves when it has done so twice.
  const returns = version?.status === 'usable' && version.verdict === 'revoke';
  const found = returns ? version.verdictReason : version?.reason;
  const reason = found ?? snapshot?.versions.at(-1)?.reason ?? (await askWhy(deps, kek));
  throw kekNotProven(kek, pin, reason, returns);
}

/** @throws CmkError KekNotProven */
export function assertNotRetired(kek: KekId, version: VersionState | undefined): void {
  if (version === undefined || version.retiredAt === null) return;
  const since = version.retiredAt.toISOString();
  throw new CmkError('KekNotProven', `${keyUrl(kek, version.version)} was retired at ${since}`, {
    remedy: 'Name the key without a version, or with a newer one.',
    detail: { reason: 'VersionRetired' },
  });
}

/** Why no version of a KEK is known: an outage must not look like a missing key. */
async function askWhy(deps: ProveKekDeps, kek: KekId): Promise<KeyReason> {
  const described = await deps.vault.describe(kek);
  if (described.ok) return 'CanaryUnavailable';
  return classifyFault(described.fault, { deleted: 'unsaid', seenDeleted: false }).reason;
}

/**
 * Makes sure that the KEK's row is there to be reconciled, and that a pinned version is one that is watched.
 * @throws CmkError StoreUnavailable, WriteConflict
 */
export async function holdKek(
  deps: Pick<ProveKekDeps, 'keks' | 'clock'>,
  kek: KekId,
  pin: string | null,
): Promise<void> {
  await onConflict(async () => {
    const stored = await deps.keks.read(kek);
    const known = stored?.versions.find(({ value }) => value.version === pin);
    assertNotRetired(kek, known?.value);
    const watched = pin === null || known?.value.inUse === true;
    if (stored !== undefined && watched) return;
    const version = watched ? null : (known?.value ?? makeVersionState(pin, deps.clock.now()));
    await deps.keks.commit(kek, {
      kek: stored === undefined ? { value: makeKekState(kek), etag: null } : null,
      versions: version === null ? [] : [{ value: { ...version, inUse: true }, etag: known?.etag ?? null }],
      outbox: null,
    });
  });
}
