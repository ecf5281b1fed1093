import { describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { type KekId, kekKey } from '../../../shared/domain/key-id.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const other: KekId = { vault: 'beta.vault.azure.net', name: 'fleet' };
const third: KekId = { vault: 'beta.vault.azure.net', name: 'ledger' };

async function begin() {
  const world = makeWorld();
  const version = await world.begin(1);
  for (const kek of [other, third]) {
    world.vault.createVersion(kek);
    await world.register(1, { kek, prefix: `${kek.vault.split('.')[0]}-${kek.name}` });
  }
  return { world, version };
}

describe('listKeks', () => {
  test('pages through all keys in order, each once', async () => {
    const { world } = await begin();
    const seen: string[] = [];
    let from: KekId | null = null;
    do {
      const page = await world.app.listKeks({ vault: null, from, limit: 1 });
      expect(page.keks).toHaveLength(1);
      seen.push(...page.keks.map(({ stored }) => kekKey(stored.kek.value.kek)));
      from = page.next;
    } while (from !== null);
    expect(seen).toEqual([kekKey(KEK), kekKey(other), kekKey(third)]);
  });

  test('lists one vault alone, and a full page that is the last says so', async () => {
    const { world } = await begin();
    const page = await world.app.listKeks({ vault: other.vault, from: null, limit: 2 });
    expect(page.keks.map(({ stored }) => stored.kek.value.kek)).toEqual([other, third]);
    expect(page.next).toBeNull();
    expect((await world.app.listKeks({ vault: 'gamma.vault.azure.net', from: null, limit: 2 })).keks).toEqual(
      [],
    );
  });
});

describe('readKek', () => {
  test('says what the newest export depends on of this key', async () => {
    const { world, version } = await begin();
    expect((await world.app.readKek(KEK)).newestExport).toBeNull();
    const exportedAt = world.clock.now();
    world.exports.current = { exportedAt, versions: { [kekKey(KEK)]: [version] } };
    expect((await world.app.readKek(KEK)).newestExport).toEqual({ exportedAt, versions: [version] });
    expect((await world.app.readKek(other)).newestExport).toEqual({ exportedAt, versions: [] });
  });

  test('shows a key also while the exports can’t be asked about', async () => {
    const { world } = await begin();
    world.exports.failNext(new CmkError('InvalidRow', 'no manifest', { remedy: 'look' }));
    const { stored, newestExport } = await world.app.readKek(KEK);
    expect(stored.kek.value.kek).toEqual(KEK);
    expect(newestExport).toBeNull();
    expect(world.log.lines.some(({ message }) => message.includes('export is not shown'))).toBe(true);
  });

  test('refuses a key that isn’t held', async () => {
    const { world } = await begin();
    const reading = world.app.readKek({ ...KEK, name: 'nobody' });
    await expect(reading).rejects.toMatchObject({ code: 'KekNotFound' });
  });
});
