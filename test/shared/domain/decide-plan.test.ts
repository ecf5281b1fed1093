import { describe, expect, test } from 'vitest';
import { planTarget } from '../../../shared/domain/decide-plan.ts';
import { DEFAULT_POLICY, findVersion, type KekSnapshot } from '../../../shared/domain/kek.ts';
import type { VersionAttributes } from '../../../shared/domain/key-status.ts';
import { at, attributesOf, HOUR, http, revoked, serving, snapshotOf, T0, V1, V2 } from './states.ts';

const NOW = at(100);
type Read = readonly (readonly [version: string, over?: Partial<VersionAttributes>])[];
const described = (read: Read, newest = read.at(-1)?.[0] ?? V1, vaultNow: Date | null = NOW) => ({
  ok: true as const,
  value: {
    newest,
    versions: read.map(([version, over]) => ({ version, attributes: attributesOf(version, over) })),
  },
  vaultNow,
});
const plan = (snapshot: KekSnapshot, read: Read) => planTarget(snapshot, described(read), NOW);
const onV1 = snapshotOf([serving(V1)]);

describe('planTarget', () => {
  test('takes the newest version for the target, as if it had been proven', () => {
    const planned = plan(onV1, [[V1], [V2]]);
    expect(planned).toMatchObject({ newest: V2, blocked: null, snapshot: { kek: { target: V2 } } });
    expect(findVersion(planned.snapshot, V2)).toMatchObject({
      status: 'usable',
      verdict: 'serve',
      reason: null,
      attributes: attributesOf(V2),
    });
    expect(onV1.versions).toHaveLength(1);
  });

  test('keeps the target where it is the newest', () => {
    expect(plan(onV1, [[V1]])).toMatchObject({
      newest: V1,
      blocked: null,
      snapshot: { kek: { target: V1 }, versions: [{ version: V1, verdict: 'serve' }] },
    });
  });

  test('frees the rotation of its waves and halts', () => {
    const rotation = { state: 'halted', startedAt: T0, since: T0, failures: 11, wave: null } as const;
    expect(plan(snapshotOf([serving(V1)], { rotation }), [[V1]]).snapshot.kek.rotation.state).toBe('idle');
  });

  test.each([
    ['disabled', { enabled: false }, 'KeyDisabled'],
    ['expired', { expiresOn: at(-HOUR) }, 'KeyExpired'],
    ['not valid yet', { notBefore: at(HOUR) }, 'KeyNotYetValid'],
  ] as const)('is blocked where the newest is %s', (_, over, blocked) => {
    expect(plan(onV1, [[V1], [V2, over]])).toMatchObject({
      newest: V2,
      blocked,
      snapshot: { kek: { target: V1 } },
    });
  });

  test('is blocked by an expired one under the policy warn too: nothing is wrapped under it', () => {
    const policy = { ...DEFAULT_POLICY, expiredKeyPolicy: 'warn' } as const;
    const planned = plan(snapshotOf([serving(V1)], { policy }), [[V1], [V2, { expiresOn: at(-HOUR) }]]);
    expect(planned.blocked).toBe('KeyExpired');
  });

  test.each([
    ['KeyOperationForbidden', 'KeyOperationForbidden'],
    ['AccessDenied', 'AccessDenied'],
    ['CanaryMismatch', 'CanaryMismatch'],
    ['Throttled', null],
    ['VaultUnreachable', null],
    ['IdentityUnavailable', null],
    ['VaultNotFound', null],
    ['UnexpectedAnswer', null],
    ['KeyNotYetValid', null],
    ['KeyDisabled', null],
    ['KeyExpired', null],
  ] as const)('what was last seen of the newest, %s, blocks with %s', (reason, blocked) => {
    const newest = revoked(V2, { reason, verdictReason: reason });
    expect(plan(snapshotOf([serving(V1), newest]), [[V1], [V2]]).blocked).toBe(blocked);
  });

  test('plans as if no pause were set', () => {
    const policy = { ...DEFAULT_POLICY, waveServers: 7, rewrapPaused: true };
    const { snapshot } = plan(snapshotOf([serving(V1)], { policy }), [[V1], [V2]]);
    expect(snapshot.kek.policy).toEqual({ ...policy, rewrapPaused: false });
  });

  test('what is against an older version blocks nothing', () => {
    const older = serving(V1, { retiredAt: T0 });
    expect(plan(snapshotOf([older]), [[V1], [V2]])).toMatchObject({ newest: V2, blocked: null });
  });

  test('is blocked by a version that was retired', () => {
    const newest = serving(V2, { retiredAt: T0 });
    expect(plan(snapshotOf([serving(V1), newest]), [[V1], [V2]])).toMatchObject({
      blocked: 'VersionRetired',
      snapshot: { kek: { target: V1 } },
    });
  });

  test('takes what the vault says of the older versions now over what is on record', () => {
    const snapshot = snapshotOf([serving(V1), revoked(V2)], { target: V1 });
    const planned = plan(snapshot, [[V1, { enabled: false }], [V2]]);
    expect(findVersion(planned.snapshot, V1)).toMatchObject({
      verdict: 'revoke',
      verdictReason: 'KeyDisabled',
    });
    expect(findVersion(planned.snapshot, V2)).toMatchObject({ verdict: 'serve', verdictReason: null });
  });

  test('leaves a version alone that the vault doesn’t list', () => {
    const planned = plan(snapshotOf([revoked(V1), serving(V2)], { target: V2 }), [[V2]]);
    expect(findVersion(planned.snapshot, V1)).toEqual(revoked(V1));
  });

  test('goes by our clock where the vault says no time', () => {
    const read: Read = [[V1], [V2, { notBefore: at(HOUR) }]];
    expect(planTarget(onV1, described(read, V2, null), NOW).blocked).toBe('KeyNotYetValid');
    expect(planTarget(onV1, described(read, V2, null), at(HOUR)).blocked).toBeNull();
  });

  test('plans on the target so far where the vault doesn’t answer', () => {
    const answer = { ok: false, fault: http(503), vaultNow: null } as const;
    expect(planTarget(onV1, answer, NOW)).toMatchObject({
      newest: null,
      blocked: 'VaultUnreachable',
      snapshot: { kek: { target: V1 }, versions: onV1.versions },
    });
  });
});
