// The probe: one unwrap for every key version in use. It decides nothing; on a change it asks for a reconcile.
import { isCanary } from '../domain/canary.ts';
import { describeError } from '../domain/errors.ts';
import { kekKey, keyUrl } from '../domain/key-id.ts';
import { classifyObservation, type Finding, isUnsettled, type VersionState } from '../domain/key-status.ts';
import type { ProbeMessage } from '../domain/message.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { KeyVault } from '../ports/key-vault.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { mapBounded } from './bounded.ts';
import { type CostOf, periodOf, type Watched, watchedOf } from './probe-period.ts';

export interface ProbeDeps {
  readonly keks: KekStore;
  readonly vault: KeyVault;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly log: Log;
  readonly costOf: CostOf;
}

export interface ProbeKeks {
  /** All KEKs; above 500, in shards through the queue. */
  probeAll(): Promise<void>;
  /** One shard, of KEKs that are due. @throws CmkError InvalidRow, StoreUnavailable */
  probeShard(message: ProbeMessage): Promise<void>;
}

const SHARD_ABOVE = 500;
const SHARD_KEKS = 100;
const AT_A_TIME = 64;
const LONGEST_TICK_MS = 8_000;
/** Of messages that have piled up only the first asks. */
const SHARD_AGAIN_MS = 1_000;

export function makeProbeKeks(deps: ProbeDeps): ProbeKeks {
  const { keks, vault, queue, clock, log } = deps;
  /** When this process last found it due, and when it last asked. */
  const dueAt = new Map<string, number>();
  const askedAt = new Map<string, number>();
  const inFlight = new Set<string>();

  const probeVersion = async ({ kek: { kek, policy }, state }: Watched): Promise<boolean> => {
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
        {
          vaultNow: answer.vaultNow ?? clock.now(),
          seenDeleted: false,
          expiredKeyPolicy: policy.expiredKeyPolicy,
        },
      );
      return !isAsRecorded(found, state) || isUnsettled(state) || isOutOfDate(state);
    } finally {
      inFlight.delete(id);
    }
  };

  const isSince = (times: ReadonlyMap<string, number>, one: Watched, milliseconds: number): boolean =>
    !inFlight.has(idOf(one)) && clock.now().getTime() - (times.get(idOf(one)) ?? 0) >= milliseconds;

  /** The versions to probe now: all in use, as far as a tenth of their vault's limit allows. */
  const due = (stored: readonly StoredKek[]): readonly Watched[] =>
    [...Map.groupBy(stored.flatMap(watchedOf), ({ kek }) => kek.kek.vault).values()].flatMap((ones) => {
      const milliseconds = periodOf(ones, deps.costOf) * 1000;
      return ones.filter((one) => isSince(dueAt, one, milliseconds));
    });

  const note = (times: Map<string, number>, watched: readonly Watched[]): void => {
    for (const one of watched) times.set(idOf(one), clock.now().getTime());
  };

  const probe = async (watched: readonly Watched[]): Promise<void> => {
    const changed = new Set<string>();
    const probeOne = async (one: Watched): Promise<void> => {
      const { kek } = one.kek;
      if (!(await probeVersion(one)) || changed.has(kekKey(kek))) return;
      changed.add(kekKey(kek));
      // At once, not after the slowest: a revocation must not wait for another vault's timeout.
      await queue.enqueueReconcile({ kek, cause: { kind: 'probe' } });
    };
    for (const one of watched) inFlight.add(idOf(one));
    note(askedAt, watched);
    const byVault = [...Map.groupBy(watched, ({ kek }) => kek.kek.vault).values()];
    const done = Promise.all(byVault.map((ones) => mapBounded(ones, AT_A_TIME, probeOne)));
    // A vault that hangs holds up neither the others nor their next tick; what is still out is skipped then.
    await Promise.race([done, clock.sleep(LONGEST_TICK_MS)]);
    done.catch((error: unknown) => log.write('warn', 'a late probe failed', { error: describeError(error) }));
  };

  return {
    probeAll: async () => {
      const stored: StoredKek[] = [];
      for await (const one of keks.list({ vault: null })) stored.push(one);
      const now = due(stored);
      if (stored.length <= SHARD_ABOVE) {
        note(dueAt, now);
        return probe(now);
      }
      // Who is due is known here only: a shard doesn't see all keys of its vaults, and another process has no memory of it.
      const ofKeks = [...Map.groupBy(now, ({ kek }) => kekKey(kek.kek)).values()];
      for (let index = 0; index < ofKeks.length; index += SHARD_KEKS) {
        const shard = ofKeks.slice(index, index + SHARD_KEKS);
        await queue.enqueueProbe({
          keks: shard.flatMap((ones) => ones.slice(0, 1).map(({ kek }) => kek.kek)),
        });
        note(dueAt, shard.flat());
      }
    },
    probeShard: async (message) => {
      const read = await mapBounded(message.keks, AT_A_TIME, (kek) => keks.read(kek));
      const watched = read.flatMap((one) => (one === undefined ? [] : watchedOf(one)));
      await probe(watched.filter((one) => isSince(askedAt, one, SHARD_AGAIN_MS)));
    },
  };
}

const idOf = ({ kek, state }: Watched): string => keyUrl(kek.kek, state.version);

/** A version lost by its dates unwraps all the same: that they were changed, only the attributes tell. */
const isOutOfDate = ({ verdict, reason }: VersionState): boolean =>
  verdict === 'revoke' && (reason === 'KeyExpired' || reason === 'KeyNotYetValid');

/** Whether the finding is what the row says already. A 404 can't tell a deleted key from a purged one. */
function isAsRecorded(found: Finding, state: VersionState): boolean {
  if (found.reason === 'KeyNotFound') {
    return (
      state.reason === 'KeyNotFound' || state.reason === 'KeySoftDeleted' || state.reason === 'KeyPurged'
    );
  }
  return found.status === state.status && found.reason === state.reason;
}
