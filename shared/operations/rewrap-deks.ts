// Rewraps one range of servers under the KEK's target, and proves what is not proven yet (design 7).
import type { Cause } from '../domain/audit.ts';
import { decideRewrap, type RewrapWork } from '../domain/decide-server.ts';
import { CmkError, describeError, isCmkError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import { type KekId, kekKey, keyUrl } from '../domain/key-id.ts';
import { type Lane, makeLane } from '../domain/lane.ts';
import { isOvertaken, RANGE_SERVERS, type RangeMessage } from '../domain/message.ts';
import { REMEDIES } from '../domain/reason.ts';
import type { ServerRow } from '../domain/server.ts';
import { bindDek, WRAP_ALGORITHM, type WrappedDek } from '../domain/wrapped-dek.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { KeyVault, LocalWrap, PublicKey } from '../ports/key-vault.ts';
import type { Clock, Log, Random } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { Meter } from '../ports/telemetry.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { mapBounded } from './bounded.ts';
import { coalesce } from './coalesce.ts';
import { commitRewraps } from './commit-rewraps.ts';
import type { FinishRotation } from './finish-rotation.ts';
import { followRotation } from './follow-rotation.ts';
import { isKeyFault, proveSample, proveWrapping } from './prove-wrappings.ts';
import type { Outcome } from './rewrap-outcome.ts';
import { toSnapshot } from './snapshot.ts';
import type { TargetProofs } from './target-proofs.ts';
import { unwrapDek } from './unwrap-dek.ts';

export interface RewrapDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
  readonly vault: KeyVault;
  readonly localWrap: LocalWrap;
  readonly proofs: TargetProofs;
  readonly finishRotation: FinishRotation;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly meter: Meter;
  readonly rules: { readonly proveAfterSeconds: number };
}

const UNWRAPS_AT_A_TIME = 32;
/**
 * Of one vault, in this process. More would share the limiter's pace, end together, and leave it idle while all of them
 * commit; so while one commits, the next unwraps. It also bounds how many plaintext DEKs there are at a time.
 */
const UNWRAPPING_RANGES = 2;

/**
 * Resumable at any point: what was committed is found done, what wasn't is done again. In one process a range has one
 * run at a time. Servers are independent; what the vault refuses for the whole key ends the range after what succeeded
 * has been committed.
 * @throws CmkError VaultUnavailable, StoreUnavailable (the queue delivers the range again), RewrapProofFailed
 */
export function makeRewrapDeks(deps: RewrapDeps): (message: RangeMessage) => Promise<void> {
  const { keks, queue } = deps;
  const lanes = new Map<string, Lane>();
  const laneOf = (vault: string): Lane => {
    const lane = lanes.get(vault) ?? makeLane(UNWRAPPING_RANGES);
    lanes.set(vault, lane);
    return lane;
  };

  const rewrap = async (message: RangeMessage): Promise<void> => {
    const from = deps.clock.now();
    let committed = 0;
    let hasFailed = false;
    let waitSeconds: number | null = null;
    let after: string | null = null;
    const lane = laneOf(message.kek.vault);
    do {
      const page: UnwrappedPage | null = await lane.run(() => unwrapNext(deps, message, after));
      if (page === null) break;
      const done = await commitPage(deps, message, page);
      committed += done.moved;
      hasFailed ||= done.failed;
      waitSeconds ??= page.waitSeconds;
      after = page.next;
    } while (after !== null);
    if (waitSeconds !== null) await queue.enqueueRewrap([message], waitSeconds);

    if (committed === 0) {
      if (hasFailed) await followRotation(deps, message.kek, true);
      return;
    }
    deps.meter.time('pgcmk.rewrap.duration', deps.clock.now().getTime() - from.getTime());
    const now = await keks.read(message.kek);
    if (now === undefined) return;
    // The target moved while this range was under way: the range that belongs to the new epoch may have passed by.
    if (now.kek.value.epoch !== message.epoch)
      await queue.enqueueRewrap([{ ...message, epoch: now.kek.value.epoch, attempt: null }]);
    await deps.finishRotation(message.kek, message.cause);
    await followRotation(deps, message.kek, hasFailed);
  };
  // A range that comes twice, from a sweep or from another reconcile, would have the vault unwrap every DEK twice.
  return coalesce(rewrap, { keyOf, merge: ofLaterEpoch });
}

const keyOf = ({ kek, from, to, attempt }: RangeMessage): string =>
  [kekKey(kek), from, to, attempt].join('|');

const ofLaterEpoch = (held: RangeMessage, coming: RangeMessage): RangeMessage =>
  coming.epoch > held.epoch ? coming : held;

/** A page of which every DEK was unwrapped and wrapped under the target; nothing of it is written yet. */
interface UnwrappedPage {
  readonly snapshot: KekSnapshot;
  readonly outcomes: readonly Outcome[];
  /** What the vault refused or didn't answer for the whole key: the servers after it weren't tried. */
  readonly stop: CmkError | null;
  /** Where servers wait for the target: until they are looked at again. */
  readonly waitSeconds: number | null;
  /** Where the next page begins; null: this is the last. */
  readonly next: string | null;
}

/**
 * Reads when its turn has come: what another process rewrapped while this range waited is not unwrapped again. null:
 * the range isn't this message's any more.
 */
async function unwrapNext(
  deps: RewrapDeps,
  message: RangeMessage,
  after: string | null,
): Promise<UnwrappedPage | null> {
  const { kek, from, to } = message;
  const page = await deps.servers.page(kek, { after, from, to, limit: RANGE_SERVERS });
  for (const held of page.held) deps.log.write('error', 'a server row does not parse: held', { ...held });
  const stored = await deps.keks.read(kek);
  if (stored === undefined || isOvertaken(message, stored.kek.value.fannedOutEpoch)) return null;
  return { ...(await unwrapPage(deps, message, toSnapshot(stored), page.rows)), next: page.next };
}

async function unwrapPage(
  deps: RewrapDeps,
  message: RangeMessage,
  snapshot: KekSnapshot,
  rows: readonly Stored<ServerRow>[],
): Promise<Omit<UnwrappedPage, 'next'>> {
  const { clock, queue, rules } = deps;
  const { kek } = message;
  const decided = rows.map((stored) => ({
    stored,
    work: decideRewrap(stored.value, snapshot, clock.now(), rules.proveAfterSeconds, message.attempt),
  }));
  const [waitSeconds = null] = decided.flatMap(({ work }) => (work.kind === 'wait' ? [work.seconds] : []));
  const works = decided.filter(({ work }) => work.kind === 'rewrap' || work.kind === 'prove');
  const nothing = { snapshot, outcomes: [], stop: null, waitSeconds };
  if (works.length === 0) return nothing;

  const target = findVersion(snapshot, snapshot.kek.target);
  const rewraps = works.some(({ work }) => work.kind === 'rewrap');
  const proof =
    rewraps && target?.canary != null ? await deps.proofs.prove(kek, target.version, target.canary) : null;
  if (proof?.proven === false && proof.transient)
    throw new CmkError('VaultUnavailable', `proving the target of ${keyUrl(kek)}: ${proof.reason}`, {
      remedy: REMEDIES[proof.reason],
      retryable: true,
    });
  if (rewraps && proof?.proven !== true) {
    await queue.enqueueReconcile({
      kek,
      cause: { kind: 'followUp', of: `target:${proof?.reason ?? 'no canary'}` },
    });
    return nothing;
  }
  const publicKey = proof?.proven === true ? proof.publicKey : null;
  const every = snapshot.kek.policy.rewrapVerification === 'every';

  let stop: CmkError | null = null;
  const tryOne = async ({ stored, work }: (typeof works)[number]): Promise<readonly Outcome[]> => {
    if (stop !== null) return [];
    try {
      return [await handleOne(deps, kek, stored, work, publicKey, every)];
    } catch (error) {
      if (!isCmkError(error)) throw error;
      if (isKeyFault(error.code)) stop ??= error;
      else return [{ kind: 'failed', stored, code: error.code, message: describeError(error) }];
      return [];
    }
  };
  const tried = await mapBounded(works, UNWRAPS_AT_A_TIME, tryOne);
  return { snapshot, outcomes: tried.flat(), stop, waitSeconds };
}

interface Committed {
  /** Servers whose wrapping was replaced. */
  readonly moved: number;
  /** Whether a server has failed that hadn't before. */
  readonly failed: boolean;
}

async function commitPage(
  deps: RewrapDeps,
  message: RangeMessage,
  { snapshot, outcomes: unwrapped, stop }: UnwrappedPage,
): Promise<Committed> {
  const { kek, cause } = message;
  let outcomes = unwrapped;
  try {
    if (snapshot.kek.policy.rewrapVerification !== 'every')
      outcomes = await proveSample(deps, kek, unwrapped);
  } catch (error) {
    await endRange(deps, kek, cause, error);
    return { moved: 0, failed: false };
  }
  await commitRewraps(deps, message, snapshot, outcomes);
  const moved = outcomes.filter((outcome) => outcome.kind === 'rewrapped');
  // Their access followed from the version that they have left; a crash before this line leaves it to the sweep.
  if (moved.some(({ stored }) => stored.value.desiredReason !== null))
    await deps.queue.enqueueAccess([{ ...message, epoch: snapshot.kek.epoch, attempt: null }]);
  if (stop !== null) await endRange(deps, kek, cause, stop);
  const failed = outcomes.some(
    ({ kind, stored }) => kind === 'failed' && stored.value.rewrapFailure === null,
  );
  return { moved: moved.length, failed };
}

async function endRange(deps: RewrapDeps, kek: KekId, cause: Cause, stop: unknown): Promise<void> {
  if (!isCmkError(stop, 'VaultRefused')) throw stop;
  // The vault refuses this key: the reconcile finds out what that means, and comes back if anything is left to do.
  await deps.queue.enqueueReconcile({ kek, cause: { kind: 'followUp', of: `refused:${cause.kind}` } });
}

async function handleOne(
  deps: RewrapDeps,
  kek: KekId,
  stored: Stored<ServerRow>,
  work: RewrapWork,
  publicKey: PublicKey | null,
  prove: boolean,
): Promise<Outcome> {
  const { serverId, wrapped } = stored.value;
  using dek = await unwrapDek(deps.vault, kek, serverId, wrapped);
  if (work.kind !== 'rewrap' || publicKey === null) return { kind: 'proven', stored };
  const plaintext = bindDek(dek, serverId);
  try {
    const next: WrappedDek = {
      kekVersion: work.target,
      algorithm: WRAP_ALGORITHM,
      format: 'bound-1',
      dekId: dek.id,
      ciphertext: await deps.localWrap.wrap(publicKey, plaintext),
    };
    if (prove) await proveWrapping(deps.vault, kek, serverId, next);
    return { kind: 'rewrapped', stored, wrapped: next, proven: prove };
  } finally {
    plaintext.fill(0);
  }
}
