// The program that decides the access of a range of servers, and carries it out at each.
import { decideAccess, decideAccessWork, withDecision } from '../../shared/domain/decide-server.ts';
import { isCmkError } from '../../shared/domain/errors.ts';
import type { KekSnapshot } from '../../shared/domain/kek.ts';
import { isOvertaken, type RangeMessage } from '../../shared/domain/message.ts';
import { retryDelaySeconds } from '../../shared/domain/retry.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import { withEffect } from '../../shared/operations/access-record.ts';
import type { Effect } from '../../shared/operations/perform-access.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import type { Stored } from '../../shared/ports/stored.ts';
import { ask, io, onConflict, type Program, together } from './io.ts';
import { type Process, RULES } from './site.ts';

const AT_A_TIME = 16;
const RENUMBERED_DELAY_SECONDS = 2;

export function* access(process: Process, message: RangeMessage): Program<void> {
  const { storage } = process;
  const { kek, from, to } = message;
  const page = yield* io('store.read', () => storage.pageServers(kek, from, to));
  const stored = yield* io('store.read', () => storage.readKek(kek));
  if (stored === undefined || isOvertaken(message, stored.kek.value.fannedOutEpoch)) return;
  const snapshot = toSnapshot(stored);
  yield* decideRange(process, message, snapshot, page);
  const now = process.now();
  const due = page.filter(({ value }) => {
    const decided = withDecision(value, decideAccess(value, snapshot, now), now);
    const attempt = decided.failure === null ? null : message.attempt;
    return decideAccessWork(decided, now, RULES.inspection, attempt) !== 'none';
  });
  yield* together(
    due.map(({ value }) => applyOne(process, message, value.serverId)),
    AT_A_TIME,
  );
}

function* decideRange(
  process: Process,
  { kek }: RangeMessage,
  snapshot: KekSnapshot,
  rows: readonly Stored<ServerRow>[],
): Program<void> {
  const { storage } = process;
  const commit = function* (stored: readonly Stored<ServerRow>[], seen: KekSnapshot): Program<void> {
    const now = process.now();
    const writes = stored.flatMap(({ value: row, etag }) => {
      const value = withDecision(row, decideAccess(row, seen, now), now);
      return value === row ? [] : [{ value, etag, history: null }];
    });
    if (writes.length > 0) yield* io('store.write', () => storage.commitServers(kek, writes));
  };
  try {
    yield* commit(rows, snapshot);
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
    const decideOne = ({ value }: Stored<ServerRow>) =>
      onConflict(function* (): Program<void> {
        const fresh = yield* io('store.read', () => storage.readServer(kek, value.serverId));
        const stored = yield* io('store.read', () => storage.readKek(kek));
        if (fresh !== undefined && stored !== undefined) yield* commit([fresh], toSnapshot(stored));
      });
    yield* together(rows.map(decideOne), AT_A_TIME);
  }
}

function* applyOne(process: Process, message: RangeMessage, serverId: string): Program<void> {
  const { storage, postgres } = process;
  const stored = yield* io('store.read', () => storage.readServer(message.kek, serverId));
  const server = postgres.get(serverId);
  if (stored === undefined || server === undefined) return;
  const row = stored.value;
  const attempt = row.failure === null ? null : message.attempt;
  const work = decideAccessWork(row, process.now(), RULES.inspection, attempt);
  if (work === 'none') return;
  const answer = yield* ask(
    'postgres',
    () => server.order(work, row.accessEpoch),
    () => ({ kind: 'unreachable' }) as const,
  );
  if (answer.kind === 'overtaken') return yield* raiseEpoch(process, message, row, answer.epoch);
  yield* recordEffect(process, message, row, toEffect(answer.kind, work));
}

type Recorded = Exclude<Effect, { readonly kind: 'overtaken' }>;

const toEffect = (answer: 'applied' | 'unreachable', work: 'revoke' | 'restore'): Recorded =>
  answer === 'applied'
    ? {
        kind: 'done',
        applied: work === 'revoke' ? 'revoked' : 'granted',
        sessionsOpen: work === 'revoke' ? 0 : null,
        detail: {},
      }
    : { kind: 'failed', reason: 'ServerUnreachable', message: 'no connection', sessionsOpen: null };

const raiseEpoch = (process: Process, message: RangeMessage, row: ServerRow, epoch: number) =>
  onConflict(function* (): Program<void> {
    const { storage } = process;
    const { serverId } = row;
    const fresh = yield* io('store.read', () => storage.readServer(message.kek, serverId));
    if (fresh === undefined || fresh.value.accessEpoch !== row.accessEpoch) return;
    const value = { ...fresh.value, accessEpoch: epoch + 1, inspectedAt: null };
    yield* io('store.write', () =>
      storage.commitServers(message.kek, [{ value, etag: fresh.etag, history: null }]),
    );
    const again = { ...message, from: serverId, to: serverId };
    yield* io('queue', () => process.enqueue({ queue: 'access', message: again }, RENUMBERED_DELAY_SECONDS));
  });

function* recordEffect(
  process: Process,
  message: RangeMessage,
  row: ServerRow,
  effect: Recorded,
): Program<void> {
  const { storage } = process;
  const { serverId } = row;
  const written = yield* onConflict(function* (): Program<ServerRow | null> {
    const fresh = yield* io('store.read', () => storage.readServer(message.kek, serverId));
    if (fresh === undefined || fresh.value.accessEpoch !== row.accessEpoch) return null;
    const value = withEffect(fresh.value, effect, process.now());
    yield* io('store.write', () =>
      storage.commitServers(message.kek, [{ value, etag: fresh.etag, history: null }]),
    );
    return value;
  });
  if (written?.failure == null) return;
  const { attempt } = written.failure;
  const retry = { ...message, from: serverId, to: serverId, attempt };
  yield* io('queue', () => process.enqueue({ queue: 'access', message: retry }, retryDelaySeconds(attempt)));
}
