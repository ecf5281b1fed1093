// Retires a key version: only when nothing depends on it any more, and with a statement that says so.
import { type AuditRecord, CHAIN_START } from '../domain/audit.ts';
import { CmkError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import { type KekId, kekKey, keyUrl } from '../domain/key-id.ts';
import { isProven, type VersionState } from '../domain/key-status.ts';
import { laterOf } from '../domain/later-of.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { AuditStore } from '../ports/outbox-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { StatementSigner } from '../ports/statement-signer.ts';
import type { Stored } from '../ports/stored.ts';
import type { CountDependents, Dependent, Dependents } from './count-dependents.ts';
import { onConflict } from './on-conflict.ts';
import { findLastReplaced, pruneHistory } from './prune-history.ts';
import { requireKek, requireVersion } from './require-kek.ts';
import { toSnapshot } from './snapshot.ts';

export interface RetireCommand {
  readonly kek: KekId;
  readonly version: string;
  readonly by: string;
}

export interface Retirement {
  readonly retiredAt: Date;
  readonly prunedHistory: number;
  /** A compact JWS. */
  readonly statement: string;
}

/**
 * The same command again gives a statement again. Nothing is ever done to the version in the vault.
 * @throws CmkError KekNotFound, VersionNotFound, VersionInUse, VersionSoaking, StoreUnavailable; InvalidRow where a
 *   wrapping that was replaced, or the catalog of exports, doesn't parse: then nobody can say what depends on what
 */
export type RetireVersion = (command: RetireCommand) => Promise<Retirement>;

export interface RetireDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly audit: AuditStore;
  readonly signer: StatementSigner;
  readonly countDependents: CountDependents;
  readonly clock: Clock;
  /** Hours that nothing must have depended on the version. */
  readonly soakHours: number;
}

/**
 * Invariant I-12: a key version is retired only while nothing depends on it. Nothing is wrapped under a version that
 * is marked, so it is marked first and then counted once more: whoever was half way through wrapping under it either
 * is seen by that count, and the mark is taken back; or sees the mark when its own row is there, and moves that on.
 * What was replaced is pruned only after that.
 *
 * Cut short at any point, the same command takes it up again.
 */
export function makeRetireVersion(deps: RetireDeps): RetireVersion {
  return async (command) => {
    const { kek, version } = command;
    const state = await onConflict(() => markRetired(deps, command));
    const counted = await deps.countDependents(kek, version);
    if (counted.found.length > 0) {
      await onConflict(async () => takeBack(deps, command, await readVersion(deps, command), counted.found));
      throw inUse(command, counted.found);
    }
    const prunedHistory = await pruneHistory(deps.servers, kek, version, counted.countedAt);
    const statement = await deps.signer.sign(await toClaims(deps, command, state, counted));
    return { retiredAt: state.retiredAt, prunedHistory, statement };
  };
}

interface Retired extends VersionState {
  readonly retiredAt: Date;
}

/** Reads, counts and marks, all under the tags that were read first: what changes meanwhile is a conflict. */
async function markRetired(deps: RetireDeps, command: RetireCommand): Promise<Retired> {
  const { kek, version } = command;
  const read = await readVersion(deps, command);
  const { value: state, etag } = read.found;
  const counted = await deps.countDependents(kek, version);
  const dependents = [...findTarget(toSnapshot(read.stored), state), ...counted.found];
  if (dependents.length > 0) {
    await takeBack(deps, command, read, dependents);
    throw inUse(command, dependents);
  }
  const lastDependedOn = laterOf(state.lastDependedOn, await findLastReplaced(deps.servers, kek, version));
  const now = deps.clock.now();
  assertSoaked(deps, command, lastDependedOn, now);
  const value = { ...state, retiredAt: state.retiredAt ?? now, lastDependedOn, inUse: false };
  // Marked before, by a command that may not have come to its end.
  const isSame = state.lastDependedOn?.getTime() === lastDependedOn?.getTime();
  if (state.retiredAt !== null && isSame) return value;
  await commit(deps, read.stored, { value, etag }, toAudit(command, now, null, { lastDependedOn }));
  return value;
}

interface ReadVersion {
  readonly stored: StoredKek;
  readonly found: Stored<VersionState>;
}

/** Somebody slipped in, or stayed behind: the version is watched and may be used, as before. */
async function takeBack(
  deps: RetireDeps,
  command: RetireCommand,
  { stored, found: { value: state, etag } }: ReadVersion,
  dependents: readonly Dependent[],
): Promise<void> {
  if (state.retiredAt === null) return;
  const record = toAudit(command, deps.clock.now(), 'VersionInUse', { undone: true, dependents });
  await commit(deps, stored, { value: { ...state, retiredAt: null, inUse: true }, etag }, record);
}

/** With the KEK's own row, and another epoch: who decided from the rows as they were before looks again. */
const commit = (
  deps: RetireDeps,
  stored: StoredKek,
  version: Stored<VersionState>,
  record: AuditRecord,
): Promise<void> => {
  const { value: kek, etag } = stored.kek;
  return deps.keks.commit(kek.kek, {
    kek: { value: { ...kek, epoch: kek.epoch + 1 }, etag },
    versions: [version],
    outbox: { audit: [record], events: [] },
  });
};

async function readVersion({ keks }: RetireDeps, { kek, version }: RetireCommand): Promise<ReadVersion> {
  const stored = await requireKek(keks, kek);
  return { stored, found: requireVersion(stored, version) };
}

/** What is wrapped next is wrapped under it: it is the target, or will be when the KEK is looked at again. */
function findTarget(snapshot: KekSnapshot, state: VersionState): readonly Dependent[] {
  const { target } = snapshot.kek;
  const createdOn = findVersion(snapshot, target)?.attributes?.createdOn;
  const isNewer =
    createdOn === undefined || state.attributes === null || state.attributes.createdOn >= createdOn;
  const isNext = state.version === target || (isProven(state) && isNewer);
  return isNext ? [{ kind: 'target', count: 1, examples: [state.version] }] : [];
}

function assertSoaked(
  { soakHours }: RetireDeps,
  { kek, version }: RetireCommand,
  lastDependedOn: Date | null,
  now: Date,
): void {
  if (lastDependedOn === null) return;
  const retireFrom = new Date(lastDependedOn.getTime() + soakHours * 3_600_000);
  if (now >= retireFrom) return;
  throw new CmkError(
    'VersionSoaking',
    `nothing depends on ${keyUrl(kek, version)} any more, but only since ${lastDependedOn.toISOString()}`,
    {
      remedy: `Retire it after ${retireFrom.toISOString()}.`,
      detail: { retireFrom: retireFrom.toISOString(), lastDependedOn: lastDependedOn.toISOString() },
    },
  );
}

const inUse = ({ kek, version }: RetireCommand, dependents: readonly Dependent[]) =>
  new CmkError(
    'VersionInUse',
    `${keyUrl(kek, version)} can't be retired: ${dependents
      .map(({ kind, count }) => `${count} × ${kind}`)
      .join(', ')}`,
    {
      remedy:
        'Rewrap or purge the servers that are named, let the sweep prove new wrappings, and repair rows that are held; a newer export of the tables takes the place of the newest.',
      detail: { dependents },
    },
  );

const toAudit = (
  { by, version }: RetireCommand,
  at: Date,
  reason: string | null,
  detail: AuditRecord['detail'],
): AuditRecord => ({
  at,
  action: 'kek.versionRetired',
  cause: { kind: 'operator', by },
  servers: [],
  versionBefore: version,
  versionAfter: reason === null ? null : version,
  reason,
  detail,
});

/** What is said of it, under signature: how much depends on it, each count zero. */
async function toClaims(
  { audit, soakHours }: RetireDeps,
  { kek, version, by }: RetireCommand,
  state: Retired,
  { countedAt, counts }: Dependents,
): Promise<Readonly<Record<string, unknown>>> {
  const chain = kekKey(kek);
  const [head] = await audit.tail(chain, 1);
  return {
    kind: 'KeyVersionRetired',
    sub: keyUrl(kek, version),
    census: counts,
    countedAt: countedAt.toISOString(),
    lastDependedOn: state.lastDependedOn?.toISOString() ?? null,
    soakHours,
    retiredAt: state.retiredAt.toISOString(),
    by,
    auditHead: { chain, sequence: head?.sequence ?? 0, hash: head?.hash ?? CHAIN_START },
  };
}
