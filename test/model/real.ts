// The real operations on real stores, in the hands of the same actions as the machine: each worker is a process of its
// own, and stops before every step. Vault and PostgreSQL are the fakes that pass the contracts of the real ones.
import { canaryOf } from '../../shared/domain/canary.ts';
import { DEK_BYTES, Dek } from '../../shared/domain/dek.ts';
import { findVersion } from '../../shared/domain/kek.ts';
import type { KekId } from '../../shared/domain/key-id.ts';
import { deriveServerState } from '../../shared/domain/server.ts';
import { bindDek } from '../../shared/domain/wrapped-dek.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import type { Stores } from '../contracts/stores.ts';
import { FakeKeyVault } from '../fakes/key-vault.ts';
import { type MemoryServer, makeMemoryServerAccess } from '../fakes/server-access.ts';
import {
  type Action,
  faultsEnd,
  goingOn,
  LEAST_ROUNDS,
  MOST_ROUNDS,
  QUIET_ROUNDS,
  roundOf,
  WORKERS,
} from './actions.ts';
import { firstKek, firstRow, firstVersion } from './beginning.ts';
import { Gate } from './gate.ts';
import type { Fault, Trap } from './io.ts';
import { type Message, Messages } from './messages.ts';
import { deliver, type Instance, startInstance } from './real-process.ts';
import { EVENT, KEKS, SERVERS, STRANGER } from './site.ts';
import { TROUBLES } from './vault.ts';
import type { View } from './view.ts';

interface Worker {
  instance: Instance;
  message: Message | null;
  running: boolean;
  failed: boolean;
  settled: boolean;
  frozen: boolean;
  overdue: boolean;
  fault: Fault;
  trap: Trap | null;
}

export class Real {
  now = Date.parse('2030-01-01T00:00:00Z');
  steps = 0;
  readonly #stores: Stores;
  readonly #vault: FakeKeyVault;
  readonly #postgres = makeMemoryServerAccess();
  readonly #servers = new Map<string, MemoryServer>();
  readonly #versions: readonly string[][] = KEKS.map(() => []);
  readonly #deleted = new Set<number>();
  readonly #messages = new Messages(() => this.now);
  readonly #clock = { now: () => new Date(this.now), sleep: () => new Promise<void>(() => undefined) };
  readonly #workers: readonly Worker[];

  private constructor(stores: Stores) {
    this.#stores = stores;
    this.#vault = new FakeKeyVault(this.#clock);
    this.#workers = WORKERS.map(() => ({
      instance: this.#start(),
      message: null,
      running: false,
      failed: false,
      settled: false,
      frozen: false,
      overdue: false,
      fault: 'none',
      trap: null,
    }));
  }

  /** On stores without any rows. */
  static async begin(stores: Stores): Promise<Real> {
    const real = new Real(stores);
    for (const [index, kek] of KEKS.entries()) await real.#addKek(kek, index);
    return real;
  }

  async #addKek(kek: KekId, index: number): Promise<void> {
    const now = new Date(this.now);
    const version = this.#vault.createVersion(kek);
    this.#versions[index]?.push(version);
    const described = await this.#vault.describeVersion(kek, version);
    if (!described.ok || described.value.publicKey === null) throw new Error('no public key');
    const { attributes, publicKey } = described.value;
    const canary = await this.#vault.wrap(publicKey, canaryOf(kek, version));
    const state = firstVersion(version, canary, attributes, now);
    const row = { value: firstKek(kek, version), etag: null };
    await this.#stores.keks.commit(kek, { kek: row, versions: [{ value: state, etag: null }], outbox: null });
    for (const [number, { serverId, key, keyLossPolicy }] of SERVERS.entries()) {
      if (key !== index) continue;
      using dek = new Dek(new Uint8Array(DEK_BYTES).fill(number + 1));
      const ciphertext = await this.#vault.wrap(publicKey, bindDek(dek, serverId));
      const wrapped = { kekVersion: version, ciphertext, dekId: dek.id };
      const value = firstRow(serverId, kek, keyLossPolicy, wrapped, now);
      await this.#stores.servers.commit(kek, [{ value, etag: null, history: null }], null);
      this.#servers.set(serverId, this.#postgres.addServer({ host: `${serverId}.test` }));
    }
  }

  async perform(action: Action): Promise<void> {
    switch (action.do) {
      case 'hint':
        this.#messages.put({
          queue: 'reconcile',
          message: { kek: KEKS[action.key] ?? STRANGER, cause: EVENT },
        });
        return;
      case 'probe':
      case 'sweep':
        this.#messages.put({ queue: 'timer', message: action.do });
        return;
      case 'stop server':
      case 'start server':
        this.#server(action.server).setReachable(action.do === 'start server');
        return;
      case 'close':
      case 'open':
        return await this.#change(action.server, action.database, action.do === 'open');
      case 'lose':
      case 'duplicate':
      case 'delay':
      case 'prefer':
        this.#messages.meddle(action.do, action.position);
        return;
      case 'step':
        for (let left = action.steps; left > 0; left -= 1) await this.#step(this.#worker(action.worker));
        return;
      case 'crash':
        this.#crash(this.#worker(action.worker));
        return;
      case 'freeze':
        this.#freeze(this.#worker(action.worker));
        return;
      case 'thaw':
        this.#worker(action.worker).frozen = false;
        return;
      case 'trap':
        this.#worker(action.worker).trap = action;
        return;
      case 'spoil':
        this.#worker(action.worker).fault = action.how;
        return;
      case 'work':
        return await this.#work();
      case 'go on':
        for (const one of goingOn) await this.perform(one);
        return;
      case 'wait':
        this.now += action.seconds * 1000;
        return;
      default:
        this.#customer(action);
    }
  }

  #customer(action: Extract<Action, { readonly key: number }>): void {
    const kek = KEKS[action.key];
    const versions = this.#versions[action.key];
    if (kek === undefined || versions === undefined) return;
    const version = 'version' in action ? versions[action.version] : undefined;
    switch (action.do) {
      case 'rotate':
        this.now += 1000;
        if (!this.#deleted.has(action.key)) versions.push(this.#vault.createVersion(kek));
        return;
      case 'enable':
      case 'disable':
        if (version !== undefined) this.#vault.update(kek, version, { enabled: action.do === 'enable' });
        return;
      case 'expire':
      case 'expire in a minute': {
        const expiresOn = new Date(action.do === 'expire' ? 0 : this.now + 60_000);
        if (version !== undefined) this.#vault.update(kek, version, { expiresOn });
        return;
      }
      case 'extend':
        if (version !== undefined) this.#vault.update(kek, version, { expiresOn: null });
        return;
      case 'delete':
        this.#deleted.add(action.key);
        this.#vault.deleteKey(kek);
        return;
      case 'recover':
        this.#deleted.delete(action.key);
        this.#vault.recoverKey(kek);
        return;
      case 'refuse':
      case 'allow':
        this.#vault.setVault(kek.vault, { forbidden: action.do === 'refuse' ? action.how : null });
        return;
      case 'trouble':
      case 'heal':
        this.#vault.setVault(kek.vault, { outage: action.do === 'trouble' ? TROUBLES[action.how] : null });
        return;
    }
  }

  async settle(): Promise<void> {
    for (const action of faultsEnd) await this.perform(action);
    for (const worker of this.#workers) Object.assign(worker, { fault: 'none', trap: null });
    let quiet = 0;
    for (let round = 1; round <= MOST_ROUNDS; round += 1) {
      for (const action of roundOf(round)) await this.perform(action);
      quiet = (await this.#isQuiet()) ? quiet + 1 : 0;
      if (round >= LEAST_ROUNDS && quiet >= QUIET_ROUNDS) return;
    }
  }

  async #isQuiet(): Promise<boolean> {
    if (this.#messages.size > 0) return false;
    for await (const { versions } of this.#stores.keks.list({ vault: null }))
      if (versions.some(({ value }) => value.run !== null)) return false;
    return true;
  }

  /** What there is to be seen, and whether each DEK is the one that it was. */
  async view(): Promise<readonly View[]> {
    const views: View[] = [];
    for (const [number, { serverId, key }] of SERVERS.entries()) {
      const kek = KEKS[key] ?? STRANGER;
      const row = (await this.#stores.servers.read(kek, serverId))?.value;
      const stored = await this.#stores.keks.read(kek);
      if (row === undefined || stored === undefined) throw new Error(`no row of ${serverId}`);
      const { kekVersion, ciphertext } = row.wrapped;
      const bytes = this.#vault.lookInto(kek, kekVersion, ciphertext);
      const server = this.#server(number);
      const databases = ['app', 'postgres', 'template1'];
      views.push({
        serverId,
        hasDek: bytes?.subarray(0, DEK_BYTES).every((byte) => byte === number + 1) ?? false,
        version: this.#versions[key]?.indexOf(kekVersion) ?? -1,
        state: deriveServerState(row, findVersion(toSnapshot(stored), kekVersion)).state,
        desired: row.desired,
        applied: row.applied,
        reason: row.desiredReason,
        failure: row.failure?.reason ?? null,
        open: databases.filter((name) => server.takesConnections(name)),
        rewraps: row.sequence,
        history: (await this.#stores.servers.history(kek, serverId)).length,
        accessEpoch: row.accessEpoch,
        kekEpoch: stored.kek.value.epoch,
      });
    }
    return views;
  }

  async #work(): Promise<void> {
    for (let moved = true; moved; ) {
      moved = false;
      for (const worker of this.#workers) if (await this.#step(worker)) moved = true;
    }
  }

  async #step(worker: Worker): Promise<boolean> {
    if (worker.frozen) return false;
    const { instance } = worker;
    if (worker.running) {
      const { fault } = worker;
      worker.fault = 'none';
      this.now += 1;
      this.steps += 1;
      await instance.gate.letOn(fault);
    } else {
      const message = this.#messages.take(WORKERS[this.#workers.indexOf(worker)]);
      if (message === undefined) return false;
      Object.assign(worker, { message, running: true, failed: false, settled: false });
      deliver(instance, message)
        .catch(() => {
          if (worker.instance === instance) worker.failed = true;
        })
        .finally(() => {
          if (worker.instance === instance) worker.settled = true;
        });
      await instance.gate.quiet();
    }
    const place = instance.gate.next;
    if (worker.settled && place === null) this.#end(worker, worker.failed);
    else if (worker.trap !== null && worker.trap.place === place) this.#spring(worker, worker.trap);
    return true;
  }

  #spring(worker: Worker, { how }: Trap): void {
    worker.trap = null;
    if (how === 'crash') this.#crash(worker);
    else this.#freeze(worker);
  }

  #end(worker: Worker, failed: boolean): void {
    if (failed && !worker.overdue) this.#messages.putBack(worker.message);
    Object.assign(worker, { message: null, running: false, overdue: false });
  }

  /** What still waits at the gate of the process that is gone waits for ever. */
  #crash(worker: Worker): void {
    if (worker.running) this.#end(worker, true);
    worker.instance = this.#start();
    worker.frozen = false;
    worker.fault = 'none';
  }

  #freeze(worker: Worker): void {
    if (!worker.frozen && worker.running && !worker.overdue) {
      this.#messages.putBack(worker.message);
      worker.overdue = true;
    }
    worker.frozen = true;
  }

  #start(): Instance {
    const parts = { stores: this.#stores, vault: this.#vault, access: this.#postgres.port };
    return startInstance({ ...parts, messages: this.#messages, clock: this.#clock, gate: new Gate() });
  }

  async #change(index: number, database: string, open: boolean): Promise<void> {
    const server = this.#server(index);
    const isUp = await this.#postgres.port.inspect(server.access).then(
      () => true,
      () => false,
    );
    server.setReachable(true);
    const { desired, closedByUs } = await this.#postgres.port.inspect(server.access);
    if (desired !== 'revoked' || (open && closedByUs.includes(database)))
      server.allowConnections(database, open);
    server.setReachable(isUp);
  }

  #server(index: number): MemoryServer {
    const found = this.#servers.get(SERVERS[index]?.serverId ?? '');
    if (found === undefined) throw new Error(`no such server: ${index}`);
    return found;
  }

  #worker(index: number): Worker {
    const found = this.#workers[index];
    if (found === undefined) throw new Error(`no such worker: ${index}`);
    return found;
  }
}
