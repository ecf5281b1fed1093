// Where a real operation stops before every step to the outside, as a program of the model does, until it is let on;
// and the ports of the operations with such a stop in front of every call.
import { setImmediate } from 'node:timers/promises';
import { CmkError } from '../../shared/domain/errors.ts';
import type { BreakerStore, KekStore, StoredKek } from '../../shared/ports/kek-store.ts';
import type { KeyVault } from '../../shared/ports/key-vault.ts';
import type { ServerAccess } from '../../shared/ports/server-access.ts';
import type { ServerStore } from '../../shared/ports/server-store.ts';
import type { WorkQueue } from '../../shared/ports/work-queue.ts';
import type { Fault, Place } from './io.ts';
import { conflict, unavailable } from './io.ts';
import type { Messages } from './messages.ts';
import { timedOut } from './site.ts';

export class Gate {
  readonly #waiting: { readonly place: Place; readonly go: (fault: Fault) => void }[] = [];
  #passing: Promise<unknown> = Promise.resolve();

  /** The step that is next; null: nobody waits. */
  get next(): Place | null {
    return this.#waiting[0]?.place ?? null;
  }

  /** Whoever came first goes on, and comes to where it stops next. */
  async letOn(fault: Fault): Promise<void> {
    this.#waiting.shift()?.go(fault);
    await this.quiet();
  }

  async quiet(): Promise<void> {
    await setImmediate();
    await this.#passing;
    await setImmediate();
  }

  /** A step: `lost` is what comes of one that has no answer. */
  async pass<T>(place: Place, act: () => Promise<T>, lost: () => T): Promise<T> {
    const fault = await new Promise<Fault>((go) => this.#waiting.push({ place, go }));
    if (fault === 'before') return lost();
    if (fault === 'conflict' && place === 'store.write') throw conflict();
    const acting = act();
    this.#passing = acting.catch(() => undefined);
    const result = await acting;
    return fault === 'after' ? lost() : result;
  }
}

const noAnswer = (): never => {
  throw unavailable();
};

export function gateKeks(gate: Gate, keks: KekStore & BreakerStore): KekStore & BreakerStore {
  return {
    read: (kek) => gate.pass('store.read', () => keks.read(kek), noAnswer),
    async *list(filter) {
      const read = async (): Promise<readonly StoredKek[]> => {
        const all: StoredKek[] = [];
        for await (const one of keks.list(filter)) all.push(one);
        return all;
      };
      yield* await gate.pass('store.read', read, noAnswer);
    },
    commit: (kek, change) => gate.pass('store.write', () => keks.commit(kek, change), noAnswer),
    readBreaker: () => gate.pass('store.read', () => keks.readBreaker(), noAnswer),
    writeBreaker: (write) => gate.pass('store.write', () => keks.writeBreaker(write), noAnswer),
  };
}

export function gateServers(gate: Gate, servers: ServerStore): ServerStore {
  return {
    ...servers,
    read: (kek, serverId) => gate.pass('store.read', () => servers.read(kek, serverId), noAnswer),
    page: (kek, query) => gate.pass('store.read', () => servers.page(kek, query), noAnswer),
    hasServersOff: (...query) => gate.pass('store.read', () => servers.hasServersOff(...query), noAnswer),
    commit: (...change) => gate.pass('store.write', () => servers.commit(...change), noAnswer),
  };
}

export function gateVault(gate: Gate, vault: KeyVault): KeyVault {
  const lost = () => ({ ok: false, fault: timedOut, vaultNow: null }) as const;
  return {
    describe: (kek) => gate.pass('vault', () => vault.describe(kek), lost),
    describeVersion: (kek, version) => gate.pass('vault', () => vault.describeVersion(kek, version), lost),
    askDeleted: (kek) =>
      gate.pass(
        'vault',
        () => vault.askDeleted(kek),
        () => 'unsaid',
      ),
    unwrap: (...asked) => gate.pass('vault', () => vault.unwrap(...asked), lost),
  };
}

export function gateAccess(gate: Gate, access: ServerAccess): ServerAccess {
  const lost = (): never => {
    throw new CmkError('ServerUnreachable', 'no connection', { remedy: 'Wait.', retryable: true });
  };
  return {
    inspect: (spec) => access.inspect(spec),
    revoke: (spec, order) => gate.pass('postgres', () => access.revoke(spec, order), lost),
    restore: (spec, order) => gate.pass('postgres', () => access.restore(spec, order), lost),
  };
}

export function gateQueue(gate: Gate, messages: Messages): WorkQueue {
  const put = (act: () => void) => gate.pass('queue', async () => act(), noAnswer);
  return {
    enqueueReconcile: (message, delay) => put(() => messages.put({ queue: 'reconcile', message }, delay)),
    enqueueRewrap: (ones, delay) =>
      put(() => {
        for (const message of ones) messages.put({ queue: 'rewrap', message }, delay);
      }),
    enqueueAccess: (ones, delay) =>
      put(() => {
        for (const message of ones) messages.put({ queue: 'access', message }, delay);
      }),
    enqueueProbe: () => Promise.reject(new Error('so many keys there are not')),
  };
}
