// Every table of the app in memory (design 10), with faults, and with another writer wherever a test wants one.
import { AsyncLocalStorage } from 'node:async_hooks';
import { CHAIN_START, type ChainedRecord } from '../../shared/domain/audit.ts';
import type { BreakerState } from '../../shared/domain/breaker.ts';
import { isOff } from '../../shared/domain/decide-server.ts';
import type { CmkError } from '../../shared/domain/errors.ts';
import { isCmkError } from '../../shared/domain/errors.ts';
import type { KekState } from '../../shared/domain/kek.ts';
import { isSameKek, type KekId, kekKey } from '../../shared/domain/key-id.ts';
import type { VersionState } from '../../shared/domain/key-status.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { BreakerStore, KekStore, OutboxEntry, StoredKek } from '../../shared/ports/kek-store.ts';
import type { AuditStore, OutboxRow, OutboxStore } from '../../shared/ports/outbox-store.ts';
import type { HeldRow, HistoryRow, ServerIndex, ServerStore } from '../../shared/ports/server-store.ts';
import type { Stored } from '../../shared/ports/stored.ts';
import { MemoryTable, type Step, storeUnavailable, transact, writeConflict } from './memory-tables.ts';

export type ReadOperation =
  | 'keks.read'
  | 'keks.list'
  | 'keks.readBreaker'
  | 'servers.read'
  | 'servers.page'
  | 'servers.history'
  | 'servers.hasServersOff'
  | 'servers.pageHistory'
  | 'index.find'
  | 'outbox.page'
  | 'audit.tail'
  | 'audit.readChain';
export type WriteOperation =
  | 'keks.commit'
  | 'keks.writeBreaker'
  | 'servers.commit'
  | 'servers.remove'
  | 'servers.removeHistory'
  | 'index.claim'
  | 'index.point'
  | 'index.release'
  | 'outbox.put'
  | 'outbox.markAudited'
  | 'outbox.remove'
  | 'audit.append';
export type StoreOperation = ReadOperation | WriteOperation;

/** Runs before a write looks at the rows. Writes that it makes itself don't call it again. */
export type CommitHook = (operation: WriteOperation, partition: string) => void | Promise<void>;

export interface MemoryStores {
  readonly keks: KekStore & BreakerStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly outbox: OutboxStore;
  readonly audit: AuditStore;
  ensureTables(): Promise<void>;
  /**
   * The next such call, not yet named by another fault, fails with StoreUnavailable: `before` it takes effect, or
   * `after`, when only the answer is lost.
   */
  failNext(operation: StoreOperation, when: 'before' | 'after'): void;
  /** Faults that nothing has met yet are met by nobody. */
  clearFaults(): void;
  /** Until the returned function is called. */
  onBeforeCommit(hook: CommitHook): () => void;
  /** Calls so far; by operation where one is named. */
  roundTrips(operation?: StoreOperation): number;
  /** From now on, until it is written again, the row doesn't parse. */
  spoilServer(kek: KekId, serverId: string, problem?: string): void;
  spoilKek(kek: KekId, problem?: string): void;
}

export interface MemoryStoresOptions {
  readonly onInvalid?: (error: CmkError) => void;
  /** Awaited before every call looks at the rows: where interleavings come from. */
  readonly pause?: () => Promise<void>;
}

type OutboxValue = Omit<OutboxRow, 'id' | 'etag'>;
interface Faults {
  before: number;
  after: number;
}

export function makeMemoryStores(options: MemoryStoresOptions = {}): MemoryStores {
  const keks = new MemoryTable<KekState>('keks');
  const versions = new MemoryTable<VersionState>('versions');
  const breaker = new MemoryTable<BreakerState>('breaker');
  const servers = new MemoryTable<ServerRow>('servers');
  const history = new MemoryTable<HistoryRow>('history');
  const index = new MemoryTable<KekId>('serverindex');
  const outbox = new MemoryTable<OutboxValue>('outbox');
  const audit = new MemoryTable<ChainedRecord>('audit');

  const faults = new Map<StoreOperation, Faults>();
  const trips = new Map<StoreOperation, number>();
  const hooks = new Set<CommitHook>();
  const insideHook = new AsyncLocalStorage<true>();

  const run = async <T>(operation: StoreOperation, act: () => T): Promise<T> => {
    await (options.pause?.() ?? Promise.resolve());
    trips.set(operation, (trips.get(operation) ?? 0) + 1);
    const fault = faults.get(operation) ?? { before: 0, after: 0 };
    if (fault.before > 0) {
      fault.before -= 1;
      throw storeUnavailable(operation);
    }
    const result = act();
    if (fault.after > 0) {
      fault.after -= 1;
      throw storeUnavailable(operation);
    }
    return result;
  };
  const write = async (
    operation: WriteOperation,
    partition: string,
    steps: readonly Step[],
  ): Promise<void> => {
    if (insideHook.getStore() !== true) {
      await insideHook.run(true, async () => {
        for (const hook of hooks) await hook(operation, partition);
      });
    }
    await run(operation, () => transact(steps));
  };

  let lastOutboxId = 0;
  const outboxSteps = (partition: string, entry: OutboxEntry | null): readonly Step[] => {
    if (entry === null) return [];
    lastOutboxId += 1;
    const value = {
      auditBodies: entry.audit.map((record) => JSON.stringify(record)),
      // What is stored as JSON comes back as JSON does.
      events: entry.events.map((event) => ({ ...event, data: JSON.parse(JSON.stringify(event.data)) })),
      audited: false,
    };
    return [outbox.write(partition, String(lastOutboxId).padStart(10, '0'), { value, etag: null })];
  };

  const readKek = (partition: string): StoredKek | undefined => {
    const kek = keks.read(partition, 'kek');
    if (kek === undefined) return undefined;
    const states = versions.rowKeys(partition).flatMap((rowKey) => versions.read(partition, rowKey) ?? []);
    return { kek, versions: states };
  };

  const kekStore: KekStore & BreakerStore = {
    read: (kek) => run('keks.read', () => readKek(kekKey(kek))),
    async *list({ vault, from = null }) {
      const names = await run('keks.list', () => keks.partitions());
      const ofVault = names.filter((one) => vault === null || one.startsWith(`${vault}|`));
      for (const name of ofVault.filter((one) => from === null || one >= kekKey(from))) {
        const stored = orReport(() => readKek(name), options.onInvalid);
        if (stored !== undefined) yield stored;
      }
    },
    commit: async (kek, change) => {
      const partition = kekKey(kek);
      const steps = [
        ...(change.kek === null ? [] : [keks.write(partition, 'kek', change.kek)]),
        ...change.versions.map((one) => versions.write(partition, one.value.version, one)),
        ...outboxSteps(partition, change.outbox),
      ];
      if (steps.length > 0) await write('keks.commit', partition, steps);
    },
    readBreaker: () => run('keks.readBreaker', () => breaker.read('breaker', 'state')),
    writeBreaker: (one) => write('keks.writeBreaker', 'breaker', [breaker.write('breaker', 'state', one)]),
  };

  const historyOf = (partition: string, serverId: string) =>
    history
      .rowKeys(partition)
      .filter((rowKey) => rowKey.startsWith(`${serverId}:`))
      .flatMap((rowKey) => history.read(partition, rowKey)?.value ?? []);

  const serverStore: ServerStore = {
    read: (kek, serverId) => run('servers.read', () => servers.read(kekKey(kek), serverId)),
    page: (kek, { after, from, to, limit }) =>
      run('servers.page', () => {
        const partition = kekKey(kek);
        const ids = servers
          .rowKeys(partition)
          .filter((id) => (after === null || id > after) && (from === null || id >= from))
          .filter((id) => to === null || id <= to);
        const shown = ids.slice(0, limit);
        const held: HeldRow[] = [];
        const rows: Stored<ServerRow>[] = [];
        for (const id of shown) {
          const problem = servers.problem(partition, id);
          if (problem !== null) held.push({ rowKey: `s:${id}`, problem });
          else rows.push(...[servers.read(partition, id) ?? []].flat());
        }
        return { rows, held, next: ids.length > limit ? (shown.at(-1) ?? null) : null };
      }),
    commit: async (kek, writes, entry) => {
      const partition = kekKey(kek);
      const stranger = writes.find(({ value }) => !isSameKek(value.kek, kek));
      if (stranger !== undefined) throw new Error(`${stranger.value.serverId} is under another KEK`);
      const steps = writes.flatMap((one) => [
        servers.write(partition, one.value.serverId, one),
        ...(one.history === null
          ? []
          : [history.write(partition, historyKey(one.history), { value: one.history, etag: null })]),
      ]);
      const all = [...steps, ...outboxSteps(partition, entry)];
      if (all.length > 0) await write('servers.commit', partition, all);
    },
    history: (kek, serverId) =>
      run('servers.history', () =>
        historyOf(kekKey(kek), serverId).toSorted((a, b) => a.sequence - b.sequence),
      ),
    remove: (kek, serverId, etag) =>
      write('servers.remove', kekKey(kek), [servers.remove(kekKey(kek), serverId, etag)]),
    pageHistory: (kek, version, { after, limit }) =>
      run('servers.pageHistory', () => {
        const partition = kekKey(kek);
        const keys = history.rowKeys(partition).filter((rowKey) => after === null || rowKey > after);
        const shown = keys.slice(0, limit);
        const rows = shown.flatMap((rowKey) => history.read(partition, rowKey) ?? []);
        const next = keys.length > limit ? (shown.at(-1) ?? null) : null;
        return { rows: rows.filter(({ value }) => value.wrapped.kekVersion === version), next };
      }),
    removeHistory: (kek, { value, etag }) =>
      write('servers.removeHistory', kekKey(kek), [history.remove(kekKey(kek), historyKey(value), etag)]),
    removeHistoryOf: async (kek, serverId) => {
      const partition = kekKey(kek);
      for (const rowKey of history.rowKeys(partition).filter((key) => key.startsWith(`${serverId}:`))) {
        const etag = history.read(partition, rowKey)?.etag ?? '';
        await write('servers.removeHistory', partition, [history.remove(partition, rowKey, etag)]);
      }
    },
    hasServersOff: (kek, target, upTo) =>
      run('servers.hasServersOff', () =>
        servers
          .rowKeys(kekKey(kek))
          .filter((id) => upTo === undefined || id <= upTo)
          .filter((id) => servers.problem(kekKey(kek), id) === null)
          .flatMap((id) => servers.read(kekKey(kek), id)?.value ?? [])
          .some((row) => isOff(row, target)),
      ),
  };

  const serverIndex: ServerIndex = {
    find: (serverId) => run('index.find', () => index.read(serverId, 'server')),
    claim: (serverId, kek) =>
      write('index.claim', serverId, [index.write(serverId, 'server', { value: kek, etag: null })]),
    point: (serverId, kek, etag) =>
      write('index.point', serverId, [index.write(serverId, 'server', { value: kek, etag })]),
    release: (serverId, etag) => write('index.release', serverId, [index.remove(serverId, 'server', etag)]),
  };

  const outboxStore: OutboxStore = {
    put: (chain, entry) => write('outbox.put', chain, outboxSteps(chain, entry)),
    pageOutbox: (chain, audited, limit) =>
      run('outbox.page', () =>
        outbox
          .rowKeys(chain)
          .flatMap((id) => toOutboxRow(id, outbox.read(chain, id)))
          .filter((row) => audited === null || row.audited === audited)
          .slice(0, limit),
      ),
    markAudited: async (chain, { id, etag, ...value }) => {
      const marked = { ...value, audited: true };
      const present = outbox.read(chain, id) !== undefined;
      const steps = present ? [outbox.write(chain, id, { value: marked, etag })] : [];
      await write('outbox.markAudited', chain, steps);
      return { ...marked, id, etag: outbox.read(chain, id)?.etag ?? etag };
    },
    remove: (chain, { id, etag }) => write('outbox.remove', chain, [outbox.remove(chain, id, etag)]),
  };

  const chainOf = (chain: string) =>
    audit.rowKeys(chain).flatMap((rowKey) => audit.read(chain, rowKey)?.value ?? []);
  const followsTail = (chain: string, [first]: readonly ChainedRecord[]): Step => ({
    check: () => {
      const last = chainOf(chain).at(-1);
      const follows =
        first?.sequence === (last?.sequence ?? 0) + 1 && first.previousHash === (last?.hash ?? CHAIN_START);
      if (!follows) throw writeConflict(`the head of ${chain}`);
    },
    apply: () => undefined,
  });

  const auditStore: AuditStore = {
    tail: (chain, limit) => run('audit.tail', () => chainOf(chain).slice(-limit)),
    append: async (chain, records) => {
      const rows = records.map((value) =>
        audit.write(chain, String(value.sequence).padStart(16, '0'), { value, etag: null }),
      );
      if (rows.length > 0) await write('audit.append', chain, [followsTail(chain, records), ...rows]);
    },
    async *readChain(chain, after = 0) {
      const records = await run('audit.readChain', () => chainOf(chain));
      yield* records.filter(({ sequence }) => sequence > after);
    },
  };

  return {
    keks: kekStore,
    servers: serverStore,
    index: serverIndex,
    outbox: outboxStore,
    audit: auditStore,
    ensureTables: () => Promise.resolve(),
    failNext: (operation, when) => {
      const fault = faults.get(operation) ?? { before: 0, after: 0 };
      faults.set(operation, fault);
      fault[when] += 1;
    },
    clearFaults: () => faults.clear(),
    onBeforeCommit: (hook) => {
      hooks.add(hook);
      return () => hooks.delete(hook);
    },
    roundTrips: (operation) =>
      operation === undefined
        ? [...trips.values()].reduce((sum, count) => sum + count, 0)
        : (trips.get(operation) ?? 0),
    spoilServer: (kek, serverId, problem = 'spoilt by the test') =>
      servers.spoil(kekKey(kek), serverId, problem),
    spoilKek: (kek, problem = 'spoilt by the test') => keks.spoil(kekKey(kek), 'kek', problem),
  };
}

const historyKey = (row: HistoryRow): string =>
  `${row.serverId}:${row.wrapped.kekVersion}:${String(row.sequence).padStart(10, '0')}`;

const toOutboxRow = (id: string, stored: Stored<OutboxValue> | undefined): readonly OutboxRow[] =>
  stored === undefined ? [] : [{ ...stored.value, id, etag: stored.etag }];

/** A KEK that doesn't parse is reported and left out. */
function orReport(
  read: () => StoredKek | undefined,
  onInvalid: ((error: CmkError) => void) | undefined,
): StoredKek | undefined {
  try {
    return read();
  } catch (error) {
    if (!isCmkError(error, 'InvalidRow')) throw error;
    onInvalid?.(error);
    return undefined;
  }
}
