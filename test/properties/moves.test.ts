// Moves in any interleaving: with each other, with being undone, with a rotation, a lost key and dying instances. Nobody
// loses a DEK, and whatever happens, one row answers in the end. `FC_RUNS` sets the number of runs.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isCmkError } from '../../shared/domain/errors.ts';
import { type KekId, keyUrl } from '../../shared/domain/key-id.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import { storeUnavailable } from '../fakes/memory-tables.ts';
import { KEK, makeWorld } from '../fakes/world.ts';

const NEW: KekId = { vault: 'beta.vault.azure.net', name: 'customer' };
const THIRD: KekId = { vault: 'gamma.vault.azure.net', name: 'customer' };
const KEKS = [KEK, NEW, THIRD];
const numRuns = Number(process.env['FC_RUNS'] ?? 30);

type Deed =
  | { readonly kind: 'move'; readonly to: number; readonly diesAfter: number }
  | { readonly kind: 'finish' | 'rotate' | 'access' | 'loseKey' | 'hold' };

const deed: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('move' as const), to: fc.nat(2), diesAfter: fc.nat(6) }),
  },
  fc.record({ kind: fc.constantFrom('finish', 'rotate', 'access', 'loseKey', 'hold') }),
);

test(
  'a move never loses a DEK, and one row answers in the end',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(deed, { minLength: 1, maxLength: 4 }),
        async (scheduler, deeds) => {
          let interleaves = false;
          const world = makeWorld({
            pause: () => (interleaves ? scheduler.schedule(Promise.resolve()) : Promise.resolve()),
          });
          const first = await world.begin(1);
          world.vault.createVersion(NEW);
          world.vault.createVersion(THIRD);
          await world.register(1, { prefix: 'n', kek: NEW });
          await world.settle();
          const { dekId } = (await world.row('s001')).wrapped;
          const rows = async () => {
            const found = await Promise.all(KEKS.map((kek) => world.stores.servers.read(kek, 's001')));
            return found.flatMap((stored) => (stored === undefined ? [] : [stored.value]));
          };
          const answering = async () => {
            const owner = await world.stores.index.find('s001');
            return world.row('s001', owner?.value ?? KEK);
          };

          const perform = async (one: Deed): Promise<void> => {
            const instance = world.startInstance();
            switch (one.kind) {
              case 'move': {
                const to = KEKS[one.to] ?? KEK;
                let left = one.diesAfter;
                // Whoever is about to point the index, or to remove a row, goes no further.
                const stop = world.stores.onBeforeCommit((operation, where) => {
                  if (where !== 's001' && operation !== 'servers.remove') return;
                  left -= 1;
                  if (left < 0) {
                    stop();
                    throw storeUnavailable(operation);
                  }
                });
                await instance.moveServer({ serverId: 's001', keyId: keyUrl(to), by: 'anna', ifMatch: null });
                return stop() as undefined;
              }
              case 'finish':
                world.clock.advance(300);
                for (const row of await rows()) await instance.finishMove(row);
                return;
              case 'rotate':
                world.vault.createVersion(KEK);
                await instance.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
                await instance.rewrapDeks(await world.rangeOf());
                return;
              case 'access':
                await instance.applyServerAccess(await world.rangeOf());
                return;
              case 'loseKey':
                world.vault.update(KEK, first, { enabled: false });
                await instance.reconcileKek({ kek: KEK, cause: { kind: 'followUp', of: 'test' } }, null);
                await instance.applyServerAccess(await world.rangeOf());
                return;
              case 'hold': {
                const row = await answering();
                await instance.holdServer({
                  serverId: row.serverId,
                  reason: 'breach',
                  by: 'bert',
                  ifMatch: null,
                });
              }
            }
          };

          interleaves = true;
          const tried = deeds.map((one) =>
            perform(one).then(
              () => true,
              (error) => {
                // Refusals and lost connections; anything else is a fault of ours.
                if (!isCmkError(error)) throw error;
                return false;
              },
            ),
          );
          const outcomes = await scheduler.waitFor(Promise.all(tried));
          interleaves = false;
          const isHeld = deeds.some(({ kind }, index) => kind === 'hold' && outcomes[index] === true);

          // The customer puts the key right; then sweeps do the rest.
          world.vault.update(KEK, first, { enabled: true });
          for (let n = 0; n < 3; n += 1) {
            world.clock.advance(300);
            await world.settle();
          }
          const row = await answering();
          expect(await rows()).toEqual([row]);
          expect(row).toMatchObject({ incoming: false, moving: null });
          using dek = await unwrapDek(world.vault, row.kek, 's001', row.wrapped);
          expect(dek.id).toBe(dekId);
          const histories = await Promise.all(KEKS.map((kek) => world.history('s001', kek)));
          const sequences = histories.flat().map(({ sequence }) => sequence);
          expect(sequences.toSorted((a, b) => a - b)).toEqual(
            Array.from({ length: row.sequence }, (_, n) => n),
          );
          expect(row.hold !== null).toBe(isHeld);
          expect(world.isOpen('s001')).toBe(!isHeld);
        },
      ),
      { numRuns },
    );
  },
  60_000 + numRuns * 100,
);
