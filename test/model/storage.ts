// The machine's tables: rows with tags, and transactions that take effect as a whole or not at all. Rows are never
// changed in place, so nothing is copied.
import { type BreakerState, CLOSED_BREAKER } from '../../shared/domain/breaker.ts';
import type { KekState } from '../../shared/domain/kek.ts';
import type { KekId } from '../../shared/domain/key-id.ts';
import type { VersionState } from '../../shared/domain/key-status.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { StoredKek } from '../../shared/ports/kek-store.ts';
import type { HistoryRow, ServerWrite } from '../../shared/ports/server-store.ts';
import type { Stored, Write } from '../../shared/ports/stored.ts';
import { conflict } from './io.ts';

interface Partition {
  /** The KEK as it is read; null: it was written since. */
  read: StoredKek | null;
  kek: Stored<KekState>;
  readonly versions: Map<string, Stored<VersionState>>;
  readonly servers: Map<string, Stored<ServerRow>>;
}

export class Storage {
  readonly #partitions = new Map<string, Partition>();
  readonly #history = new Map<string, HistoryRow[]>();
  #breaker: Stored<BreakerState> = { value: CLOSED_BREAKER, etag: '0' };
  #tags = 0;
  /** Planted: a write doesn't look at the tag that it names. */
  readonly #ignoresTags: boolean;

  constructor(ignoresTags: boolean) {
    this.#ignoresTags = ignoresTags;
  }

  addKek(value: KekState): void {
    this.#partitions.set(value.kek.vault, {
      read: null,
      kek: this.#stored(value),
      versions: new Map(),
      servers: new Map(),
    });
  }

  readKek(kek: KekId): StoredKek | undefined {
    const partition = this.#partitions.get(kek.vault);
    if (partition === undefined) return undefined;
    if (partition.read !== null) return partition.read;
    const versions = [...partition.versions.values()];
    versions.sort((a, b) => (a.value.version < b.value.version ? -1 : 1));
    partition.read = { kek: partition.kek, versions };
    return partition.read;
  }

  listKeks(): readonly StoredKek[] {
    return [...this.#partitions.values()].flatMap(({ kek }) => this.readKek(kek.value.kek) ?? []);
  }

  commitKek(kek: KekId, row: Write<KekState>, versions: readonly Write<VersionState>[]): void {
    const partition = this.#partition(kek);
    this.#check(partition.kek, row);
    for (const one of versions) this.#check(partition.versions.get(one.value.version), one);
    partition.read = null;
    partition.kek = this.#stored(row.value);
    for (const { value } of versions) partition.versions.set(value.version, this.#stored(value));
  }

  readBreaker(): Stored<BreakerState> {
    return this.#breaker;
  }

  writeBreaker(write: Write<BreakerState>): void {
    this.#check(this.#breaker, write);
    this.#breaker = this.#stored(write.value);
  }

  readServer(kek: KekId, serverId: string): Stored<ServerRow> | undefined {
    return this.#partition(kek).servers.get(serverId);
  }

  pageServers(kek: KekId, from: string, to: string): readonly Stored<ServerRow>[] {
    const all = [...this.#partition(kek).servers.values()];
    return all.filter(({ value }) => value.serverId >= from && value.serverId <= to);
  }

  commitServers(kek: KekId, writes: readonly ServerWrite[]): void {
    const { servers } = this.#partition(kek);
    for (const one of writes) this.#check(servers.get(one.value.serverId), one);
    for (const { value, history } of writes) {
      servers.set(value.serverId, this.#stored(value));
      if (history !== null) this.#history.set(value.serverId, [...this.historyOf(value.serverId), history]);
    }
  }

  historyOf(serverId: string): readonly HistoryRow[] {
    return this.#history.get(serverId) ?? [];
  }

  #partition(kek: KekId): Partition {
    const partition = this.#partitions.get(kek.vault);
    if (partition === undefined) throw new Error(`no such KEK: ${kek.vault}`);
    return partition;
  }

  #check(found: Stored<unknown> | undefined, write: Write<unknown>): void {
    if (this.#ignoresTags && found !== undefined) return;
    if ((found?.etag ?? null) !== write.etag) throw conflict();
  }

  #stored<T>(value: T): Stored<T> {
    this.#tags += 1;
    return { value, etag: String(this.#tags) };
  }
}
