// The system of operator.test.ts: two instances of the app, the customer's keys, operators, and somebody who watches
// every row and every PostgreSQL, and knows what was promised.
import { setImmediate } from 'node:timers/promises';
import { expect } from 'vitest';
import { type ChainedRecord, findBrokenRecord } from '../../shared/domain/audit.ts';
import { type ErrorCode, isCmkError } from '../../shared/domain/errors.ts';
import { isHeld } from '../../shared/domain/kek.ts';
import { isSameKek, type KekId, kekKey, keyUrl } from '../../shared/domain/key-id.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { KeyLossPolicy } from '../../shared/domain/server-spec.ts';
import { openWrapping } from '../../shared/domain/wrapped-dek.ts';
import { APP_CHAIN } from '../../shared/operations/reject-input.ts';
import type { ServerAccess } from '../../shared/ports/server-access.ts';
import { httpFault } from '../fakes/key-vault.ts';
import { storeUnavailable } from '../fakes/memory-tables.ts';
import { makeSeededRandom } from '../fakes/runtime.ts';
import type { MemoryServer } from '../fakes/server-access.ts';
import { eventCause, makeWorld, type World } from '../fakes/world.ts';
import { type Step, step } from './steps.ts';

export const KEKS: readonly KekId[] = [
  { vault: 'alpha.vault.azure.net', name: 'fleet' },
  { vault: 'beta.vault.azure.net', name: 'customer' },
];
/** Servers that are registered, and copies. The last server has nothing but its DEK. */
export const SERVERS = ['s1', 's2', 's3'];
export const COPIES = ['c1', 'c2'];
const IDS = [...SERVERS, ...COPIES];
const POLICIES: Readonly<Record<string, KeyLossPolicy>> = { s2: 'alertOnly', c1: 'denyNew', c2: 'drain' };

type App = ReturnType<World['startInstance']>;

/** What the customer has done to one key. */
interface Key {
  readonly kek: KekId;
  readonly versions: { readonly id: string; enabled: boolean; expired: boolean }[];
  deleted: boolean;
}

interface Command {
  readonly label: string;
  readonly give: (app: App) => Promise<unknown>;
}

/** What an operator or a server may be told; anything else is a fault of ours. */
const ANSWERS: readonly ErrorCode[] = [
  'ServerIdTaken',
  'ServerNotFound',
  'ServerDeleted',
  'ServerMoving',
  'ServerNotSettled',
  'KekNotFound',
  'VersionNotFound',
  'VersionInUse',
  'VersionSoaking',
  'KekNotProven',
  'RegistrationRefused',
  'CopyRefused',
  'DrillRefused',
  'RotationNotPossible',
  'DekRefused',
  'DekRateLimited',
  'PrincipalMismatch',
  'VaultRefused',
  'VaultUnavailable',
  'StoreUnavailable',
  'WriteConflict',
];
const SWEPT_SECONDS = 900;
const TICK_SECONDS = 30;
const TURNS = 6;
const GIVES = /null|enable|recover|extend|register|copy/;

export class System {
  readonly world: World;
  readonly keys: readonly Key[] = KEKS.map((kek) => ({ kek, versions: [], deleted: false }));
  /** The calls to come to any port until the one that fails; null: none does. */
  cut: number | null = null;
  readonly #random: ReturnType<typeof makeSeededRandom>;
  readonly #port: ServerAccess;
  readonly #instances: App[] = [];
  readonly #postgres = new Map<string, MemoryServer>();
  /** The DEK of each server that has one, and of which it was said that it is registered. */
  readonly #deks = new Map<string, string>();
  readonly #promised = new Set<string>();
  /** A purge of these was begun: whether a row is there, and with which DEK, is open. */
  readonly #purging = new Set<string>();
  readonly #open = new Map<string, boolean>();
  readonly #down = new Set<string>();
  readonly #released: { readonly serverId: string; readonly dekId: string }[] = [];
  #releases = 0;
  #interrupted: Command[] = [];
  #interleaves = false;
  /** How many look on: nothing is cut or held up meanwhile. */
  #looking = 0;
  /** Several things happened at once since the last look: each alone would have been right. */
  #wereMany = false;
  /** Something that was taken away is given back in this very step. */
  #gives = false;
  /** Of this very step. */
  #labels: readonly string[] = [];
  /** Whether that server or key is held: as an operator was told. */
  readonly #holds = new Map<string, boolean>();
  #turn = 0;

  private constructor(seed: number) {
    this.#random = makeSeededRandom(seed);
    this.world = makeWorld({
      seed,
      pause: () => this.#call(),
      sealer: {
        seal: async (dek, _, { serverId }) => {
          this.#released.push({ serverId, dekId: dek.id });
          return 'sealed';
        },
      },
      signer: { sign: async () => 'signed', publicKeys: async () => ({ keys: [] }) },
    });
    const { world } = this;
    const { port } = world.postgres;
    this.#port = {
      revoke: (access, order) => this.#pause().then(() => port.revoke(access, order)),
      restore: (access, order) => this.#pause().then(() => port.restore(access, order)),
      inspect: (access) => this.#pause().then(() => port.inspect(access)),
    };
    for (let instance = 0; instance < 2; instance += 1) this.#instances.push(this.#start());
    world.vault.hook = async () => {
      await this.#pause();
      return this.#isCut() ? { kind: 'network', cause: 'reset' } : null;
    };
    for (const method of ['file', 'find', 'list', 'remove'] as const) {
      const original = world.escrow[method].bind(world.escrow) as (...input: unknown[]) => Promise<unknown>;
      Reflect.set(world.escrow, method, async (...input: unknown[]) => {
        await this.#call();
        return original(...input);
      });
    }
    world.queue.handlers = {
      deliver: (one) => world.deliverTo(this.app(), one),
      poison: (one) => this.app().recordPoison(one),
    };
    world.queue.afterDelivery = () => (this.#interleaves ? undefined : this.watch());
  }

  static async begin(seed: number): Promise<System> {
    const system = new System(seed);
    for (const key of system.keys) system.rotate(key);
    for (const id of IDS) {
      const server = system.world.postgres.addServer({ host: `${id}.test`, databases: ['app', 'legacy'] });
      server.allowConnections('legacy', false);
      system.#postgres.set(id, server);
      system.#open.set(id, true);
    }
    for (const [index, id] of SERVERS.entries()) await system.register(id, index % 2, {});
    await system.copy('s1', 'c1', 'replica', null);
    await system.world.settle();
    // One version of each key is past and may be retired.
    for (const key of system.keys) system.rotate(key);
    await system.live(700);
    system.world.clock.advance(3 * 3600);
    return system;
  }

  // The machinery.

  #start(): App {
    return this.world.startInstance(this.#port);
  }

  /** One of the instances, by turns. */
  app(): App {
    this.#turn += 1;
    const app = this.#instances[this.#turn % 2];
    if (app === undefined) throw new Error('no instance');
    return app;
  }

  /** An instance ends, and another takes its place: what it remembered is forgotten. */
  restart(): void {
    this.#turn += 1;
    this.#instances[this.#turn % 2] = this.#start();
  }

  async #pause(): Promise<void> {
    if (!this.#interleaves || this.#looking > 0) return;
    for (let turns = this.#random.integer(TURNS); turns > 0; turns -= 1) await Promise.resolve();
  }

  #isCut(): boolean {
    if (this.cut === null || this.#looking > 0) return false;
    this.cut -= 1;
    if (this.cut >= 0) return false;
    this.cut = null;
    return true;
  }

  async #call(): Promise<void> {
    await this.#pause();
    if (this.#isCut()) throw storeUnavailable('cut by the test');
  }

  /** One step, or some at the same time. Time goes on only for those that wait for it. */
  async perform(steps: readonly Step<System>[]): Promise<void> {
    this.#interleaves = steps.length > 1;
    this.#labels = steps.map(({ label }) => label);
    this.#gives = steps.length > 1 && this.#labels.some((label) => GIVES.test(label));
    let isDone = false;
    const all = Promise.allSettled(steps.map(async ({ act }) => act(this))).finally(() => {
      isDone = true;
    });
    for (let ticks = 0; !isDone; ticks += 1) {
      await setImmediate();
      if (!isDone) this.world.clock.advance(0.5);
      if (ticks > 2000) throw new Error('it never ends');
    }
    this.#interleaves = false;
    this.#wereMany = steps.length > 1;
    for (const outcome of await all) if (outcome.status === 'rejected') throw outcome.reason;
    await this.watch();
    this.#wereMany = false;
  }

  /** As `runFor`, with fewer probes: what the app does by itself. */
  async live(seconds: number): Promise<void> {
    const { app, queue } = this.world;
    await queue.drain();
    for (let passed = 0; passed < seconds; passed += TICK_SECONDS) {
      if (passed % (2 * TICK_SECONDS) === 0) await app.sweepFleet();
      await app.probes.probeAll();
      await queue.drainFor(TICK_SECONDS);
    }
    await app.deliverOutbox();
  }

  /** What an operator asks for. One that was cut short is kept: it may be given again. */
  async command(label: string, give: Command['give']): Promise<void> {
    try {
      await give(this.app());
    } catch (error) {
      if (!isCmkError(error)) throw error;
      expect(ANSWERS, `${label}: ${error.message}`).toContain(error.code);
      if (error.code === 'StoreUnavailable' || error.code === 'WriteConflict' || error.retryable)
        this.#interrupted.push({ label, give });
    }
  }

  /** What the app does by itself; what it can't do now it does later. */
  async work(act: (app: App) => Promise<unknown>): Promise<void> {
    try {
      await act(this.app());
    } catch (error) {
      if (!isCmkError(error, 'StoreUnavailable') && !isCmkError(error, 'WriteConflict')) throw error;
    }
  }

  async #quietly<T>(look: () => Promise<T>): Promise<T> {
    this.#looking += 1;
    try {
      return await look();
    } finally {
      this.#looking -= 1;
    }
  }

  // What the customer does.

  rotate(key: Key): void {
    if (key.deleted) return;
    this.world.clock.advance(1);
    const id = this.world.vault.createVersion(key.kek);
    key.versions.push({ id, enabled: true, expired: false });
  }

  update(key: Key, index: number, change: { enabled?: boolean; expired?: boolean }): void {
    const version = key.versions[index % key.versions.length];
    if (version === undefined || key.deleted) return;
    Object.assign(version, change);
    const expiresOn = version.expired ? new Date(0) : null;
    this.world.vault.update(key.kek, version.id, { enabled: version.enabled, expiresOn });
  }

  setDeleted(key: Key, deleted: boolean): void {
    key.deleted = deleted;
    if (deleted) this.world.vault.deleteKey(key.kek);
    else this.world.vault.recoverKey(key.kek);
  }

  setOutage(key: Key, outage: boolean): void {
    this.world.vault.setVault(key.kek.vault, { outage: outage ? httpFault(503, 'Unavailable') : null });
  }

  hint(key: Key): Promise<void> {
    return this.work((app) =>
      app.submitHint({ target: { kind: 'kek', kek: key.kek }, cause: eventCause(`${this.#turn}`) }),
    );
  }

  setDown(id: string, isDown: boolean): void {
    this.#postgres.get(id)?.setReachable(!isDown);
    if (isDown) this.#down.add(id);
    else this.#down.delete(id);
  }

  // What operators and servers do.

  #accessOf(id: string) {
    const server = this.#postgres.get(id);
    return id === 's3' || server === undefined ? ({ kind: 'none' } as const) : server.access;
  }

  keyIdOf(index: number, version: number | null): string {
    const key = this.keys[index];
    if (key === undefined) throw new Error('no such key');
    const pin = version === null ? undefined : key.versions[version % key.versions.length];
    return keyUrl(key.kek, pin?.id);
  }

  register(
    id: string,
    kek: number,
    { pin = null, principal = 'p', label = 'a' }: { pin?: number | null; principal?: string; label?: string },
  ): Promise<void> {
    const order = this.world.orderOf(id, {
      keyId: this.keyIdOf(kek, pin),
      access: this.#accessOf(id),
      keyLossPolicy: POLICIES[id] ?? 'terminate',
      principalId: `${principal}-${id}`,
      labels: { label },
    });
    return this.command(`register ${id}`, async (app) => {
      const { stored } = await app.registerServer(order);
      this.#promise(id, stored.value);
    });
  }

  copy(sourceId: string, serverId: string, kind: 'replica' | 'restore', keyId: string | null): Promise<void> {
    const command = {
      sourceId,
      serverId,
      kind,
      keyId: kind === 'replica' ? null : keyId,
      access: this.#accessOf(serverId),
      principalId: `p-${serverId}`,
      keyLossPolicy: null,
      labels: {},
      by: 'anna',
    };
    return this.command(`copy ${sourceId} to ${serverId}`, async (app) => {
      const { stored } = await app.copyServer(command);
      this.#promise(serverId, stored.value);
    });
  }

  /** What was said of a hold is kept, where nobody else says something of the same one at the same time. */
  async #holding(what: string, reason: string | null, give: Command['give']): Promise<void> {
    this.#holds.delete(what);
    await this.command(`hold ${what}`, async (app) => {
      this.#holds.delete(what);
      await give(app);
      if (this.#labels.filter((label) => label.includes(`hold${what},`)).length <= 1)
        this.#holds.set(what, reason !== null);
    });
  }

  hold(serverId: string, reason: string | null): Promise<void> {
    return this.#holding(`Server(${serverId}`, reason, (app) =>
      app.holdServer({ serverId, reason, by: 'bert', ifMatch: null }),
    );
  }

  holdKey(index: number, kek: KekId, reason: string | null): Promise<void> {
    return this.#holding(`Key(k${index}`, reason, (app) =>
      app.holdKek({ kek, reason, by: 'bert', ifMatch: null }),
    );
  }

  #promise(id: string, { wrapped }: ServerRow): void {
    this.#promised.add(id);
    const known = this.#deks.get(id);
    if (known !== undefined && !this.#purging.has(id)) expect(wrapped.dekId, `the DEK of ${id}`).toBe(known);
  }

  remove(serverId: string, force: boolean, purge: boolean): Promise<void> {
    const command = { serverId, force, purge, by: 'anna', mayAssign: true, ifMatch: null };
    return this.command(`delete ${serverId}`, async (app) => {
      try {
        await app.deleteServer(command);
      } catch (error) {
        const isRefused = isCmkError(error) && !error.retryable && error.code !== 'WriteConflict';
        if (purge && !isRefused) this.#purging.add(serverId);
        throw error;
      }
      if (purge) this.#purging.add(serverId);
    });
  }

  retire(index: number, number: number): Promise<void> {
    const key = this.keys[index];
    const version = key?.versions[number % key.versions.length]?.id;
    if (key === undefined || version === undefined) throw new Error('no such version');
    const { kek } = key;
    return this.command(`retire k${index} v${number}`, async (app) => {
      await app.retireVersion({ kek, version, by: 'anna' });
      if (this.#interleaves) return;
      const rows = await this.#quietly(() => this.world.rows(kek));
      expect(rows.filter(({ wrapped }) => wrapped.kekVersion === version)).toEqual([]);
    });
  }

  /** A server, or somebody who says he is, asks for its DEK. */
  async release(serverId: string, principalId: string): Promise<void> {
    const before = await this.#quietly(() => this.#refusal(serverId, principalId));
    const had = this.#released.length;
    await this.command(`release ${serverId}`, async (app) => {
      await app.releaseDek({ serverId, principalId, publicKey: {} });
      this.#releases += 1;
      // What others do at the same time may forbid it just after it was right, or allow it just before.
      const after = await this.#quietly(() => this.#refusal(serverId, principalId));
      const isForbidden = before !== null && after !== null && !this.#gives;
      expect(isForbidden, `a release of ${serverId} to ${principalId}: ${before}`).toBe(false);
      const sealed = this.#released.slice(had).filter((one) => one.serverId === serverId);
      expect(sealed.at(-1)?.dekId).toBe(this.#deks.get(serverId) ?? sealed.at(-1)?.dekId);
    });
  }

  /** Why a release must not succeed as things are now; null: it may. */
  async #refusal(serverId: string, principalId: string): Promise<string | null> {
    const row = await this.#answering(serverId);
    if (row === undefined) return 'no server';
    if (row.principalId !== principalId) return 'not its principal';
    if (row.tombstone) return 'deleted';
    if (await this.#isHeld(row)) return 'held';
    const { key, version } = this.#keyOf(row);
    if (!version.enabled) return 'disabled';
    if (key.deleted) return 'key deleted';
    const state = await this.world.version(version.id, row.kek);
    const lost = state.verdict === 'revoke' && row.desired === 'revoked' && row.keyLossPolicy !== 'alertOnly';
    return lost ? 'decided: revoked' : null;
  }

  // What is so at any time.

  async #isHeld(row: ServerRow): Promise<boolean> {
    const now = this.world.clock.now();
    return isHeld(row.hold, now) || isHeld((await this.world.kek(row.kek)).hold, now);
  }

  #keyOf(row: ServerRow) {
    const key = this.keys.find(({ kek }) => isSameKek(kek, row.kek));
    const version = key?.versions.find(({ id }) => id === row.wrapped.kekVersion);
    if (key === undefined || version === undefined)
      throw new Error(`${row.serverId} names a version that the vault never had`);
    return { key, version };
  }

  async #rowsOf(id: string): Promise<readonly ServerRow[]> {
    const found = await Promise.all(KEKS.map((kek) => this.world.stores.servers.read(kek, id)));
    return found.flatMap((stored) => (stored === undefined ? [] : [stored.value]));
  }

  async #answering(id: string): Promise<ServerRow | undefined> {
    const owner = await this.world.stores.index.find(id);
    return owner && (await this.world.stores.servers.read(owner.value, id))?.value;
  }

  /** Called when nobody is in the middle of anything, but for those who were cut short. */
  watch(): Promise<void> {
    return this.#quietly(async () => {
      for (const id of IDS) {
        const row = await this.#answering(id);
        const rows = await this.#rowsOf(id);
        if (row === undefined) {
          // What isn't pointed to can't be there but as a leftover of a purge.
          if (this.#purging.has(id)) this.#promised.delete(id);
          expect(this.#promised.has(id), `${id} is gone`).toBe(false);
          if (rows.length === 0) this.#deks.delete(id);
          this.#holds.delete(`Server(${id}`);
          expect(
            rows.filter((one) => !one.incoming),
            `rows of ${id} that nothing points to`,
          ).toEqual([]);
          continue;
        }
        for (const one of rows) this.#expectDek(one);
        expect(rows.filter((one) => !one.incoming && one.moving === null).length).toBeLessThanOrEqual(1);
        await this.#watchAccess(row);
      }
    });
  }

  /** Whatever has become of its key, the wrapping on record is that of the one DEK that the server has ever had. */
  #expectDek({ serverId, kek, wrapped }: ServerRow): void {
    const plaintext = this.world.vault.lookInto(kek, wrapped.kekVersion, wrapped.ciphertext);
    if (plaintext === null) throw new Error(`the wrapping of ${serverId} holds nothing`);
    using dek = openWrapping(plaintext, wrapped, serverId);
    const known = this.#deks.get(serverId);
    if (known !== dek.id && this.#purging.has(serverId)) {
      this.#purging.delete(serverId);
      this.#holds.delete(`Server(${serverId}`);
    } else expect(dek.id, `the DEK of ${serverId}`).toBe(known ?? dek.id);
    this.#deks.set(serverId, dek.id);
  }

  /** A server that was closed is open again only because its row, its key and nobody's hold say so. */
  async #watchAccess(row: ServerRow): Promise<void> {
    const { serverId } = row;
    const server = this.#postgres.get(serverId);
    if (server === undefined || row.access.kind === 'none' || this.#down.has(serverId)) return;
    expect(server.takesConnections('legacy'), `a database of ${serverId} that its DBA has closed`).toBe(
      false,
    );
    const isOpen = server.takesConnections('app');
    const wasOpen = this.#open.get(serverId) === true;
    this.#open.set(serverId, isOpen);
    if (this.#wereMany || wasOpen || !isOpen) return;
    expect(row.desired, `${serverId} was reopened`).toBe('granted');
  }

  // The end.

  /** Nothing fails any more; commands that were cut short are given again, or not; and sweeps run. */
  async comeToRest(repeats: readonly boolean[]): Promise<void> {
    const { world } = this;
    this.cut = null;
    world.stores.clearFaults();
    world.queue.fate = () => 'keep';
    world.queue.pick = () => 0;
    for (const key of this.keys) this.setOutage(key, false);
    for (const id of [...this.#down]) this.setDown(id, false);
    const commands = this.#interrupted;
    this.#interrupted = [];
    for (const [index, { label, give }] of commands.entries())
      if (repeats[index % repeats.length] === true) await this.perform([toStep(label, give)]);
    await this.#sweep();
    await this.#expectSettled();
  }

  async #sweep(): Promise<void> {
    await this.live(SWEPT_SECONDS);
    await this.watch();
  }

  #expectSettled(): Promise<void> {
    return this.#quietly(async () => {
      for (const id of IDS) {
        const rows = await this.#rowsOf(id);
        const row = await this.#answering(id);
        expect(rows, `rows of ${id}`).toEqual(row === undefined ? [] : [row]);
        if (row !== undefined) await this.#expectRow(row);
        this.#expectEscrow(id, row);
      }
      for (const [index, kek] of KEKS.entries()) {
        const hold = (await this.world.stores.keks.read(kek))?.kek.value.hold ?? null;
        expect(hold !== null, `k${index} is held`).toBe(this.#holds.get(`Key(k${index}`) ?? hold !== null);
      }
      for (const chain of [APP_CHAIN, ...KEKS.map(kekKey)]) {
        const records: ChainedRecord[] = [];
        for await (const record of this.world.stores.audit.readChain(chain)) records.push(record);
        expect(findBrokenRecord(chain, records)).toBeNull();
      }
      const released = await Promise.all(KEKS.map((kek) => this.world.audited('dek.released', kek)));
      expect(released.flat().length).toBeGreaterThanOrEqual(this.#releases);
    });
  }

  /** The second place has this very DEK, and one that a registration of the same id will take over is its own. */
  #expectEscrow(id: string, row: ServerRow | undefined): void {
    const filed = [...this.world.escrow.filed].filter(([name]) => name.endsWith(`|${id}`));
    if (row === undefined) return;
    expect(
      filed.filter(([, { dekId }]) => dekId !== row.wrapped.dekId),
      `another DEK is filed for ${id}`,
    ).toEqual([]);
    if (!this.#promised.has(id) || this.#purging.has(id)) return;
    expect(filed.map(([name]) => name)).toContain(`${kekKey(row.kek)}|${id}`);
  }

  async #expectRow(row: ServerRow): Promise<void> {
    const { serverId, kek, wrapped } = row;
    expect(row, serverId).toMatchObject({ incoming: false, moving: null });
    const state = await this.world.version(wrapped.kekVersion, kek);
    expect(state.retiredAt, `${serverId} is under a retired version`).toBeNull();
    const isHeld = this.#holds.get(`Server(${serverId}`);
    expect(row.hold !== null, `${serverId} is held`).toBe(isHeld ?? row.hold !== null);
    if (row.tombstone) return;
    const { key, version } = this.#keyOf(row);
    const { policy } = await this.world.kek(kek);
    const isDated = !version.expired || policy.expiredKeyPolicy === 'warn';
    const isUsable = version.enabled && isDated && !key.deleted;
    const isOpen = !(await this.#isHeld(row)) && (isUsable || row.keyLossPolicy === 'alertOnly');
    const access = isOpen ? 'granted' : 'revoked';
    expect(row, serverId).toMatchObject({ desired: access, applied: access, failure: null });
    if (row.access.kind === 'none') return;
    expect(this.#postgres.get(serverId)?.takesConnections('app'), `${serverId} is open`).toBe(isOpen);
    expect(this.#postgres.get(serverId)?.takesConnections('legacy')).toBe(false);
  }

  /** The customer puts every key right, and an operator lets the rotations go on: all who follow them arrive. */
  async putRight(): Promise<void> {
    for (const key of this.keys) {
      this.setDeleted(key, false);
      for (const index of key.versions.keys()) this.update(key, index, { enabled: true, expired: false });
    }
    // A version that no server is on, and that isn't the target, is looked at by the sweep alone.
    await this.live(360);
    for (const { kek } of this.keys) {
      if ((await this.world.stores.keks.read(kek)) === undefined) continue;
      await this.world.app.changePolicy({ kek, change: { rewrapPaused: false }, by: 'anna', ifMatch: null });
      await this.#startRewrap(kek);
    }
    await this.#sweep();
    await this.#expectSettled();
    for (const { kek, versions } of this.keys) {
      const rows = (await this.world.rows(kek)).filter(({ pinned }) => !pinned);
      if (rows.length === 0) continue;
      const { target } = await this.world.kek(kek);
      const isRetired = (await this.world.version(versions.at(-1)?.id ?? '', kek)).retiredAt !== null;
      const newest = isRetired ? target : versions.at(-1)?.id;
      expect(rows.map((row) => [row.serverId, row.wrapped.kekVersion])).toEqual(
        rows.map((row) => [row.serverId, newest]),
      );
    }
  }

  /** Not possible where the newest version was retired while it wasn't usable: then all stay under the one before. */
  async #startRewrap(kek: KekId): Promise<void> {
    try {
      await this.world.app.startRewrap({ kek, by: 'anna' });
    } catch (error) {
      if (!isCmkError(error, 'RotationNotPossible')) throw error;
      expect(error.detail).toMatchObject({ reason: 'VersionRetired' });
    }
  }

  /** And every hold is lifted: everybody is open. */
  async releaseAll(): Promise<void> {
    this.#holds.clear();
    const { app, stores } = this.world;
    for (const { kek } of this.keys)
      if ((await stores.keks.read(kek)) !== undefined)
        await app.holdKek({ kek, reason: null, by: 'anna', ifMatch: null });
    for (const id of IDS) {
      const row = await this.#answering(id);
      if (row === undefined || row.tombstone) continue;
      await app.holdServer({ serverId: id, reason: null, by: 'anna', ifMatch: null });
    }
    await this.live(120);
    await this.#expectSettled();
    for (const id of IDS) {
      const row = await this.#answering(id);
      if (row === undefined || row.tombstone) continue;
      expect(row).toMatchObject({ desired: 'granted', applied: 'granted' });
    }
  }
}

const toStep = (label: string, give: Command['give']) =>
  step<System>(label, (system) => system.command(label, give));
