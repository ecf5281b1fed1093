// Rotations in waves under whatever happens: nobody is moved before its turn, and in the end everybody is on the target.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isAdmitted } from '../../shared/domain/decide-wave.ts';
import { isCmkError } from '../../shared/domain/errors.ts';
import type { KekPolicy, KekState } from '../../shared/domain/kek.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import { eventCause, KEK, makeWorld, type World } from '../fakes/world.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 20);
const RUN_MS = 60_000 + numRuns * 1000;
const SERVERS = 7;
const MOST_STEPS = 40;

const serverId = fc.integer({ min: 1, max: SERVERS + 1 }).map((number) => `s00${number}`);
const policy = fc.record<Partial<KekPolicy>>(
  {
    rewrapPaused: fc.boolean(),
    canaryServers: fc.uniqueArray(serverId, { maxLength: 3 }),
    waveServers: fc.option(fc.integer({ min: 1, max: 4 })),
    waveSoakSeconds: fc.constantFrom(0, 5, 40),
    haltAfterFailures: fc.option(fc.nat(2)),
    rewrapVerification: fc.constantFrom('sample', 'every'),
  },
  { requiredKeys: [] },
);

interface Step {
  readonly label: string;
  readonly act: (system: System) => void | Promise<void>;
  readonly [fc.toStringMethod]: () => string;
}
const step = (label: string, act: Step['act']): Step => ({ label, act, [fc.toStringMethod]: () => label });

const steps = fc.array(
  fc.oneof(
    fc.constant(step('rotate', (system) => system.rotate())),
    policy.map((change) =>
      step(`policy(${JSON.stringify(change)})`, (system) => system.changePolicy(change)),
    ),
    fc.constant(step('start', ({ world }) => ignore(world.app.startRewrap({ kek: KEK, by: 'anna' })))),
    serverId.map((id) => step(`spoil(${id})`, (system) => system.spoil(id))),
    serverId.map((id) => step(`repair(${id})`, (system) => system.repair(id))),
    fc
      .integer({ min: 1, max: 8 })
      .map((count) => step(`deliver(${count})`, (system) => system.deliver(count))),
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
      .constantFrom(1, 6, 45, 70)
      .map((seconds) => step(`wait(${seconds})`, ({ world }) => world.clock.advance(seconds))),
    fc.constant(step('sweep', ({ world }) => ignore(world.app.sweepFleet()))),
    fc.constant(step('crash', ({ world }) => world.queue.clear())),
    fc
      .tuple(
        fc.constantFrom('keks.commit' as const, 'servers.commit' as const, 'servers.hasServersOff' as const),
        fc.constantFrom('before' as const, 'after' as const),
      )
      .map(([operation, when]) =>
        step(`fail(${operation}, ${when})`, ({ world }) => world.stores.failNext(operation, when)),
      ),
  ),
  { maxLength: MOST_STEPS },
);

/** What a step may meet: a store that fails, a rotation that can't be started just now. */
async function ignore(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    expect(isCmkError(error) && ['StoreUnavailable', 'RotationNotPossible'].includes(error.code)).toBe(true);
  }
}

class System {
  readonly world: World;
  readonly deks = new Map<string, string>();
  newest: string;
  readonly #sound = new Map<string, string>();
  #versions = new Map<string, string>();
  #kek: KekState | null = null;

  private constructor(world: World, newest: string) {
    this.world = world;
    this.newest = newest;
    const instances = [world.app, world.startInstance()];
    let turn = 0;
    world.queue.handlers = {
      deliver: (one) => {
        turn += 1;
        return world.deliverTo(instances[turn % 2] ?? world.app, one);
      },
      poison: async () => {},
    };
    world.queue.afterDelivery = () => this.watch();
  }

  static async begin(): Promise<System> {
    const world = makeWorld();
    const version = world.vault.createVersion(KEK);
    await world.register(SERVERS, { access: { kind: 'none' } });
    await world.settle();
    const system = new System(world, version);
    for (const row of await world.rows()) system.deks.set(row.serverId, row.wrapped.dekId);
    await system.watch();
    return system;
  }

  /** Whoever was moved since the last look was admitted then, or is now. */
  async watch(): Promise<void> {
    const { kek, rows } = { kek: await this.world.kek(), rows: await this.world.rows() };
    for (const { serverId: id, wrapped } of rows) {
      const before = this.#versions.get(id);
      if (before !== undefined && before !== wrapped.kekVersion) {
        const states = [kek, this.#kek ?? kek];
        expect(
          states.some((one) => isAdmitted(id, one) && !one.policy.rewrapPaused),
          `${id} was moved before its turn`,
        ).toBe(true);
      }
      this.#versions.set(id, wrapped.kekVersion);
    }
    this.#kek = kek;
  }

  async rotate(): Promise<void> {
    this.world.clock.advance(1);
    this.newest = this.world.vault.createVersion(KEK);
    await ignore(this.world.hint(KEK, eventCause(this.newest)));
  }

  async changePolicy(change: Partial<KekPolicy>): Promise<void> {
    await ignore(this.world.app.changePolicy({ kek: KEK, change, by: 'anna', ifMatch: null }));
    await this.watch();
  }

  async deliver(count: number): Promise<void> {
    for (let delivery = 0; delivery < count; delivery += 1) await this.world.queue.step();
  }

  async spoil(id: string): Promise<void> {
    if (this.#sound.has(id) || !this.deks.has(id)) return;
    const { wrapped } = await this.world.row(id);
    await ignore(this.world.changeRow(id, { wrapped: { ...wrapped, ciphertext: 'AAAA' } }));
    if ((await this.world.row(id)).wrapped.ciphertext === 'AAAA') this.#sound.set(id, wrapped.ciphertext);
  }

  async repair(id: string): Promise<void> {
    const ciphertext = this.#sound.get(id);
    if (ciphertext === undefined) return;
    const { wrapped } = await this.world.row(id);
    await ignore(this.world.changeRow(id, { wrapped: { ...wrapped, ciphertext } }));
    if ((await this.world.row(id)).wrapped.ciphertext === ciphertext) this.#sound.delete(id);
  }

  /** An operator who sees to it that the rotation can end. */
  async end(): Promise<void> {
    const { world } = this;
    world.queue.fate = () => 'keep';
    world.queue.pick = () => 0;
    // Faults that nothing has met yet are met now.
    for (let tries = 0; tries < MOST_STEPS; tries += 1) {
      await ignore(world.changeKek({}));
      await ignore(world.changeRow('s001', {}));
      await ignore(world.stores.servers.hasServersOff(KEK, this.newest));
    }
    for (const id of [...this.#sound.keys()]) await this.repair(id);
    await this.changePolicy({ rewrapPaused: false });
    await world.queue.drain();
    await world.app.startRewrap({ kek: KEK, by: 'anna' });
    await world.runFor(2400);
  }
}

test(
  'I-03 I-08: nobody is moved before its turn, whatever happens, and in the end all are on the newest version',
  async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (made) => {
        const system = await System.begin();
        for (const { act } of made) await act(system);
        await system.end();
        const rows = await system.world.rows();
        expect(rows.map((row) => row.wrapped.kekVersion)).toEqual(rows.map(() => system.newest));
        for (const row of rows) {
          using dek = await unwrapDek(system.world.vault, KEK, row.serverId, row.wrapped);
          expect(dek.id).toBe(system.deks.get(row.serverId));
        }
        expect(['completed', 'idle']).toContain((await system.world.kek()).rotation.state);
      }),
      { numRuns },
    );
  },
  RUN_MS,
);
