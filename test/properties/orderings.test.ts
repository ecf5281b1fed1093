// Whatever order things come in. A customer does things to keys, the app is told of it late, twice, in the wrong order
// or not at all, and its messages fare no better: after one sweep everything is as the vault says, and nothing on the
// way was ever wrong. `FC_RUNS` sets the number of runs; fast-check prints the seed of one that fails.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KekId } from '../../shared/domain/key-id.ts';
import type { VersionAttributes } from '../../shared/domain/key-status.ts';
import type { KeyLossPolicy } from '../../shared/domain/server-spec.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import { httpFault } from '../fakes/key-vault.ts';
import { eventCause, makeWorld, type World } from '../fakes/world.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 10);
const RUN_MS = 60_000 + numRuns * 1000;

const KEKS: readonly KekId[] = [
  { vault: 'alpha.vault.azure.net', name: 'fleet' },
  { vault: 'beta.vault.azure.net', name: 'fleet' },
];
const POLICIES: readonly KeyLossPolicy[] = ['terminate', 'drain', 'denyNew', 'alertOnly'];
const HOUR = 3600;

/** What the customer has done to one key, in the plainest terms. */
interface KeyModel {
  readonly kek: KekId;
  readonly versions: {
    readonly id: string;
    enabled: boolean;
    expired: boolean;
    /** When the vault last would have unwrapped for us under it, and its dates allowed it. */
    usableAt: number;
  }[];
  deleted: boolean;
  /** Whether the app is refused, or gets no answer. */
  refused: boolean;
  outage: boolean;
}

interface Model {
  readonly keys: readonly KeyModel[];
}

/** The app, the customer's keys, and someone who watches every server at every step. */
class System {
  readonly world: World;
  readonly keys: readonly KeyModel[];
  readonly servers: {
    readonly id: string;
    readonly kek: KekId;
    readonly policy: KeyLossPolicy;
    readonly dek: string;
  }[] = [];
  readonly #closedAt = new Map<string, number>();
  readonly #instances: readonly ReturnType<World['startInstance']>[];

  private constructor(world: World) {
    this.world = world;
    this.keys = KEKS.map((kek) => ({ kek, versions: [], deleted: false, refused: false, outage: false }));
    this.#instances = [world.app, world.startInstance()];
    let turn = 0;
    world.queue.handlers = {
      deliver: (one) => {
        turn += 1;
        return world.deliverTo(this.#instances[turn % 2] ?? world.app, one);
      },
      poison: (one) => world.app.recordPoison(one),
    };
    world.queue.afterDelivery = () => this.watch();
  }

  static async begin(seed: number): Promise<System> {
    const world = makeWorld({ seed });
    const system = new System(world);
    for (const [index, key] of system.keys.entries()) {
      system.rotate(key);
      for (const policy of POLICIES) {
        const prefix = `k${index}-${policy.toLowerCase()}-`;
        await world.register(1, { kek: key.kek, keyLossPolicy: policy, prefix });
        const row = await world.row(`${prefix}001`, key.kek);
        system.servers.push({ id: row.serverId, kek: key.kek, policy, dek: row.wrapped.dekId });
      }
    }
    await world.settle();
    return system;
  }

  rotate(key: KeyModel): void {
    if (key.deleted) return;
    this.world.clock.advance(1);
    const id = this.world.vault.createVersion(key.kek);
    key.versions.push({ id, enabled: true, expired: false, usableAt: 0 });
    this.look();
  }

  update(key: KeyModel, index: number, change: { enabled?: boolean; expired?: boolean }): void {
    const version = key.versions[index % key.versions.length];
    if (version === undefined || key.deleted) return;
    Object.assign(version, change);
    const expiresOn = version.expired ? new Date(0) : null;
    const attributes: Partial<VersionAttributes> = { enabled: version.enabled, expiresOn };
    this.world.vault.update(key.kek, version.id, attributes);
    this.look();
  }

  setDeleted(key: KeyModel, deleted: boolean): void {
    key.deleted = deleted;
    if (deleted) this.world.vault.deleteKey(key.kek);
    else this.world.vault.recoverKey(key.kek);
    this.look();
  }

  setVault(key: KeyModel, change: { refused?: boolean; outage?: boolean }): void {
    Object.assign(key, change);
    this.world.vault.setVault(key.kek.vault, {
      forbidden: key.refused ? 'ForbiddenByRbac' : null,
      outage: key.outage ? httpFault(503, 'ServiceUnavailable') : null,
    });
    this.look();
  }

  isUsable(key: KeyModel, version: KeyModel['versions'][number]): boolean {
    return version.enabled && !version.expired && !key.deleted && !key.refused;
  }

  /** Notes which versions are usable now. */
  look(): void {
    const now = this.world.clock.now().getTime();
    for (const key of this.keys)
      for (const version of key.versions) if (this.isUsable(key, version)) version.usableAt = now;
  }

  /**
   * A server that was closed is open again only if the version that its wrapping names, or the one that it is moved
   * to, was usable at some time since it was closed, and the app has not written down that it is lost.
   */
  async watch(): Promise<void> {
    this.look();
    for (const { id, kek, dek } of this.servers) {
      const row = await this.world.row(id, kek);
      expect(row.wrapped.dekId, `the DEK of ${id}`).toBe(dek);
      const closedAt = this.#closedAt.get(id);
      if (!this.world.isOpen(id)) {
        if (closedAt === undefined) this.#closedAt.set(id, this.world.clock.now().getTime());
        continue;
      }
      if (closedAt === undefined) continue;
      this.#closedAt.delete(id);
      const versions = this.keys.find((one) => one.kek === kek)?.versions ?? [];
      const own = versions.findIndex((one) => one.id === row.wrapped.kekVersion);
      // A server under an expired version comes back as soon as a newer one works: it is on its way there.
      const ways = row.desiredReason === 'KeyExpired' ? versions.slice(own) : versions.slice(own, own + 1);
      const usableAt = Math.max(...ways.map((one) => one.usableAt));
      expect(usableAt, `${id} was reopened under a key that was not usable`).toBeGreaterThanOrEqual(closedAt);
      expect(row.desired, `${id} was reopened though its row says revoked`).toBe('granted');
    }
  }

  async advance(seconds: number): Promise<void> {
    this.look();
    this.world.clock.advance(seconds);
    this.look();
  }

  /** What anybody sees of the servers: where the wrapping is, whether it is open, and why. */
  async view(): Promise<unknown> {
    const rows = await Promise.all(
      this.servers.map(async ({ id, kek }) => {
        const { wrapped, desired, desiredReason, applied } = await this.world.row(id, kek);
        const version = this.keys
          .flatMap(({ versions }) => versions)
          .findIndex((one) => one.id === wrapped.kekVersion);
        return [id, { version, desired, desiredReason, applied, open: this.world.isOpen(id) }];
      }),
    );
    return Object.fromEntries(rows);
  }

  /** One sweep and until nothing is left to do, drains included. */
  async sweepUntilQuiet(): Promise<void> {
    this.world.queue.fate = () => 'keep';
    this.world.queue.pick = () => 0;
    this.look();
    await this.world.runFor(600);
    this.look();
  }

  /** Everything is as the vault says. Call when nothing is out or refused, and all is quiet. */
  async expectSettled(): Promise<void> {
    for (const { id, kek, policy, dek } of this.servers) {
      const row = await this.world.row(id, kek);
      const key = this.keys.find((one) => one.kek === kek);
      const version = key?.versions.find((one) => one.id === row.wrapped.kekVersion);
      if (key === undefined || version === undefined) throw new Error('not in the model');
      const open = policy === 'alertOnly' || this.isUsable(key, version);
      expect(this.world.isOpen(id), `${id} is open`).toBe(open);
      expect(row).toMatchObject({
        desired: open ? 'granted' : 'revoked',
        applied: row.desired,
        failure: null,
      });
      if (!version.enabled || key.deleted) continue;
      using found = await unwrapDek(this.world.vault, kek, id, row.wrapped);
      expect(found.id).toBe(dek);
    }
  }

  /** Gives back whatever the customer took away: then every server must be open again, under its own DEK. */
  async giveEverythingBack(): Promise<void> {
    for (const key of this.keys) {
      if (key.deleted) this.setDeleted(key, false);
      for (const index of key.versions.keys()) this.update(key, index, { enabled: true, expired: false });
      this.setVault(key, { refused: false, outage: false });
    }
    await this.sweepUntilQuiet();
    await this.expectSettled();
    for (const { id } of this.servers) expect(this.world.isOpen(id), `${id} came back`).toBe(true);
    for (const { kek, versions } of this.keys) {
      const newest = versions.at(-1)?.id;
      for (const row of await this.world.rows(kek)) expect(row.wrapped.kekVersion).toBe(newest);
    }
  }
}

// What the customer does.

type Act = (system: System) => void | Promise<void>;
interface Step {
  readonly label: string;
  readonly act: Act;
  readonly [fc.toStringMethod]: () => string;
}
const step = (label: string, act: Act): Step => ({ label, act, [fc.toStringMethod]: () => label });

const keyIndex = fc.nat(KEKS.length - 1);
const versionIndex = fc.nat(3);
const onKey = (
  label: string,
  act: (system: System, key: KeyModel, version: number) => void,
): fc.Arbitrary<Step> =>
  fc.tuple(keyIndex, versionIndex).map(([index, version]) =>
    step(`${label}(k${index}, v${version})`, (system) => {
      const key = system.keys[index];
      if (key !== undefined) act(system, key, version);
    }),
  );

const changes = [
  onKey('rotate', (system, key) => system.rotate(key)),
  onKey('disable', (system, key, version) => system.update(key, version, { enabled: false })),
  onKey('enable', (system, key, version) => system.update(key, version, { enabled: true })),
  onKey('expire', (system, key, version) => system.update(key, version, { expired: true })),
  onKey('extend', (system, key, version) => system.update(key, version, { expired: false })),
  onKey('delete', (system, key) => system.setDeleted(key, true)),
  onKey('recover', (system, key) => system.setDeleted(key, false)),
];
const troubles = [
  onKey('refuse', (system, key) => system.setVault(key, { refused: true })),
  onKey('allow', (system, key) => system.setVault(key, { refused: false })),
  onKey('outage', (system, key) => system.setVault(key, { outage: true })),
  onKey('heal', (system, key) => system.setVault(key, { outage: false })),
];

/** Nothing at all, now and then, or badly: what becomes of hints and messages. */
const mischief = fc.record({
  fates: fc.array(fc.constantFrom('keep', 'keep', 'keep', 'drop', 'duplicate'), {
    minLength: 1,
    maxLength: 20,
  }),
  picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 20 }),
  hints: fc.array(fc.nat(2), { minLength: 1, maxLength: 10 }),
});
type Mischief = typeof mischief extends fc.Arbitrary<infer T> ? T : never;

const cycle = <T>(items: readonly T[], fallback: T): (() => T) => {
  let index = 0;
  return () => items[index++ % items.length] ?? fallback;
};

/** Runs the steps, each followed by hints and some of the work; with mischief, or in an orderly way. */
async function run(system: System, steps: readonly Step[], wild: Mischief | null): Promise<void> {
  const { queue } = system.world;
  const fate = cycle(wild?.fates ?? ['keep'], 'keep');
  const pick = cycle(wild?.picks ?? [0], 0);
  const hints = cycle(wild?.hints ?? [1], 1);
  queue.fate = fate as typeof queue.fate;
  queue.pick = (count) => pick() % count;
  for (const [number, { act }] of steps.entries()) {
    await act(system);
    for (const { kek } of system.keys)
      for (let hint = hints(); hint > 0; hint -= 1) await system.world.hint(kek, eventCause(`${number}`));
    if (wild === null) await queue.drainFor(5);
    else for (let delivery = hints() * 2; delivery > 0; delivery -= 1) await queue.step();
    await system.advance(wild === null ? 0 : pick() % 7);
  }
}

const heal = (system: System): void => {
  for (const key of system.keys) system.setVault(key, { refused: false, outage: false });
};

describe('orderings', () => {
  test(
    'I-01 I-08: duplicated, reordered or lost hints and messages, and one sweep: the same state as in order',
    async () => {
      const steps = fc.array(fc.oneof(...changes), { minLength: 1, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(steps, mischief, async (made, wild) => {
          const [orderly, wildly] = [await System.begin(1), await System.begin(1)];
          await run(orderly, made, null);
          await orderly.sweepUntilQuiet();
          await orderly.expectSettled();
          await run(wildly, made, wild);
          await wildly.sweepUntilQuiet();
          await wildly.expectSettled();
          // Which version a server was moved to before the rest was lost depends on when; the end must not.
          await orderly.giveEverythingBack();
          await wildly.giveEverythingBack();
          expect(await wildly.view()).toEqual(await orderly.view());
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );

  test(
    'without a rotation the state after the sweep is the very same, before anything is given back',
    async () => {
      const steps = fc.array(fc.oneof(...changes.slice(1)), { minLength: 1, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(steps, mischief, async (made, wild) => {
          const [orderly, wildly] = [await System.begin(1), await System.begin(1)];
          await run(orderly, made, null);
          await orderly.sweepUntilQuiet();
          await run(wildly, made, wild);
          await wildly.sweepUntilQuiet();
          expect(await wildly.view()).toEqual(await orderly.view());
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );

  test(
    'I-02: outages turn no server away, however they come and go',
    async () => {
      const steps = fc.array(
        fc.oneof(
          ...troubles.slice(2),
          onKey('rotate', (system, key) => system.rotate(key)),
        ),
        { minLength: 1, maxLength: 12 },
      );
      await fc.assert(
        fc.asyncProperty(steps, mischief, fc.integer({ min: 0, max: 30 }), async (made, wild, hours) => {
          const system = await System.begin(1);
          await run(system, made, wild);
          await system.advance(hours * HOUR);
          await system.world.runFor(120);
          for (const { id, kek } of system.servers) {
            expect(system.world.isOpen(id)).toBe(true);
            expect((await system.world.row(id, kek)).desired).toBe('granted');
          }
          expect(system.world.postgres.orders.filter(({ kind }) => kind === 'revoke')).toEqual([]);
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );

  test(
    'reconcile is idempotent: looking again at a vault that stands still changes no row',
    async () => {
      const steps = fc.array(fc.oneof(...changes), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(steps, async (made) => {
          const system = await System.begin(1);
          const { world } = system;
          await run(system, made, null);
          await system.sweepUntilQuiet();
          const rowsOf = () => Promise.all(KEKS.map((kek) => world.rows(kek)));
          const keksOf = () =>
            Promise.all(KEKS.map(async (kek) => ({ ...(await world.kek(kek)), observedFrom: null })));
          const before = [await rowsOf(), await keksOf()];
          const sent = world.queue.sent.length;
          for (const kek of KEKS)
            await world.app.reconcileKek({ kek, cause: { kind: 'followUp', of: 'again' } }, null);
          expect([await rowsOf(), await keksOf()]).toEqual(before);
          expect(world.queue.sent.length).toBe(sent);
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );
});

// The same, with commands and a model, everything at once: changes, troubles, timers, single deliveries, loss.

class Do implements fc.AsyncCommand<Model, System> {
  readonly #step: Step;
  constructor(step: Step) {
    this.#step = step;
  }
  check(): boolean {
    return true;
  }
  async run(_: Model, system: System): Promise<void> {
    await this.#step.act(system);
    await system.watch();
  }
  toString(): string {
    return this.#step.label;
  }
}

const working = [
  fc.integer({ min: 1, max: 8 }).map((count) =>
    step(`deliver(${count})`, async ({ world }) => {
      for (let delivery = 0; delivery < count; delivery += 1) await world.queue.step();
    }),
  ),
  fc.nat(50).map((index) =>
    step(`pick(${index})`, ({ world }) => {
      world.queue.pick = (count) => index % count;
    }),
  ),
  fc.constantFrom('keep' as const, 'duplicate' as const, 'drop' as const).map((fate) =>
    step(`messages(${fate})`, ({ world }) => {
      world.queue.fate = () => fate;
    }),
  ),
  fc
    .constantFrom(1, 3, 10, 30, 70, 400)
    .map((seconds) => step(`wait(${seconds})`, (system) => system.advance(seconds))),
  fc.constant(step('probe', ({ world }) => world.app.probes.probeAll())),
  fc.constant(step('sweep', ({ world }) => world.app.sweepFleet())),
  fc.constant(step('crash', ({ world }) => world.queue.clear())),
  fc
    .constantFrom('keks.commit' as const, 'servers.commit' as const, 'servers.page' as const)
    .chain((operation) =>
      fc
        .constantFrom('before' as const, 'after' as const)
        .map((when) =>
          step(`fail(${operation}, ${when})`, ({ world }) => world.stores.failNext(operation, when)),
        ),
    ),
  onKey('hint', (system, key) => void system.world.hint(key.kek)),
];

describe('any sequence of events', () => {
  test(
    'I-03 I-05 I-11: no DEK is lost, nothing is reopened under an unusable key, and it all comes to rest',
    async () => {
      const commands = fc.commands(
        [...changes, ...troubles, ...working, ...working].map((one) => one.map((made) => new Do(made))),
        { maxCommands: 60 },
      );
      await fc.assert(
        fc.asyncProperty(commands, async (made) => {
          const system = await System.begin(1);
          await fc.asyncModelRun(() => ({ model: { keys: system.keys }, real: system }), made);
          // Faults that nothing has met yet are met now.
          system.world.queue.fate = () => 'keep';
          heal(system);
          await ignoreFaults(() => system.world.runFor(120));
          await ignoreFaults(() => system.world.runFor(120));
          await system.world.runFor(600);
          await system.sweepUntilQuiet();
          await system.expectSettled();
          await system.giveEverythingBack();
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );
});

async function ignoreFaults(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    expect(error).toMatchObject({ code: 'StoreUnavailable' });
  }
}

describe('two workers at once', () => {
  test(
    'I-10 I-11: however the steps of two processes interleave, one state comes of it, and no DEK is lost',
    async () => {
      const kek = KEKS[0];
      if (kek === undefined) throw new Error('no key');
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), fc.boolean(), async (scheduler, rotates) => {
          let interleaves = false;
          const world = makeWorld({
            pause: () => (interleaves ? scheduler.schedule(Promise.resolve()) : Promise.resolve()),
          });
          const first = world.vault.createVersion(kek);
          await world.register(3, { kek });
          await world.settle();
          const deks = (await world.rows(kek)).map((row) => row.wrapped.dekId);
          world.clock.advance(60);
          if (rotates) world.vault.createVersion(kek);
          world.vault.update(kek, first, rotates ? { expiresOn: new Date(0) } : { enabled: false });

          const workers = [world.startInstance(), world.startInstance()];
          interleaves = true;
          const message = { kek, cause: { kind: 'followUp', of: 'test' } } as const;
          await scheduler.waitFor(Promise.all(workers.map((worker) => worker.reconcileKek(message, null))));
          const work: Promise<void>[] = [];
          for (let one = world.queue.take(); one !== undefined; one = world.queue.take())
            for (const worker of workers) work.push(world.deliverTo(worker, one));
          await scheduler.waitFor(Promise.all(work));
          interleaves = false;
          await world.queue.drainFor(60);

          const rows = await world.rows(kek);
          expect(rows.map((row) => row.wrapped.dekId)).toEqual(deks);
          for (const row of rows) {
            using dek = rotates ? await unwrapDek(world.vault, kek, row.serverId, row.wrapped) : null;
            expect(dek === null || dek.id === row.wrapped.dekId).toBe(true);
            expect(world.isOpen(row.serverId)).toBe(rotates);
            expect(row).toMatchObject(
              rotates
                ? { sequence: 1, desired: 'granted' }
                : { sequence: 0, desired: 'revoked', applied: 'revoked' },
            );
            expect(await world.history(row.serverId, kek)).toHaveLength(rotates ? 1 : 0);
          }
        }),
        { numRuns },
      );
    },
    RUN_MS,
  );
});
