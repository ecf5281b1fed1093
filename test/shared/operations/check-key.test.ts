import { describe, expect, test } from 'vitest';
import type { KekId } from '../../../shared/domain/key-id.ts';
import { makeCheckKey } from '../../../shared/operations/check-key.ts';
import { type FakeKeyVault, httpFault, type NewVersion } from '../../fakes/key-vault.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const begin = (options: NewVersion = {}) => {
  const world = makeWorld();
  const version = world.vault.createVersion(KEK, options);
  const { vault, clock, stores } = world;
  const { proofs } = world.startInstance();
  const keyVaultDnsSuffixes = ['vault.azure.net'];
  const checkKey = makeCheckKey({
    keks: stores.keks,
    vault,
    localWrap: vault,
    proofs,
    clock,
    keyVaultDnsSuffixes,
  });
  /** What didn't pass. */
  const check = async (pin: string | null = null, kek: KekId = KEK) =>
    (await checkKey(kek, pin))
      .filter(({ outcome }) => outcome !== 'passed')
      .map(({ code, outcome }) => `${code} ${outcome}`);
  return { world, version, proofs, checkKey, check };
};

const FACTS = [
  'KeyTypeNotSupported',
  'KeySizeNotSupported',
  'KeyIsDisabled',
  'KeyIsNotYetValid',
  'KeyIsExpired',
  'KeyExpiresSoon',
  'KeyOperationsMissing',
  'SoftDeleteOff',
  'PurgeProtectionOff',
  'RetentionShort',
];
const ALL = ['VaultNotAllowed', 'KeyNotReadable', 'KeyVersionRetired', ...FACTS, 'KeyRightsMissing'];
const skippedFrom = (code: string) => ALL.slice(ALL.indexOf(code)).map((one) => `${one} skipped`);

describe('checkKey', () => {
  test('a sound key passes every check, each reported once', async () => {
    const { checkKey } = begin();
    const checks = await checkKey(KEK, null);
    expect(checks.map(({ code }) => code)).toEqual(ALL);
    expect(checks.every(({ outcome }) => outcome === 'passed')).toBe(true);
  });

  test('asks nothing of a vault that the app does not talk to', async () => {
    const { world, check } = begin();
    const stranger = { ...KEK, vault: 'alpha.example.com' };
    expect(await check(null, stranger)).toEqual(['VaultNotAllowed failed', ...skippedFrom('KeyNotReadable')]);
    expect(world.vault.calls).toEqual([]);
  });

  test('looks at the pinned version, or at the one that would be wrapped under', async () => {
    const { world, version, check } = begin({ expiresOn: new Date('2030-01-11T00:00:00Z') });
    await world.register(1);
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    // The rotation hasn't begun: what is registered now comes under the version that was proven.
    expect(await check()).toEqual(['KeyExpiresSoon warning']);
    await world.hint();
    await world.settle();
    expect((await world.kek()).target).toBe(newer);
    expect(await check()).toEqual([]);
    expect(await check(version)).toEqual(['KeyExpiresSoon warning']);
  });

  test('looks at the newest version where the target is proven no more', async () => {
    const { world, version, check } = begin();
    await world.register(1);
    world.vault.update(KEK, version, { enabled: false });
    await world.hint();
    await world.queue.drainFor(2);
    world.clock.advance(60);
    world.vault.createVersion(KEK);
    expect(await check()).toEqual([]);
  });

  test('all that is wrong with a key is said at once', async () => {
    const { world, check } = begin({
      enabled: false,
      bits: 1024,
      operations: ['sign'],
      notBefore: new Date('2031-01-01T00:00:00Z'),
    });
    world.vault.setVault(KEK.vault, { recovery: { recoverable: true, purgeProtected: false, days: 7 } });
    expect(await check()).toEqual([
      'KeySizeNotSupported failed',
      'KeyIsDisabled failed',
      'KeyIsNotYetValid failed',
      'KeyOperationsMissing failed',
      'PurgeProtectionOff failed',
      'RetentionShort warning',
      'KeyRightsMissing skipped',
    ]);
  });

  test('of what does not unwrap at all it is said why the rights can not be told', async () => {
    const messageOf = async (change: Parameters<typeof begin>[0]) => {
      const checks = await begin(change).checkKey(KEK, null);
      return checks.find(({ code }) => code === 'KeyRightsMissing')?.message;
    };
    expect(await messageOf({ enabled: false })).toContain('once it is enabled');
    expect(await messageOf({ operations: ['sign'] })).toBe('The key is not one that unwraps.');
  });

  test('a version that was retired', async () => {
    const { world, version, check } = begin();
    await world.register(1);
    await world.changeVersion(version, { retiredAt: world.clock.now() });
    expect(await check(version)).toEqual(['KeyVersionRetired failed']);
  });
});

test('a vault that does not say what time it is is taken to have ours', async () => {
  const { world, proofs, checkKey } = begin({ expiresOn: new Date('2030-01-05T00:00:00Z') });
  world.vault.skewMs = 30 * 86_400_000;
  const outcome = async () =>
    (await checkKey(KEK, null)).find(({ code }) => code === 'KeyIsExpired')?.outcome;
  expect(await outcome()).toBe('failed');
  const inspect = proofs.inspect;
  Object.assign(proofs, {
    inspect: async (...of: Parameters<typeof inspect>) => ({ ...(await inspect(...of)), vaultNow: null }),
  });
  expect(await outcome()).toBe('passed');
});

describe('a key that cannot be read', () => {
  test.each<[string, (vault: FakeKeyVault) => void, string]>([
    ['is not there', (vault) => vault.purgeKey(KEK), 'KeyNotFound'],
    ['was deleted', (vault) => vault.deleteKey(KEK), 'KeySoftDeleted'],
    [
      'is hidden from the app',
      (vault) => vault.setVault(KEK.vault, { forbidden: 'ForbiddenByRbac' }),
      'AccessDenied',
    ],
  ])('%s', async (_, spoil, reason) => {
    const { world, version, checkKey } = begin();
    spoil(world.vault);
    for (const pin of [null, version]) {
      const [, unreadable, ...rest] = await checkKey(KEK, pin);
      expect(unreadable).toMatchObject({
        code: 'KeyNotReadable',
        outcome: 'failed',
        message: expect.stringContaining(reason),
      });
      expect(rest.map(({ code, outcome }) => `${code} ${outcome}`)).toEqual(skippedFrom('KeyVersionRetired'));
    }
  });

  test('because the vault hides what is disabled', async () => {
    const { world, check } = begin({ enabled: false });
    world.vault.setVault(KEK.vault, { hidesDisabled: true });
    expect(await check()).toEqual(['KeyNotReadable failed', ...skippedFrom('KeyVersionRetired')]);
  });
});

describe('I-02: a vault that cannot be asked says nothing', () => {
  test.each(['describe', 'describeVersion', 'unwrap'] as const)('at %s', async (kind) => {
    const { world, check } = begin();
    world.vault.hook = (call) => (call.kind === kind ? { kind: 'network', cause: 'timeout' } : null);
    await expect(check()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
  });
});

describe('rights', () => {
  test.each(['ForbiddenByRbac', 'ForbiddenByFirewall'])('%s at the unwrap', async (innerCode) => {
    const { world, proofs, version, check } = begin();
    world.vault.hook = ({ kind }) => (kind === 'unwrap' ? httpFault(403, 'Forbidden', innerCode) : null);
    expect(await check()).toEqual(['KeyRightsMissing failed']);
    expect(proofs.isGood(KEK, version)).toBe(false);
  });

  test('what comes back is what was wrapped', async () => {
    const { world, proofs, version, check } = begin();
    world.vault.corrupt(KEK, version);
    expect(await check()).toEqual(['KeyRightsMissing failed']);
    expect(proofs.isGood(KEK, version)).toBe(false);
  });

  test('a version that unwraps, and has expired, is no proven one', async () => {
    const { proofs, version, check } = begin({ expiresOn: new Date('2029-01-01T00:00:00Z') });
    expect(await check()).toEqual(['KeyIsExpired failed', 'KeyExpiresSoon skipped']);
    expect(proofs.isGood(KEK, version)).toBe(false);
  });
});

describe('what it costs', () => {
  test('nothing for a minute, while nothing fails', async () => {
    const { world, version, check } = begin({ operations: ['unwrapKey'] });
    expect(await check(version)).toEqual(['KeyOperationsMissing warning']);
    expect(world.vault.calls).toHaveLength(2);
    expect(await check(version)).toEqual(['KeyOperationsMissing warning']);
    expect(world.vault.calls).toHaveLength(2);
    world.clock.advance(60);
    await check(version);
    expect(world.vault.calls).toHaveLength(4);
  });

  test('whoever has put something right is not told of it any more', async () => {
    const { world, check } = begin();
    world.vault.setVault(KEK.vault, { recovery: { recoverable: true, purgeProtected: false, days: 90 } });
    expect(await check()).toEqual(['PurgeProtectionOff failed']);
    world.vault.healVault(KEK.vault);
    expect(await check()).toEqual([]);
  });

  test('nor is one whose canary came back in spite of it', async () => {
    const { world, version, proofs, check } = begin({ expiresOn: new Date('2029-01-01T00:00:00Z') });
    expect(await check(version)).toEqual(['KeyIsExpired failed', 'KeyExpiresSoon skipped']);
    proofs.noteGood(KEK, version);
    world.vault.update(KEK, version, { expiresOn: null });
    expect(await check(version)).toEqual([]);
  });
});
