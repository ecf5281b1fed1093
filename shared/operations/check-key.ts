// The checks of a key before a server is registered under it: what the vault says of it, and what the app may do
// with it. Nothing is changed by asking.
import { canaryOf, isCanary } from '../domain/canary.ts';
import { CmkError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import { isAllowedVault, type KekId, keyUrl } from '../domain/key-id.ts';
import { isProven } from '../domain/key-status.ts';
import { type KeyReason, REMEDIES } from '../domain/reason.ts';
import {
  type CheckCode,
  checkKeyFacts,
  failed,
  isValid,
  KEY_FACT_CODES,
  passed,
  type RegistrationCheck,
  skipped,
} from '../domain/registration-check.ts';
import { classifyFault, type VaultFault } from '../domain/vault-answer.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { KeyVault, LocalWrap, VersionDescription } from '../ports/key-vault.ts';
import type { Clock } from '../ports/runtime.ts';
import { toSnapshot } from './snapshot.ts';
import type { DescribedVersion, TargetProofs } from './target-proofs.ts';

export interface CheckKeyDeps {
  readonly keks: KekStore;
  readonly vault: KeyVault;
  readonly localWrap: LocalWrap;
  readonly proofs: TargetProofs;
  readonly clock: Clock;
  readonly keyVaultDnsSuffixes: readonly string[];
}

/** `pin` null: the version that would be wrapped under now. @throws CmkError VaultUnavailable, StoreUnavailable */
export type CheckKey = (kek: KekId, pin: string | null) => Promise<readonly RegistrationCheck[]>;

const OF_A_VERSION = ['KeyVersionRetired', ...KEY_FACT_CODES, 'KeyRightsMissing'] as const;
const skipAll = (codes: readonly CheckCode[], why: string) => codes.map((code) => skipped(code, why));

/**
 * A vault that can't be asked says nothing about its key, and so refuses no registration: that is an error which
 * passes. Under a KEK that was asked about within the last 60 seconds, and all was well, no call is made.
 */
export function makeCheckKey(deps: CheckKeyDeps): CheckKey {
  return async (kek, pin) => {
    if (!isAllowedVault(kek.vault, deps.keyVaultDnsSuffixes)) {
      // The app's token goes to no stranger: nothing is asked there.
      const remedy =
        "Use a key in one of the app's clouds, or add the suffix to PGCMK_KEY_VAULT_DNS_SUFFIXES.";
      const message = `${kek.vault} is not a vault that this app talks to.`;
      return [
        failed('VaultNotAllowed', message, remedy),
        ...skipAll(['KeyNotReadable', ...OF_A_VERSION], 'The vault is not asked.'),
      ];
    }
    const allowed = passed('VaultNotAllowed', `${kek.vault} is a vault that this app talks to.`);
    const stored = await deps.keks.read(kek);
    const snapshot = stored === undefined ? undefined : toSnapshot(stored);
    const found = await findVersionToCheck(deps, kek, pin, snapshot);
    const unread = async ({ fault }: Unreadable) => [
      allowed,
      ...(await reportUnreadable(deps, kek, pin, fault)),
    ];
    if (typeof found !== 'string') return unread(found);
    const answer = await describe(deps, kek, found);
    if (!answer.ok) return unread(answer);
    const facts = toFacts(answer, deps.clock);
    return [
      allowed,
      passed('KeyNotReadable', `Version ${found} can be read.`),
      checkRetired(snapshot, found),
      ...facts,
      await checkRights(deps, kek, found, answer.value, facts),
    ];
  };
}

type Unreadable = { readonly ok: false; readonly fault: VaultFault };

async function findVersionToCheck(
  deps: CheckKeyDeps,
  kek: KekId,
  pin: string | null,
  snapshot: KekSnapshot | undefined,
): Promise<string | Unreadable> {
  if (pin !== null) return pin;
  const target = snapshot && findVersion(snapshot, snapshot.kek.target);
  if (target !== undefined && isProven(target)) return target.version;
  const described = await deps.vault.describe(kek);
  return described.ok ? described.value.newest : described;
}

const toFacts = ({ value, vaultNow }: DescribedVersion, clock: Clock): readonly RegistrationCheck[] =>
  checkKeyFacts(value, vaultNow ?? clock.now());

/** What is remembered counts only while nothing fails: whoever has put something right is not told of it for longer. */
async function describe(
  { proofs, clock }: CheckKeyDeps,
  kek: KekId,
  version: string,
): Promise<DescribedVersion | Unreadable> {
  const known = proofs.recall(kek, version);
  if (known !== undefined && proofs.isGood(kek, version)) {
    if (isValid(toFacts(known, clock))) return known;
  }
  return proofs.inspect(kek, version);
}

async function reportUnreadable(
  { vault }: CheckKeyDeps,
  kek: KekId,
  pin: string | null,
  fault: VaultFault,
): Promise<readonly RegistrationCheck[]> {
  const isGone = fault.kind === 'http' && fault.status === 404;
  const deleted = isGone ? await vault.askDeleted(kek) : 'unsaid';
  const { reason } = assertAnswered(fault, kek, pin, deleted);
  const id = keyUrl(kek, pin ?? undefined);
  return [
    failed('KeyNotReadable', `${id} can't be read: ${reason}.`, REMEDIES[reason]),
    ...skipAll(OF_A_VERSION, 'The key could not be read.'),
  ];
}

/** @throws CmkError VaultUnavailable */
function assertAnswered(
  fault: VaultFault,
  kek: KekId,
  version: string | null,
  deleted: 'deleted' | 'absent' | 'unsaid',
): { readonly reason: KeyReason } {
  const found = classifyFault(fault, { deleted, seenDeleted: false });
  if (found.class !== 'transient') return found;
  const id = keyUrl(kek, version ?? undefined);
  throw new CmkError('VaultUnavailable', `${id} could not be checked: ${found.reason}`, {
    remedy: REMEDIES[found.reason],
    retryable: true,
    detail: { fault },
  });
}

function checkRetired(snapshot: KekSnapshot | undefined, version: string): RegistrationCheck {
  const code = 'KeyVersionRetired';
  const retiredAt = (snapshot && findVersion(snapshot, version))?.retiredAt ?? null;
  return retiredAt === null
    ? passed(code, 'The version was not retired.')
    : failed(
        code,
        `Version ${version} was retired at ${retiredAt.toISOString()}.`,
        'Name the key without a version, or with a newer one.',
      );
}

/** The real thing: a canary there and back. */
async function checkRights(
  { vault, localWrap, proofs }: CheckKeyDeps,
  kek: KekId,
  version: string,
  { publicKey, attributes, operations }: VersionDescription,
  facts: readonly RegistrationCheck[],
): Promise<RegistrationCheck> {
  const code = 'KeyRightsMissing';
  if (!attributes.enabled)
    return skipped(code, 'A disabled version unwraps for nobody: this can be told once it is enabled.');
  if (publicKey === null || !operations.includes('unwrapKey'))
    return skipped(code, 'The key is not one that unwraps.');
  const good = passed(code, 'The vault unwraps for the app.');
  if (proofs.isGood(kek, version)) return good;
  const canary = await localWrap.wrap(publicKey, canaryOf(kek, version));
  const answer = await vault.unwrap(kek, version, canary, 'probe');
  if (!answer.ok) {
    const { reason } = assertAnswered(answer.fault, kek, version, 'unsaid');
    return failed(code, `The vault does not unwrap for the app: ${reason}.`, REMEDIES[reason]);
  }
  if (!isCanary(answer.value, kek, version))
    return failed(code, 'What was wrapped did not come back.', REMEDIES.CanaryMismatch);
  if (isValid(facts)) proofs.noteGood(kek, version);
  return good;
}
