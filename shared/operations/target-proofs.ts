// Which key versions may be wrapped under just now. A proof is good for 60 seconds and shared within the process;
// a public key never changes and is kept.
import { isCanary } from '../domain/canary.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import { classifyObservation, type Probe } from '../domain/key-status.ts';
import type { KeyReason } from '../domain/reason.ts';
import { classifyFault, type FindingClass, type VaultAnswer } from '../domain/vault-answer.ts';
import type { KeyVault, PublicKey, VersionDescription } from '../ports/key-vault.ts';
import type { Clock } from '../ports/runtime.ts';

const PROOF_SECONDS = 60;
const KEPT_VERSIONS = 10_000;
const NOT_ASKED = { deleted: 'unsaid', seenDeleted: false } as const;

export type TargetProof =
  | { readonly proven: true; readonly publicKey: PublicKey }
  /** `transient`: the vault couldn't be asked, which says nothing about the key. */
  | { readonly proven: false; readonly reason: KeyReason; readonly transient: boolean };

/** A version whose public half can be wrapped with. */
export type UsableVersion = VersionDescription & { readonly publicKey: PublicKey };

export type DescribedVersion = Extract<VaultAnswer<VersionDescription>, { readonly ok: true }>;

const refused = (reason: KeyReason, kind: FindingClass): TargetProof => ({
  proven: false,
  reason,
  transient: kind === 'transient',
});

export interface TargetProofs {
  /** Notes that the canary of this version has just unwrapped. */
  noteGood(kek: KekId, version: string): void;
  /** Reads a version with its public key. One of another type or size is an unexpected answer. */
  describe(kek: KekId, version: string): Promise<VaultAnswer<UsableVersion>>;
  /** Reads a version, of whatever type it is, and keeps its public key. */
  inspect(kek: KekId, version: string): Promise<VaultAnswer<VersionDescription>>;
  /** What the vault said of this version within the last 60 seconds; undefined: it wasn't asked. */
  recall(kek: KekId, version: string): DescribedVersion | undefined;
  /** Whether {@link noteGood} was called for it within the last 60 seconds. */
  isGood(kek: KekId, version: string): boolean;
  /** Whether DEKs may be wrapped under this version: enabled, valid, right type, and its own canary unwraps. */
  prove(kek: KekId, version: string, canary: string): Promise<TargetProof>;
}

export function makeTargetProofs({
  vault,
  clock,
}: {
  readonly vault: KeyVault;
  readonly clock: Clock;
}): TargetProofs {
  const publicKeys = new Map<string, PublicKey>();
  const goodAt = new Map<string, number>();
  const recalled = new Map<string, { readonly answer: DescribedVersion; readonly at: number }>();

  const keep = <T>(map: Map<string, T>, key: string, value: T) => {
    map.delete(key);
    map.set(key, value);
    for (const oldest of map.keys()) {
      if (map.size <= KEPT_VERSIONS) break;
      map.delete(oldest);
    }
  };

  const isFresh = (at: number | undefined): boolean =>
    at !== undefined && clock.now().getTime() - at < PROOF_SECONDS * 1000;

  const inspect = async (kek: KekId, version: string): Promise<VaultAnswer<VersionDescription>> => {
    const answer = await vault.describeVersion(kek, version);
    if (!answer.ok) return answer;
    const id = keyUrl(kek, version);
    keep(recalled, id, { answer, at: clock.now().getTime() });
    if (answer.value.publicKey !== null) keep(publicKeys, id, answer.value.publicKey);
    return answer;
  };

  const describe = async (kek: KekId, version: string): Promise<VaultAnswer<UsableVersion>> => {
    const answer = await inspect(kek, version);
    if (!answer.ok) return answer;
    const { publicKey, keyType, bits } = answer.value;
    if (publicKey === null) {
      const what = `a key of type ${keyType}${bits === null ? '' : ` and ${bits} bits`}: RSA of 2048 to 4096 bits is asked for`;
      return { ok: false, fault: { kind: 'answer', what }, vaultNow: answer.vaultNow };
    }
    return { ...answer, value: { ...answer.value, publicKey } };
  };

  return {
    describe,
    inspect,
    recall: (kek, version) => {
      const known = recalled.get(keyUrl(kek, version));
      return isFresh(known?.at) ? known?.answer : undefined;
    },
    isGood: (kek, version) => isFresh(goodAt.get(keyUrl(kek, version))),
    noteGood: (kek, version) => {
      keep(goodAt, keyUrl(kek, version), clock.now().getTime());
    },
    prove: async (kek, version, canary) => {
      const id = keyUrl(kek, version);
      const known = publicKeys.get(id);
      if (known !== undefined && isFresh(goodAt.get(id))) return { proven: true, publicKey: known };

      const described = await describe(kek, version);
      if (!described.ok) {
        const fault = classifyFault(described.fault, NOT_ASKED);
        return refused(fault.reason, fault.class);
      }
      const answer = await vault.unwrap(kek, version, canary, 'probe');
      const probe: Probe = answer.ok
        ? { kind: 'unwrapped', matches: isCanary(answer.value, kek, version) }
        : { kind: 'fault', fault: answer.fault };
      const { attributes, publicKey } = described.value;
      const found = classifyObservation(
        { version, attributes, probe, deleted: 'unsaid', newCanary: null },
        { vaultNow: answer.vaultNow ?? clock.now(), seenDeleted: false, expiredKeyPolicy: 'revoke' },
      );
      if (found.reason !== null) return refused(found.reason, found.class);
      keep(goodAt, id, clock.now().getTime());
      return { proven: true, publicKey };
    },
  };
}
