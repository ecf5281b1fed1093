// What a rotation would do, and what stands in its way; nothing is changed by asking.
import { type PlannedTarget, planTarget } from '../domain/decide-plan.ts';
import { decideRewrap } from '../domain/decide-server.ts';
import { findVersion, type KekSnapshot, type Rotation } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { RANGE_SERVERS } from '../domain/message.ts';
import type { ServerRow } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { KeyVault } from '../ports/key-vault.ts';
import type { Clock } from '../ports/runtime.ts';
import type { HeldRow, ServerStore } from '../ports/server-store.ts';
import { requireKek } from './require-kek.ts';
import { pagesOf } from './server-pages.ts';
import { toSnapshot } from './snapshot.ts';

export interface RewrapPlan {
  readonly target: string | null;
  readonly newest: string | null;
  /**
   * Why nothing moves yet: what is against the newest version, or `RewrapPaused`, when the plan is for after the pause;
   * null: nothing is in its way.
   */
  readonly blocked: string | null;
  readonly toRewrap: number;
  readonly upToDate: number;
  /** Servers that would stay where they are, by reason, with some of their names. */
  readonly cannotMove: readonly {
    readonly reason: string;
    readonly servers: number;
    readonly examples: readonly string[];
  }[];
  readonly waves: number;
  readonly vaultOperations: number;
  /** At the share of the vault's limit that the app may use. */
  readonly expectedSeconds: number;
  readonly rotation: Rotation;
}

/** Asks the vault for the key's versions: one call. @throws CmkError KekNotFound, StoreUnavailable */
export type PlanRewrap = (kek: KekId) => Promise<RewrapPlan>;

export interface PlanRewrapDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly vault: Pick<KeyVault, 'describe'>;
  readonly clock: Clock;
  /** All instances together, for ciphertexts of that length. */
  readonly unwrapsPerSecond: (ciphertextBytes: number) => number;
}

const PAGE_ROWS = RANGE_SERVERS * 10;
const EXAMPLES = 20;
/** The target's description and canary, before the first range. */
const TARGET_OPERATIONS = 2;

/** Memory doesn't grow with the servers. */
export function makePlanRewrap(deps: PlanRewrapDeps): PlanRewrap {
  const { keks, servers, vault, clock } = deps;
  return async (kek) => {
    const snapshot = toSnapshot(await requireKek(keks, kek));
    const described = await vault.describe(kek);
    const planned = planTarget(snapshot, described, clock.now());
    const count = makePlanCount(planned.snapshot, clock.now(), deps.unwrapsPerSecond);
    for await (const page of pagesOf(servers, kek, PAGE_ROWS)) {
      for (const held of page.held) count.addHeld(held);
      for (const { value: row } of page.rows) count.add(row);
    }
    const paused = snapshot.kek.policy.rewrapPaused ? 'RewrapPaused' : null;
    return count.plan({ ...planned, blocked: planned.blocked ?? paused }, snapshot.kek.rotation);
  };
}

function makePlanCount(
  snapshot: KekSnapshot,
  now: Date,
  unwrapsPerSecond: PlanRewrapDeps['unwrapsPerSecond'],
) {
  const { policy, target } = snapshot.kek;
  const every = policy.rewrapVerification === 'every';
  const staying = new Map<string, { servers: number; readonly examples: string[] }>();
  let seen = 0;
  let toRewrap = 0;
  let canaries = 0;
  let upToDate = 0;
  let ranges = 0;
  let lastRange = -1;
  let vaultSeconds = 0;

  const stay = (reason: string, serverId: string) => {
    const entry = staying.get(reason) ?? { servers: 0, examples: [] };
    staying.set(reason, entry);
    entry.servers += 1;
    if (entry.examples.length < EXAMPLES) entry.examples.push(serverId);
  };
  return {
    addHeld: ({ rowKey }: HeldRow) => stay('InvalidRow', rowKey.replace(/^s:/, '')),
    add: (row: ServerRow) => {
      const range = Math.floor(seen / RANGE_SERVERS);
      seen += 1;
      if (row.wrapped.kekVersion === target) {
        upToDate += 1;
        return;
      }
      const reason = reasonToStay(row, snapshot, now);
      if (reason !== null) return stay(reason, row.serverId);
      toRewrap += 1;
      if (policy.canaryServers.includes(row.serverId)) canaries += 1;
      const proofs = every || range !== lastRange ? 1 : 0;
      if (range !== lastRange) ranges += 1;
      lastRange = range;
      vaultSeconds += (1 + proofs) / unwrapsPerSecond(bytesOf(row));
    },
    plan: ({ newest, blocked }: PlannedTarget, rotation: Rotation): RewrapPlan => {
      const { waveServers, waveSoakSeconds } = policy;
      const rest = toRewrap - canaries;
      const restWaves = Math.ceil(rest / (waveServers ?? Math.max(rest, 1)));
      const waves = restWaves + (canaries > 0 ? 1 : 0);
      return {
        target,
        newest,
        blocked,
        toRewrap,
        upToDate,
        cannotMove: [...staying].map(([reason, entry]) => ({ reason, ...entry })),
        waves,
        vaultOperations: toRewrap === 0 ? 0 : toRewrap + (every ? toRewrap : ranges) + TARGET_OPERATIONS,
        expectedSeconds: vaultSeconds + Math.max(0, waves - 1) * waveSoakSeconds,
        rotation,
      };
    },
  };
}

/** Why the rotation wouldn't move this server; null: it would. */
function reasonToStay(row: ServerRow, snapshot: KekSnapshot, now: Date): string | null {
  if (row.pinned) return 'Pinned';
  if (row.incoming || row.moving !== null) return 'ServerMoving';
  // It is tried again by itself, but whether with more luck nobody knows.
  if (row.rewrapFailure !== null) return row.rewrapFailure.code;
  const work = decideRewrap(row, snapshot, now, Number.POSITIVE_INFINITY, null);
  if (work.kind === 'rewrap') return null;
  const version = findVersion(snapshot, row.wrapped.kekVersion);
  if (version === undefined || version.verdict === 'revoke') return version?.verdictReason ?? 'KeyNotProven';
  const target = findVersion(snapshot, snapshot.kek.target);
  if (target === undefined || !(target.verdict === 'serve' && target.reason === null))
    return target?.reason ?? 'KeyNotProven';
  return 'TargetIsOlder';
}

const bytesOf = ({ wrapped }: ServerRow): number => Math.floor((wrapped.ciphertext.length * 3) / 4);
