// What no sequence of observations of a KEK may do: to the KEK, and to a server of it.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideKek, type KekObservation } from '../../shared/domain/decide-kek.ts';
import { decideAccess, decideRewrap } from '../../shared/domain/decide-server.ts';
import { DEFAULT_POLICY, findVersion, type KekSnapshot, makeKekState } from '../../shared/domain/kek.ts';
import { isProven, type VersionObservation, type VersionState } from '../../shared/domain/key-status.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import {
  at,
  attributesOf,
  contextAt,
  createdOn,
  DAY,
  denied,
  disabled,
  faulty,
  good,
  HOLD,
  HOUR,
  http,
  KEK,
  mismatch,
  noCanary,
  noVault,
  serverOf,
  throttled,
  V1,
  V2,
  V3,
  wrappedUnder,
} from '../shared/domain/states.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 100);
const check = <T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>) =>
  fc.assert(property, { numRuns });

const VERSIONS = [V1, V2, V3] as const;
const observationOf = (version: string): fc.Arbitrary<VersionObservation> =>
  fc.oneof(
    fc.constant(good(version)),
    fc.constantFrom(
      good(version, { expiresOn: at(-HOUR) }),
      good(version, { expiresOn: at(20 * DAY) }),
      good(version, { expiresOn: at(2 * DAY) }),
      good(version, { notBefore: at(99_999 * DAY) }),
      disabled(version),
      faulty(http(404), version, 'deleted'),
      faulty(http(404), version, 'absent'),
      { ...denied(version), attributes: attributesOf(version) },
      denied(version),
      noVault(version),
      throttled(version),
      noCanary(version),
      mismatch(version),
    ),
  );

interface Step {
  readonly gapSeconds: number;
  readonly observation: Omit<KekObservation, 'vaultNow'>;
  readonly held: boolean;
}
const step: fc.Arbitrary<Step> = fc.record({
  gapSeconds: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 30 * HOUR })),
  observation: fc
    .tuple(
      fc.constantFrom(null, ...VERSIONS),
      fc.subarray([...VERSIONS]).chain((some) => fc.tuple(...some.map(observationOf))),
    )
    .map(([newest, versions]) => ({ newest, versions })),
  held: fc.boolean(),
});

const policy = fc.record({
  expiredKeyPolicy: fc.constantFrom('revoke' as const, 'warn' as const),
  transientBuffer: fc.constantFrom('alert' as const, 'revoke' as const),
  rewrapPaused: fc.boolean(),
});
const fleet = fc.record({ policy, steps: fc.array(step, { maxLength: 12 }) });

interface Timed {
  readonly snapshot: KekSnapshot;
  readonly seconds: number;
}

function decide({ snapshot, seconds }: Timed, { gapSeconds, observation, held }: Step) {
  const now = seconds + gapSeconds;
  const decision = decideKek(snapshot, { ...observation, vaultNow: at(now) }, contextAt(now, { held }));
  return { decision, snapshot: decision.snapshot, seconds: now };
}

/** Any snapshot that observations can lead to. */
function reach(one: {
  readonly policy: Partial<typeof DEFAULT_POLICY>;
  readonly steps: readonly Step[];
}): Timed {
  const kek = { ...makeKekState(KEK), policy: { ...DEFAULT_POLICY, ...one.policy } };
  return one.steps.reduce<Timed>(decide, { snapshot: { kek, versions: [] }, seconds: 0 });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

const settled = (snapshot: KekSnapshot) => ({
  kek: snapshot.kek,
  versions: snapshot.versions.map((state) => ({ ...state, run: null, provenAt: null })),
});
/** What servers follow of each version. */
const verdicts = (versions: readonly VersionState[]) =>
  Object.fromEntries(versions.map((state) => [state.version, `${state.verdict} ${state.verdictReason}`]));

describe('decideKek', () => {
  test('I-06: the same input gives the same output, and is left as it was', () => {
    check(
      fc.property(fleet, step, (before, one) => {
        const start = deepFreeze(reach(before));
        const copy = structuredClone(start);
        expect(decide(start, deepFreeze(one))).toEqual(decide(copy, structuredClone(one)));
        expect(start).toEqual(copy);
      }),
    );
  });

  test('I-06: the same observation again changes nothing but runs and provenAt', () => {
    check(
      fc.property(fleet, step, (before, one) => {
        const first = decide(reach(before), one);
        const again = decide(first, { ...one, gapSeconds: 0 });
        // It is an answer more, though, and the third one of a run may be what confirms it.
        const confirms = first.snapshot.versions.some(
          (state) => state.run !== null && state.run.class !== 'good' && state.run.answers === 2,
        );
        fc.pre(!confirms);
        expect(settled(again.snapshot)).toEqual(settled(first.snapshot));
        expect(again.decision.transitions).toEqual([]);
      }),
    );
  });

  test('the epoch grows by one exactly when a verdict, its reason or the target changes', () => {
    check(
      fc.property(fleet, step, (before, one) => {
        const start = reach(before);
        const { snapshot, decision } = decide(start, one);
        const known = {
          ...Object.fromEntries(VERSIONS.map((version) => [version, 'unproven null'])),
          ...verdicts(start.snapshot.versions),
        };
        const changed =
          Object.entries(verdicts(snapshot.versions)).some(
            ([version, verdict]) => known[version] !== verdict,
          ) || start.snapshot.kek.target !== snapshot.kek.target;
        expect(snapshot.kek.epoch - start.snapshot.kek.epoch).toBe(changed ? 1 : 0);
        expect(
          decision.transitions.some(({ action }) => action === 'kek.verdict' || action === 'kek.target'),
        ).toBe(changed);
      }),
    );
  });

  test('the target never moves to an older version, and only to the newest one, proven', () => {
    check(
      fc.property(fleet, step, (before, one) => {
        const start = reach(before);
        const { snapshot } = decide(start, one);
        const [was, is] = [start.snapshot.kek.target, snapshot.kek.target];
        if (was === is) return;
        expect(is).toBe(one.observation.newest);
        expect(isProven(findVersion(snapshot, is))).toBe(true);
        if (was !== null && is !== null) expect(createdOn(is) > createdOn(was)).toBe(true);
      }),
    );
  });

  test('no version is forgotten, and none is there twice', () => {
    check(
      fc.property(fleet, step, (before, one) => {
        const start = reach(before);
        const names = decide(start, one).snapshot.versions.map((state) => state.version);
        expect(new Set(names).size).toBe(names.length);
        expect(names).toEqual(expect.arrayContaining(start.snapshot.versions.map((state) => state.version)));
      }),
    );
  });

  test('each tier before an expiry is announced at most once while the expiry stays', () => {
    check(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 * DAY }), { maxLength: 30 }), (gaps) => {
        let current: Timed = reach({ policy: {}, steps: [] });
        const ids: string[] = [];
        for (const gapSeconds of gaps) {
          const versions = [good(V1, { expiresOn: at(40 * DAY) })];
          const next = decide(current, { gapSeconds, observation: { newest: V1, versions }, held: false });
          ids.push(
            ...next.decision.transitions
              .filter((one) => one.action === 'kek.nearExpiry')
              .map((one) => one.event?.id ?? ''),
          );
          current = next;
        }
        expect(new Set(ids).size).toBe(ids.length);
      }),
    );
  });
});

const row: fc.Arbitrary<ServerRow> = fc
  .record({
    wrapped: fc.constantFrom(...VERSIONS).map(wrappedUnder),
    provenAt: fc.constantFrom(null, at(0)),
    pinned: fc.boolean(),
    incoming: fc.boolean(),
    tombstone: fc.boolean(),
    hold: fc.constantFrom(null, HOLD),
    keyLossPolicy: fc.constantFrom(
      'terminate' as const,
      'drain' as const,
      'denyNew' as const,
      'alertOnly' as const,
    ),
    desired: fc.constantFrom('granted' as const, 'revoked' as const),
    applied: fc.constantFrom('none' as const, 'granted' as const, 'revoked' as const),
  })
  .map(serverOf);

describe('a server', () => {
  test('I-06: is decided about without touching the row or the KEK', () => {
    check(
      fc.property(fleet, row, (before, one) => {
        const { snapshot, seconds } = deepFreeze(reach(before));
        deepFreeze(one);
        expect(decideAccess(one, snapshot, at(0))).toEqual(
          decideAccess(structuredClone(one), structuredClone(snapshot), at(0)),
        );
        expect(decideRewrap(one, snapshot, at(seconds), 600, null)).toEqual(
          decideRewrap(structuredClone(one), structuredClone(snapshot), at(seconds), 600, null),
        );
      }),
    );
  });

  test('is never granted access while its own version is lost, but for a proven way out or alertOnly', () => {
    check(
      fc.property(fleet, row, (before, one) => {
        const { snapshot } = reach(before);
        const { target } = snapshot.kek;
        const own = findVersion(snapshot, one.wrapped.kekVersion);
        if (own?.verdict !== 'revoke' || decideAccess(one, snapshot, at(0)).desired === 'revoked') return;
        const leaves =
          own.verdictReason === 'KeyExpired' &&
          findVersion(snapshot, target)?.verdict === 'serve' &&
          !one.pinned;
        expect(one.hold === null && (one.keyLossPolicy === 'alertOnly' || leaves)).toBe(true);
        if (one.keyLossPolicy !== 'alertOnly')
          expect(createdOn(target ?? '0') > createdOn(own.version)).toBe(true);
      }),
    );
  });

  test('I-02: is never revoked while its own version serves or isn’t known, but by an operator', () => {
    check(
      fc.property(fleet, row, (before, one) => {
        const { snapshot } = reach(before);
        fc.pre(one.desired === 'granted' && one.hold === null);
        if (findVersion(snapshot, one.wrapped.kekVersion)?.verdict === 'revoke') return;
        expect(decideAccess(one, snapshot, at(0)).desired).toBe('granted');
      }),
    );
  });

  test('is never reopened while its own version doesn’t serve, but by alertOnly', () => {
    check(
      fc.property(fleet, row, (before, one) => {
        const { snapshot } = reach(before);
        fc.pre(one.desired === 'revoked');
        if (findVersion(snapshot, one.wrapped.kekVersion)?.verdict === 'serve') return;
        if (decideAccess(one, snapshot, at(0)).desired === 'granted')
          expect(one.keyLossPolicy).toBe('alertOnly');
      }),
    );
  });

  test('I-05: is rewrapped or not whatever its access is', () => {
    check(
      fc.property(fleet, row, row, (before, one, other) => {
        const { snapshot, seconds } = reach(before);
        const { hold, keyLossPolicy, desired, applied, tombstone } = other;
        const held = { ...snapshot, kek: { ...snapshot.kek, hold: other.hold } };
        expect(
          decideRewrap(
            { ...one, hold, keyLossPolicy, desired, applied, tombstone },
            held,
            at(seconds),
            600,
            null,
          ),
        ).toEqual(decideRewrap(one, snapshot, at(seconds), 600, null));
      }),
    );
  });

  test('I-05: loses no access by being rewrapped, and goes to a proven target only', () => {
    check(
      fc.property(fleet, row, (before, one) => {
        const { snapshot, seconds } = reach(before);
        const work = decideRewrap(one, snapshot, at(seconds), 600, null);
        if (work.kind !== 'rewrap') return;
        expect(work.target).toBe(snapshot.kek.target);
        expect(isProven(findVersion(snapshot, work.target))).toBe(true);
        const after = decideAccess({ ...one, wrapped: wrappedUnder(work.target) }, snapshot, at(0));
        expect(after.desired).toBe(one.hold === null ? 'granted' : 'revoked');
        expect(
          decideRewrap({ ...one, wrapped: wrappedUnder(work.target) }, snapshot, at(seconds), 600, null).kind,
        ).not.toBe('rewrap');
      }),
    );
  });
});
