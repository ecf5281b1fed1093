// What was promised, kept apart from the machine: what the customer has done to each key, which databases were open,
// and what must hold of the machine after every step, and when all is quiet.

import type { KekId } from '../../shared/domain/key-id.ts';
import { GRACE_MS } from '../../shared/domain/key-status.ts';
import { deriveServerState, type ServerRow } from '../../shared/domain/server.ts';
import type { StoredKek } from '../../shared/ports/kek-store.ts';
import type { Action } from './actions.ts';
import type { Machine } from './machine.ts';
import { dekOf, KEKS, SERVERS } from './site.ts';
import { toCiphertext } from './vault.ts';

interface PromisedVersion {
  readonly version: string;
  enabled: boolean;
  expiresAt: number;
  /** When it was last usable, and when it last was not. */
  usableAt: number;
  lostAt: number;
}

interface PromisedKey {
  readonly versions: PromisedVersion[];
  deleted: boolean;
  refused: boolean;
}

interface PromisedServer {
  /** Databases that take connections while the server has access. */
  readonly open: Set<string>;
  access: 'granted' | 'revoked';
  /** When it was decided that it be so. The order may have come long after, from a worker that was frozen. */
  decidedAt: number;
  /** When each order was decided, by its epoch. */
  readonly decisions: Map<number, number>;
  fence: number;
  /** As it was last looked at: a row that is the same needn't be looked at again. */
  row: ServerRow | null;
}

class Broken extends Error {}

function assertHolds(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Broken(what());
}

const newVersion = (version: string): PromisedVersion => ({
  version,
  enabled: true,
  expiresAt: Number.POSITIVE_INFINITY,
  usableAt: 0,
  lostAt: Number.NEGATIVE_INFINITY,
});

export class Promised {
  readonly #keys: readonly PromisedKey[];
  readonly #servers: ReadonlyMap<string, PromisedServer>;
  /** For each version by name, the verdict so far and since which observation it is so. */
  readonly #verdicts = new Map<string, { readonly verdict: string; readonly from: number }>();
  readonly #seen = new Map<number, StoredKek>();
  readonly #epochs = new Map<string, number>();

  constructor(machine: Machine) {
    this.#keys = machine.vault.keys.map(({ versions }) => ({
      versions: versions.map(({ version }) => newVersion(version)),
      deleted: false,
      refused: false,
    }));
    this.#servers = new Map(
      SERVERS.map(({ serverId }) => [
        serverId,
        {
          open: new Set(machine.postgres.get(serverId)?.open),
          access: 'granted',
          decidedAt: machine.now,
          decisions: new Map(),
          fence: 0,
          row: null,
        },
      ]),
    );
    this.look(machine.now);
  }

  /** The most versions that a key has. */
  get versions(): number {
    return Math.max(...this.#keys.map(({ versions }) => versions.length));
  }

  /** What the action promises. `machine` is asked only for the name of a new version, and whether a server is revoked. */
  note(action: Action, machine: Machine): void {
    this.#promise(action, machine);
    this.look(machine.now);
  }

  #promise(action: Action, machine: Machine): void {
    const key = 'key' in action ? this.#keys[action.key] : undefined;
    const version = 'version' in action ? key?.versions[action.version] : undefined;
    switch (action.do) {
      case 'rotate': {
        const made = machine.vault.key(action.key).versions.at(-1)?.version;
        if (key?.deleted === false && made !== undefined) key.versions.push(newVersion(made));
        return;
      }
      case 'enable':
      case 'disable':
        if (version !== undefined) version.enabled = action.do === 'enable';
        return;
      case 'expire':
        if (version !== undefined) version.expiresAt = 0;
        return;
      case 'expire in a minute':
        if (version !== undefined) version.expiresAt = machine.now + 60_000;
        return;
      case 'extend':
        if (version !== undefined) version.expiresAt = Number.POSITIVE_INFINITY;
        return;
      case 'delete':
      case 'recover':
        if (key !== undefined) key.deleted = action.do === 'delete';
        return;
      case 'refuse':
      case 'allow':
        if (key !== undefined) key.refused = action.do === 'refuse';
        return;
      case 'close':
      case 'open': {
        const serverId = SERVERS[action.server]?.serverId ?? '';
        if (machine.postgres.get(serverId)?.record?.desired === 'revoked') return;
        const { open } = this.#server(serverId);
        if (action.do === 'open') open.add(action.database);
        else open.delete(action.database);
        return;
      }
    }
  }

  isUsable(key: PromisedKey, version: PromisedVersion, now: number): boolean {
    return version.enabled && now <= version.expiresAt + GRACE_MS && !key.deleted && !key.refused;
  }

  /** Notes what is usable now, and what isn't. */
  look(now: number): void {
    for (const key of this.#keys)
      for (const version of key.versions)
        if (this.isUsable(key, version, now)) version.usableAt = now;
        else version.lostAt = now;
  }

  /** What must hold after every step. @throws Broken */
  check(machine: Machine): void {
    this.look(machine.now);
    for (const [index, kek] of KEKS.entries()) this.#checkKek(machine, index, kek);
    for (const row of machine.rows()) {
      const server = this.#server(row.serverId);
      if (server.row !== row) this.#checkRow(machine, row, server.row);
      server.row = row;
      this.#checkServer(machine, row);
    }
  }

  #checkRow(machine: Machine, row: ServerRow, before: ServerRow | null): void {
    const { serverId, wrapped, sequence } = row;
    const names = this.#keyOf(serverId).versions.map(({ version }) => version);
    const holdsDek = ({ kekVersion, ciphertext, dekId }: ServerRow['wrapped']) =>
      names.includes(kekVersion) &&
      ciphertext === toCiphertext(kekVersion, dekOf(serverId)) &&
      dekId === dekOf(serverId);
    assertHolds(holdsDek(wrapped), () => `${serverId} has lost its DEK: ${JSON.stringify(wrapped)}`);
    const history = machine.storage.historyOf(serverId);
    const isWhole = history.every((one, at) => one.sequence === at && holdsDek(one.wrapped));
    assertHolds(isWhole && history.length === sequence, () => `the history of ${serverId} has gaps`);
    assertHolds(row.accessEpoch >= (before?.accessEpoch ?? 0), () => `the epoch of ${serverId} went back`);
    const { decisions } = this.#server(serverId);
    if (!decisions.has(row.accessEpoch)) decisions.set(row.accessEpoch, machine.now);
  }

  #checkKek(machine: Machine, index: number, kek: KekId): void {
    const stored = machine.storage.readKek(kek);
    if (stored === undefined || stored === this.#seen.get(index)) return;
    this.#seen.set(index, stored);
    const { vault } = kek;
    const { epoch, observedFrom } = stored.kek.value;
    assertHolds(epoch >= (this.#epochs.get(vault) ?? 0), () => `the epoch of ${vault} went back`);
    this.#epochs.set(vault, epoch);
    const key = this.#keys[index];
    for (const { value } of stored.versions) {
      const { version, verdict } = value;
      const before = this.#verdicts.get(version);
      if (before?.verdict === verdict) continue;
      const promised = key?.versions.find((one) => one.version === version);
      assertHolds(promised !== undefined, () => `a version that the vault has never had: ${version}`);
      if (verdict === 'revoke')
        assertHolds(promised.lostAt >= (before?.from ?? 0), () => `${version} was given up and never lost`);
      this.#verdicts.set(version, { verdict, from: Number(observedFrom) });
    }
  }

  #checkServer(machine: Machine, { serverId, wrapped, desiredReason }: ServerRow): void {
    const found = machine.postgres.get(serverId);
    const server = this.#server(serverId);
    if (found === undefined) return;
    for (const name of new Set([...found.open, ...found.closedByUs, ...server.open])) {
      const isKept = found.open.has(name) || found.closedByUs.has(name);
      const what = server.open.has(name) ? 'closed, and not written down' : 'not to be opened';
      assertHolds(isKept === server.open.has(name), () => `${name} of ${serverId} is ${what}`);
    }
    const { record } = found;
    if (record === null) return;
    assertHolds(record.epoch >= server.fence, () => `the fence of ${serverId} went back`);
    server.fence = record.epoch;
    if (record.desired === server.access) return;
    const { versions } = this.#keyOf(serverId);
    const own = versions.findIndex((one) => one.version === wrapped.kekVersion);
    if (record.desired === 'revoked') {
      const lostAt = Math.max(...versions.map((one) => one.lostAt));
      assertHolds(lostAt >= server.decidedAt, () => `${serverId} was closed, and no key of it was lost`);
    } else {
      // A server under an expired version comes back as soon as a newer one works: it is on its way there.
      const ways = desiredReason === 'KeyExpired' ? versions.slice(own) : versions.slice(own, own + 1);
      const usableAt = Math.max(...ways.map((one) => one.usableAt));
      assertHolds(usableAt >= server.decidedAt, () => `${serverId} was opened under an unusable key`);
    }
    server.access = record.desired;
    server.decidedAt = server.decisions.get(record.epoch) ?? machine.now;
  }

  /** What must hold when no fault stands in the way and all is quiet. @throws Broken */
  checkSettled(machine: Machine): void {
    this.check(machine);
    for (const row of machine.rows()) {
      const { serverId, wrapped, keyLossPolicy } = row;
      const key = this.#keyOf(serverId);
      const version = key.versions.find((one) => one.version === wrapped.kekVersion);
      const found = machine.postgres.get(serverId);
      if (version === undefined || found === undefined) throw new Broken(`${serverId} isn't in the model`);
      const isServed = keyLossPolicy === 'alertOnly' || this.isUsable(key, version, machine.now);
      const open = [...found.open].toSorted().join();
      const promised = isServed ? [...this.#server(serverId).open].toSorted().join() : '';
      assertHolds(open === promised, () => `${serverId} has open [${open}], promised [${promised}]`);
      const desired = isServed ? 'granted' : 'revoked';
      assertHolds(
        row.desired === desired && row.applied === desired && row.failure === null,
        () => `the row of ${serverId} isn't settled: ${row.desired}, ${row.applied}, ${row.failure?.reason}`,
      );
    }
  }

  /** After everything was given back: all are `Ready`, on the newest version. @throws Broken */
  checkWhole(machine: Machine): void {
    this.checkSettled(machine);
    for (const row of machine.rows()) {
      const { serverId, wrapped, kek } = row;
      const newest = this.#keyOf(serverId).versions.at(-1)?.version;
      assertHolds(wrapped.kekVersion === newest, () => `${serverId} was left behind`);
      const states = machine.storage.readKek(kek)?.versions.map(({ value }) => value) ?? [];
      const { state } = deriveServerState(
        row,
        states.find(({ version }) => version === newest),
      );
      assertHolds(state === 'Ready', () => `${serverId} is ${state}`);
    }
  }

  #server(serverId: string): PromisedServer {
    const found = this.#servers.get(serverId);
    if (found === undefined) throw new Error(`no such server: ${serverId}`);
    return found;
  }

  #keyOf(serverId: string): PromisedKey {
    const index = SERVERS.find((one) => one.serverId === serverId)?.key ?? -1;
    const found = this.#keys[index];
    if (found === undefined) throw new Error(`no such server: ${serverId}`);
    return found;
  }
}
