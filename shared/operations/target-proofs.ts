// Which key versions may be wrapped under just now. A proof is good for 60 seconds and shared within the process;
// a public key never changes and is kept.
import { isCanary } from '../domain/canary.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import { classifyObservation, type Probe } from '../domain/key-status.ts';
import type { KeyReason } from '../domain/reason.ts';
import { classifyFault, type VaultAnswer } from '../domain/vault-answer.ts';
import type { KeyVault, PublicKey, VersionDescription } from '../ports/key-vault.ts';
import type { Clock } from '../ports/runtime.ts';

const PROOF_SECONDS = 60;
const KEPT_VERSIONS = 10_000;
const NOT_ASKED = { deleted: 'unsaid', seenDeleted: false } as const;

export type TargetProof =
  | { readonly proven: true; readonly publicKey: PublicKey }
  | { readonly proven: false; readonly reason: KeyReason };

const refused = (reason: KeyReason): TargetProof => ({ proven: false, reason });

export interface TargetProofs {
  /** Notes that the canary of this version has just unwrapped. */
  noteGood(kek: KekId, version: string): void;
  /** Reads a version with its public key, and keeps the key. */
  describe(kek: KekId, version: string): Promise<VaultAnswer<VersionDescription>>;
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

  const keep = <T>(map: Map<string, T>, key: string, value: T) => {
    map.delete(key);
    map.set(key, value);
    for (const oldest of map.keys()) {
      if (map.size <= KEPT_VERSIONS) break;
      map.delete(oldest);
    }
  };

  const describe = async (kek: KekId, version: string) => {
    const answer = await vault.describeVersion(kek, version);
    if (answer.ok) keep(publicKeys, keyUrl(kek, version), answer.value.publicKey);
    return answer;
  };

  return {
    describe,
    noteGood: (kek, version) => {
      keep(goodAt, keyUrl(kek, version), clock.now().getTime());
    },
    prove: async (kek, version, canary) => {
      const id = keyUrl(kek, version);
      const known = publicKeys.get(id);
      const fresh = clock.now().getTime() - (goodAt.get(id) ?? 0) < PROOF_SECONDS * 1000;
      if (known !== undefined && fresh) return { proven: true, publicKey: known };

      const described = await describe(kek, version);
      if (!described.ok) return refused(classifyFault(described.fault, NOT_ASKED).reason);
      const answer = await vault.unwrap(kek, version, canary, 'probe');
      const probe: Probe = answer.ok
        ? { kind: 'unwrapped', matches: isCanary(answer.value, kek, version) }
        : { kind: 'fault', fault: answer.fault };
      const { attributes, publicKey } = described.value;
      const found = classifyObservation(
        { version, attributes, probe, deleted: 'unsaid', newCanary: null },
        { vaultNow: answer.vaultNow ?? clock.now(), seenDeleted: false, expiredKeyPolicy: 'revoke' },
      );
      if (found.reason !== null) return refused(found.reason);
      keep(goodAt, id, clock.now().getTime());
      return { proven: true, publicKey };
    },
  };
}
