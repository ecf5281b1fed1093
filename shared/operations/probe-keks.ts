// The probe: one unwrap for every key version in use. It decides nothing; on a change it asks for a reconcile.
import { isCanary } from '../domain/canary.ts';
import { describeError } from '../domain/errors.ts';
import { type KekId, kekKey, keyUrl } from '../domain/key-id.ts';
import {
  classifyObservation,
  type Finding,
  isUnsettled,
  type StatusRules,
  type VersionState,
} from '../domain/key-status.ts';
import type { ProbeMessage } from '../domain/message.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { KeyVault } from '../ports/key-vault.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { mapBounded } from './bounded.ts';

export interface ProbeDeps {
  readonly keks: KekStore;
  readonly vault: KeyVault;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly log: Log;
  /** What one unwrap of a ciphertext of so many bytes takes of what the vault gives in 10 s, 0 to 1. */
  readonly costOf: (ciphertextBytes: number) => number;
}

export interface ProbeKeks {
  /** All KEKs; above 500, in shards through the queue. */
  probeAll(): Promise<void>;
  /** One shard. @throws CmkError InvalidRow, StoreUnavailable */
  probeShard(message: ProbeMessage): Promise<void>;
  /** The longest time between two probes of one version that the limit allows, per vault, in seconds. */
  stretchedSeconds(): ReadonlyMap<string, number>;
}

/** A key version to probe. */
interface Watched {
  readonly kek: KekId;
  readonly state: VersionState;
  readonly expiredKeyPolicy: StatusRules['expiredKeyPolicy'];
}

const SHARD_ABOVE = 500;
const SHARD_KEKS = 100;
const AT_A_TIME = 64;
const LONGEST_TICK_MS = 8_000;
/** Probes take at most a tenth of a vault's limit; beyond that the period stretches. */
const PROBE_SHARE = 0.1;

export function makeProbeKeks(deps: ProbeDeps): ProbeKeks {
  const { keks, vault, queue, clock, log } = deps;
  const probedAt = new Map<string, number>();
  const inFlight = new Set<string>();
  const stretched = new Map<string, number>();

  const probeVersion = async ({ kek, state, expiredKeyPolicy }: Watched): Promise<boolean> => {
    const id = keyUrl(kek, state.version);
    try {
      if (state.canary === null) return false;
      const answer = await vault.unwrap(kek, state.version, state.canary, 'probe');
      const found = classifyObservation(
        {
          version: state.version,
          // Whether it is enabled is what the probe asks; the dates are known.
          attributes: state.attributes === null ? null : { ...state.attributes, enabled: true },
          probe: answer.ok
            ? { kind: 'unwrapped', matches: isCanary(answer.value, kek, state.version) }
            : { kind: 'fault', fault: answer.fault },
          deleted: 'unsaid',
          newCanary: null,
        },
        { vaultNow: answer.vaultNow ?? clock.now(), seenDeleted: false, expiredKeyPolicy },
      );
      return !isAsRecorded(found, state) || isUnsettled(state) || isOutOfDate(state);
    } finally {
      inFlight.delete(id);
    }
  };

  /** The versions to probe now: all in use, as far as a tenth of the vault's limit allows. */
  const due = (stored: readonly StoredKek[]): readonly (readonly Watched[])[] => {
    const all = stored.flatMap(({ kek: { value: one }, versions }) =>
      versions
        .filter(({ value }) => value.inUse || value.version === one.target)
        .map(({ value }) => ({
          kek: one.kek,
          state: value,
          expiredKeyPolicy: one.policy.expiredKeyPolicy,
        })),
    );
    const now = clock.now().getTime();
    const byVault = Map.groupBy(all, ({ kek }) => kek.vault);
    return [...byVault].map(([host, ones]) => {
      const cost = ones.reduce((sum, { state }) => sum + deps.costOf(bytesOf(state.canary)), 0);
      const seconds = (cost * 10) / PROBE_SHARE;
      stretched.set(host, seconds);
      return ones.filter(({ kek, state }) => {
        const id = keyUrl(kek, state.version);
        return !inFlight.has(id) && now - (probedAt.get(id) ?? 0) >= seconds * 1000;
      });
    });
  };

  const probe = async (stored: readonly StoredKek[]): Promise<void> => {
    const changed = new Set<string>();
    const probeOne = async (one: Watched): Promise<void> => {
      const { kek } = one;
      if (!(await probeVersion(one)) || changed.has(kekKey(kek))) return;
      changed.add(kekKey(kek));
      // At once, not after the slowest: a revocation must not wait for another vault's timeout.
      await queue.enqueueReconcile({ kek, cause: { kind: 'probe' } });
    };
    const all = due(stored).map((ones) => {
      for (const { kek, state } of ones) {
        const id = keyUrl(kek, state.version);
        inFlight.add(id);
        probedAt.set(id, clock.now().getTime());
      }
      return mapBounded(ones, AT_A_TIME, probeOne);
    });
    const done = Promise.all(all);
    // A vault that hangs holds up neither the others nor their next tick; what is still out is skipped then.
    await Promise.race([done, clock.sleep(LONGEST_TICK_MS)]);
    done.catch((error: unknown) => log.write('warn', 'a late probe failed', { error: describeError(error) }));
  };

  return {
    probeAll: async () => {
      const stored: StoredKek[] = [];
      for await (const one of keks.list({ vault: null })) stored.push(one);
      if (stored.length <= SHARD_ABOVE) return probe(stored);
      const names = stored.map((one) => one.kek.value.kek);
      for (let index = 0; index < names.length; index += SHARD_KEKS) {
        await queue.enqueueProbe({ keks: names.slice(index, index + SHARD_KEKS) });
      }
    },
    probeShard: async (message) => {
      const read = await mapBounded(message.keks, AT_A_TIME, (kek) => keks.read(kek));
      await probe(read.filter((one) => one !== undefined));
    },
    stretchedSeconds: () => stretched,
  };
}

/** A version lost by its dates unwraps all the same: that they were changed, only the attributes tell. */
const isOutOfDate = ({ verdict, reason }: VersionState): boolean =>
  verdict === 'revoke' && (reason === 'KeyExpired' || reason === 'KeyNotYetValid');

const bytesOf = (canary: string | null): number => Math.floor(((canary ?? '').length * 3) / 4);

/** Whether the finding is what the row says already. A 404 can't tell a deleted key from a purged one. */
function isAsRecorded(found: Finding, state: VersionState): boolean {
  if (found.reason === 'KeyNotFound') {
    return (
      state.reason === 'KeyNotFound' || state.reason === 'KeySoftDeleted' || state.reason === 'KeyPurged'
    );
  }
  return found.status === state.status && found.reason === state.reason;
}
