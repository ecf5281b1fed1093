// The state machine: keys, tables, queues, servers, and eight workers whose programs stop before every step. Whatever
// happens is an action; the same actions give the same run.
import type { ServerRow } from '../../shared/domain/server.ts';
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
import { begin } from './beginning.ts';
import type { Fault, Program, Trap } from './io.ts';
import { type Message, Messages } from './messages.ts';
import { Postgres } from './postgres.ts';
import { programOf } from './programs.ts';
import { isExpected } from './rewrap.ts';
import { EVENT, KEKS, type Process, SERVERS, STRANGER } from './site.ts';
import { Storage } from './storage.ts';
import { Vault } from './vault.ts';

/** Faults of the machine's own, planted to see whether a property finds them. */
export interface Plants {
  readonly ignoresTags?: boolean;
  readonly takes503AsDisabled?: boolean;
  readonly forgetsClosed?: boolean;
}

interface Worker {
  process: Process;
  message: Message | null;
  program: Program<void> | null;
  frozen: boolean;
  /** Its message has become visible again meanwhile: it isn't this worker's to take away. */
  overdue: boolean;
  fault: Fault;
  trap: Trap | null;
}

const RUNAWAY = 20_000;

export class Machine {
  now = Date.parse('2030-01-01T00:00:00Z');
  /** Steps of workers so far. */
  steps = 0;
  readonly storage: Storage;
  readonly vault: Vault;
  readonly postgres: ReadonlyMap<string, Postgres>;
  /** Called after each. */
  onStep: (() => void) | null = null;
  readonly #workers: readonly Worker[];
  readonly #messages = new Messages(() => this.now);

  constructor({ ignoresTags = false, takes503AsDisabled = false, forgetsClosed = false }: Plants = {}) {
    this.storage = new Storage(ignoresTags);
    this.vault = new Vault(KEKS, () => this.now, takes503AsDisabled);
    this.postgres = new Map(SERVERS.map(({ serverId }) => [serverId, new Postgres(forgetsClosed)]));
    begin(this.storage, this.vault, new Date(this.now));
    this.#workers = WORKERS.map(() => ({
      process: this.#start(),
      message: null,
      program: null,
      frozen: false,
      overdue: false,
      fault: 'none',
      trap: null,
    }));
  }

  rows(): readonly ServerRow[] {
    return KEKS.flatMap((kek) => this.storage.pageServers(kek, '', '~').map(({ value }) => value));
  }

  perform(action: Action): void {
    switch (action.do) {
      case 'rotate':
        this.now += 1000;
        this.vault.rotate(action.key);
        return;
      case 'enable':
      case 'disable':
        this.vault.update(action.key, action.version, { enabled: action.do === 'enable' });
        return;
      case 'expire':
        this.vault.update(action.key, action.version, { expiresOn: new Date(0) });
        return;
      case 'expire in a minute':
        this.vault.update(action.key, action.version, { expiresOn: new Date(this.now + 60_000) });
        return;
      case 'extend':
        this.vault.update(action.key, action.version, { expiresOn: null });
        return;
      case 'delete':
      case 'recover':
        this.vault.key(action.key).deleted = action.do === 'delete';
        return;
      case 'refuse':
        this.vault.key(action.key).refusal = action.how;
        return;
      case 'allow':
        this.vault.key(action.key).refusal = null;
        return;
      case 'trouble':
        this.vault.key(action.key).trouble = action.how;
        return;
      case 'heal':
        this.vault.key(action.key).trouble = null;
        return;
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
        this.#server(action.server).up = action.do === 'start server';
        return;
      case 'close':
      case 'open':
        this.#change(action.server, action.database, action.do === 'open');
        return;
      case 'lose':
      case 'duplicate':
      case 'delay':
      case 'prefer':
        this.#messages.meddle(action.do, action.position);
        return;
      case 'step':
        for (let left = action.steps; left > 0; left -= 1) this.#step(this.#worker(action.worker));
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
        this.#work();
        return;
      case 'go on':
        for (const one of goingOn) this.perform(one);
        return;
      case 'wait':
        this.now += action.seconds * 1000;
        return;
    }
  }

  /** Faults stop, and everything runs on until there is nothing left to do. */
  settle(): void {
    for (const action of faultsEnd) this.perform(action);
    for (const worker of this.#workers) Object.assign(worker, { fault: 'none', trap: null });
    let quiet = 0;
    for (let round = 1; round <= MOST_ROUNDS; round += 1) {
      for (const action of roundOf(round)) this.perform(action);
      quiet = this.#isQuiet() ? quiet + 1 : 0;
      if (round >= LEAST_ROUNDS && quiet >= QUIET_ROUNDS) return;
    }
  }

  #isQuiet(): boolean {
    if (this.#messages.size > 0) return false;
    return this.storage.listKeks().every(({ versions }) => versions.every(({ value }) => value.run === null));
  }

  #work(): void {
    for (let left = RUNAWAY; left > 0; left -= 1) {
      let moved = false;
      for (const worker of this.#workers) if (this.#step(worker)) moved = true;
      if (!moved) return;
    }
    throw new Error('the queues never run dry');
  }

  /** One step of a worker; whether there was one. */
  #step(worker: Worker): boolean {
    if (worker.frozen) return false;
    if (worker.program === null) {
      const message = this.#messages.take(WORKERS[this.#workers.indexOf(worker)]);
      if (message === undefined) return false;
      worker.message = message;
      worker.program = programOf(worker.process, message);
      this.#resume(worker, 'none');
      return true;
    }
    const { fault } = worker;
    worker.fault = 'none';
    this.now += 1;
    this.steps += 1;
    this.#resume(worker, fault);
    this.onStep?.();
    return true;
  }

  #resume(worker: Worker, fault: Fault): void {
    try {
      const next = worker.program?.next(fault);
      if (next?.done === true) this.#end(worker, false);
      else if (worker.trap !== null && worker.trap.place === next?.value) this.#spring(worker, worker.trap);
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#end(worker, true);
    }
  }

  #spring(worker: Worker, { how }: Trap): void {
    worker.trap = null;
    if (how === 'crash') this.#crash(worker);
    else this.#freeze(worker);
  }

  #end(worker: Worker, failed: boolean): void {
    if (failed && !worker.overdue) this.#messages.putBack(worker.message);
    worker.program = null;
    worker.message = null;
    worker.overdue = false;
  }

  /** What it was about to do is never done, and nothing of it is remembered. */
  #crash(worker: Worker): void {
    if (worker.program !== null) this.#end(worker, true);
    worker.process = this.#start();
    worker.frozen = false;
    worker.fault = 'none';
  }

  #freeze(worker: Worker): void {
    if (!worker.frozen && worker.program !== null && !worker.overdue) {
      this.#messages.putBack(worker.message);
      worker.overdue = true;
    }
    worker.frozen = true;
  }

  #start(): Process {
    const { storage, vault, postgres } = this;
    return {
      storage,
      vault,
      postgres,
      now: () => new Date(this.now),
      enqueue: (payload, delaySeconds) => this.#messages.put(payload, delaySeconds),
      goodAt: new Map(),
    };
  }

  /** As a DBA does it; a server that is revoked at the time is left alone, but for opening what we have closed. */
  #change(server: number, database: string, open: boolean): void {
    const { record, ...found } = this.#server(server);
    if (record?.desired === 'revoked' && !(open && found.closedByUs.has(database))) return;
    if (open) found.open.add(database);
    else found.open.delete(database);
  }

  #server(index: number): Postgres {
    const found = this.postgres.get(SERVERS[index]?.serverId ?? '');
    if (found === undefined) throw new Error(`no such server: ${index}`);
    return found;
  }

  #worker(index: number): Worker {
    const found = this.#workers[index];
    if (found === undefined) throw new Error(`no such worker: ${index}`);
    return found;
  }
}
