import { describe, expect, test } from 'vitest';
import {
  advanceVersion,
  classifyObservation,
  isExpired,
  isProven,
  isUnsettled,
  makeVersionState,
  type StatusRules,
  type VersionObservation,
  type VersionState,
} from '../../../shared/domain/key-status.ts';
import {
  at,
  attributesOf,
  denied,
  disabled,
  faulty,
  good,
  HOUR,
  http,
  mismatch,
  noCanary,
  noVault,
  RULES,
  revoked,
  serving,
  T0,
  throttled,
  V1,
} from './states.ts';

const GRACE = 300;
const expired = (observation: VersionObservation): VersionObservation => ({
  ...observation,
  attributes: attributesOf(V1, { expiresOn: at(-GRACE - 1) }),
});
const early = (observation: VersionObservation): VersionObservation => ({
  ...observation,
  attributes: attributesOf(V1, { notBefore: at(GRACE + 1) }),
});
const gone = faulty(http(404), V1, 'deleted');

describe('isExpired', () => {
  test.each([
    ['no attributes', null, false],
    ['no expiry', attributesOf(V1), false],
    ['an expiry ahead', attributesOf(V1, { expiresOn: at(1) }), false],
    ['the last moment of the grace', attributesOf(V1, { expiresOn: at(-GRACE) }), false],
    ['after the grace', attributesOf(V1, { expiresOn: at(-GRACE - 0.001) }), true],
  ])('%s', (_, attributes, result) => expect(isExpired(attributes, T0)).toBe(result));
});

describe('classifyObservation', () => {
  const classify = (
    observation: VersionObservation,
    over: Partial<StatusRules> & { seenDeleted?: boolean } = {},
  ) =>
    classifyObservation(observation, {
      vaultNow: T0,
      seenDeleted: false,
      expiredKeyPolicy: 'revoke',
      ...over,
    });

  test.each([
    ['the canary unwraps', good(), 'good', 'usable', null],
    ['it unwraps and the attributes were not read', good(V1, null), 'good', 'usable', null],
    ['it unwraps to other bytes', mismatch(), 'fault', 'unknown', 'CanaryMismatch'],
    ['there is nothing to unwrap', noCanary(), 'transient', 'unknown', 'CanaryUnavailable'],
    ['disabled beats a good unwrap', disabled(), 'definitive', 'unusable', 'KeyDisabled'],
    [
      'disabled beats a mismatch',
      { ...mismatch(), attributes: disabled().attributes },
      'definitive',
      'unusable',
      'KeyDisabled',
    ],
    [
      'disabled beats having nothing to unwrap',
      { ...noCanary(), attributes: disabled().attributes },
      'definitive',
      'unusable',
      'KeyDisabled',
    ],
    [
      'disabled beats another definitive fault',
      { ...faulty(http(403, 'KeyOperationForbidden')), attributes: disabled().attributes },
      'definitive',
      'unusable',
      'KeyDisabled',
    ],
    [
      'disabled beats expired',
      good(V1, { enabled: false, expiresOn: at(-HOUR) }),
      'definitive',
      'unusable',
      'KeyDisabled',
    ],
    ['403 KeyDisabled', faulty(http(403, 'KeyDisabled')), 'definitive', 'unusable', 'KeyDisabled'],
    [
      'a definitive fault beats expired',
      expired(faulty(http(403, 'KeyOperationForbidden'))),
      'definitive',
      'unusable',
      'KeyOperationForbidden',
    ],
    ['a definitive fault beats not yet valid', early(gone), 'definitive', 'unusable', 'KeySoftDeleted'],
    ['expired beats a good unwrap', expired(good()), 'definitive', 'unusable', 'KeyExpired'],
    ['expired beats a suspect fault', expired(denied()), 'definitive', 'unusable', 'KeyExpired'],
    ['expired beats a transient fault', expired(throttled()), 'definitive', 'unusable', 'KeyExpired'],
    ['expired beats a mismatch', expired(mismatch()), 'definitive', 'unusable', 'KeyExpired'],
    [
      'expired beats not yet valid',
      good(V1, { expiresOn: at(-HOUR), notBefore: at(HOUR) }),
      'definitive',
      'unusable',
      'KeyExpired',
    ],
    ['within the grace of exp', good(V1, { expiresOn: at(-GRACE) }), 'good', 'usable', null],
    ['not yet valid beats a good unwrap', early(good()), 'definitive', 'unusable', 'KeyNotYetValid'],
    ['not yet valid beats a suspect fault', early(denied()), 'definitive', 'unusable', 'KeyNotYetValid'],
    [
      'not yet valid beats having nothing to unwrap',
      early(noCanary()),
      'definitive',
      'unusable',
      'KeyNotYetValid',
    ],
    ['within the grace of nbf', good(V1, { notBefore: at(GRACE) }), 'good', 'usable', null],
    ['nbf has passed', good(V1, { notBefore: at(-1) }), 'good', 'usable', null],
    ['a suspect fault', denied(), 'suspect', 'unusable', 'AccessDenied'],
    ['the vault is gone', noVault(), 'suspect', 'unusable', 'VaultNotFound'],
    ['a transient fault', throttled(), 'transient', 'unknown', 'Throttled'],
    [
      'a transient fault with good attributes',
      { ...throttled(), attributes: attributesOf(V1) },
      'transient',
      'unknown',
      'Throttled',
    ],
  ] as const)('%s', (_, observation, kind, status, reason) => {
    expect(classify(observation)).toEqual({ class: kind, status, reason });
  });

  test.each([
    ['an expired version serves, with the reason', expired(good()), 'good', 'KeyExpired'],
    ['but only while it unwraps', expired(denied()), 'suspect', 'AccessDenied'],
    ['and to the right bytes', expired(mismatch()), 'fault', 'CanaryMismatch'],
    ['nbf isn’t touched by it', early(good()), 'definitive', 'KeyNotYetValid'],
    [
      'expired and not yet valid',
      good(V1, { expiresOn: at(-HOUR), notBefore: at(HOUR) }),
      'definitive',
      'KeyNotYetValid',
    ],
  ] as const)('under expiredKeyPolicy warn: %s', (_, observation, kind, reason) => {
    expect(classify(observation, { expiredKeyPolicy: 'warn' })).toMatchObject({ class: kind, reason });
  });

  test('a key seen deleted before and now absent is purged', () => {
    const absent = faulty(http(404), V1, 'absent');
    expect(classify(absent)).toMatchObject({ class: 'suspect', reason: 'KeyNotFound' });
    expect(classify(absent, { seenDeleted: true })).toMatchObject({
      class: 'definitive',
      reason: 'KeyPurged',
    });
  });
});

interface StepOptions {
  readonly rules?: Partial<StatusRules>;
  readonly held?: boolean;
}

const step = (
  state: VersionState,
  observation: VersionObservation,
  seconds: number,
  options: StepOptions = {},
) =>
  advanceVersion(state, observation, {
    now: at(seconds),
    vaultNow: T0,
    rules: { ...RULES, ...options.rules },
    held: options.held ?? false,
  });

/** The state after one observation at each of the given seconds. */
const run = (
  state: VersionState,
  steps: readonly (readonly [number, VersionObservation])[],
  options: StepOptions = {},
) => steps.reduce((current, [seconds, observation]) => step(current, observation, seconds, options), state);

describe('advanceVersion', () => {
  test('a version that was never observed is unproven, with nothing known', () => {
    expect(makeVersionState(V1, T0)).toEqual({
      version: V1,
      status: 'unknown',
      reason: 'CanaryUnavailable',
      since: T0,
      verdict: 'unproven',
      verdictReason: null,
      verdictSince: T0,
      run: null,
      transientSince: null,
      seenDeleted: false,
      attributes: null,
      canary: null,
      inUse: false,
      warnedDays: null,
      provenAt: null,
      degraded: false,
      retiredAt: null,
      lastDependedOn: null,
    });
  });

  test('records what was observed, and keeps what was not read', () => {
    const first = step(makeVersionState(V1, T0), { ...good(), newCanary: 'bmV3' }, 5);
    expect(first).toMatchObject({
      status: 'usable',
      reason: null,
      since: at(5),
      provenAt: at(5),
      canary: 'bmV3',
      attributes: attributesOf(V1),
    });
    const second = step(first, throttled(), 9);
    expect(second).toMatchObject({
      status: 'unknown',
      reason: 'Throttled',
      since: at(9),
      provenAt: at(5),
      canary: 'bmV3',
      attributes: attributesOf(V1),
    });
  });

  test('since stays while status and reason stay, and moves when either changes', () => {
    const first = step(serving(), throttled(), 10);
    expect(step(first, throttled(), 20).since).toEqual(at(10));
    expect(step(first, faulty(http(500)), 20).since).toEqual(at(20));
    expect(step(first, denied(), 20).since).toEqual(at(20));
    const warned = { rules: { expiredKeyPolicy: 'warn' } } as const;
    expect(step(step(serving(), good(), 5), expired(good()), 20, warned).since).toEqual(at(20));
    expect(step(step(serving(), denied(), 5), noVault(), 20).since).toEqual(at(20));
  });

  test('since moves when only the status changes', () => {
    expect(step(serving(V1, { status: 'unknown' }), good(), 20).since).toEqual(at(20));
  });

  describe('good', () => {
    test('the first good answer makes an unproven version serve', () => {
      expect(step(makeVersionState(V1, T0), good(), 5)).toMatchObject({
        verdict: 'serve',
        verdictReason: null,
        verdictSince: at(5),
        run: null,
      });
    });

    test('a version that serves goes on, since when it did', () => {
      expect(step(serving(), good(), 5)).toMatchObject({ verdict: 'serve', verdictSince: T0 });
    });

    test('breaks a run of suspect answers', () => {
      const state = run(serving(), [
        [0, denied()],
        [30, denied()],
        [50, good()],
      ]);
      expect(state.run).toBeNull();
      expect(
        run(state, [
          [60, denied()],
          [61, denied()],
          [110, denied()],
        ]).verdict,
      ).toBe('serve');
    });

    test.each([
      ['one is not enough', [[10, good()]], 'revoke'],
      [
        'two less than 3 s apart are not enough',
        [
          [10, good()],
          [12.999, good()],
        ],
        'revoke',
      ],
      [
        'two 3 s apart restore',
        [
          [10, good()],
          [13, good()],
        ],
        'serve',
      ],
      [
        'the gap counts from the first of the run',
        [
          [10, good()],
          [11, good()],
          [13, good()],
        ],
        'serve',
      ],
      [
        'not being able to ask in between breaks the run',
        [
          [10, good()],
          [11, throttled()],
          [13, good()],
        ],
        'revoke',
      ],
      [
        'a suspect answer breaks it',
        [
          [10, good()],
          [11, denied()],
          [13, good()],
        ],
        'revoke',
      ],
      [
        'a mismatch breaks it',
        [
          [10, good()],
          [11, mismatch()],
          [13, good()],
        ],
        'revoke',
      ],
      [
        'a definitive loss breaks it',
        [
          [10, good()],
          [11, disabled()],
          [13, good()],
        ],
        'revoke',
      ],
      [
        'a broken run starts anew',
        [
          [10, good()],
          [11, throttled()],
          [13, good()],
          [16, good()],
        ],
        'serve',
      ],
    ] as const)('after a revocation: %s', (_, steps, verdict) => {
      expect(run(revoked(), steps).verdict).toBe(verdict);
    });

    test('the run is counted, and gone once it restored', () => {
      const first = step(revoked(), good(), 10);
      expect(first).toMatchObject({ verdict: 'revoke', verdictReason: 'KeyDisabled', verdictSince: T0 });
      expect(first.run).toEqual({ class: 'good', since: at(10), answers: 1 });
      expect(step(first, good(), 11).run).toEqual({ class: 'good', since: at(10), answers: 2 });
      expect(step(first, good(), 13)).toMatchObject({
        verdict: 'serve',
        verdictReason: null,
        verdictSince: at(13),
        run: null,
      });
    });

    test('restoreGapSeconds is a setting', () => {
      const steps = [
        [10, good()],
        [15, good()],
      ] as const;
      expect(run(revoked(), steps, { rules: { restoreGapSeconds: 6 } }).verdict).toBe('revoke');
    });

    test('an expired version under the policy warn serves, but isn’t proven', () => {
      const state = step(serving(), expired(good()), 5, { rules: { expiredKeyPolicy: 'warn' } });
      expect(state).toMatchObject({
        verdict: 'serve',
        verdictReason: null,
        status: 'usable',
        reason: 'KeyExpired',
      });
      expect(isProven(state)).toBe(false);
    });

    test('a run of suspect answers kept through a long outage doesn’t count for the restore', () => {
      const rules = { rules: { transientBuffer: 'revoke' } } as const;
      const lost = run(
        serving(),
        [
          [0, denied()],
          [5, throttled()],
          [5 + 24 * HOUR, throttled()],
        ],
        rules,
      );
      expect(lost.verdict).toBe('revoke');
      const back = step(lost, good(), 25 * HOUR);
      expect(back).toMatchObject({ verdict: 'revoke', run: { class: 'good', answers: 1 } });
      expect(step(back, good(), 25 * HOUR + 3).verdict).toBe('serve');
    });

    test('an expiry that was put off counts from when it is read, whatever is on record', () => {
      const lost = step(serving(), expired(good()), 0);
      expect(
        run(lost, [
          [10, good()],
          [13, good()],
        ]),
      ).toMatchObject({ verdict: 'serve', reason: null });
    });

    test('a good unwrap whose attributes could not be read is good while the dates on record are', () => {
      const state = serving(V1, { attributes: attributesOf(V1, { expiresOn: at(HOUR) }) });
      expect(step(state, good(V1, null), 5)).toMatchObject({
        status: 'usable',
        reason: null,
        provenAt: at(5),
      });
    });

    test('one whose recorded expiry has passed isn’t proven under the policy warn either', () => {
      const state = serving(V1, { attributes: attributesOf(V1, { expiresOn: at(-HOUR) }) });
      expect(isProven(step(state, good(V1, null), 5, { rules: { expiredKeyPolicy: 'warn' } }))).toBe(false);
    });

    test('a good unwrap whose attributes could not be read, past the expiry on record, says nothing', () => {
      const state = serving(V1, { attributes: attributesOf(V1, { expiresOn: at(-HOUR) }) });
      expect(step(state, good(V1, null), 5)).toMatchObject({
        verdict: 'serve',
        status: 'unknown',
        reason: 'UnexpectedAnswer',
      });
    });

    test('a good unwrap whose attributes could not be read doesn’t reopen an expired version', () => {
      const lost = step(serving(), expired(good()), 0);
      expect(
        run(lost, [
          [10, good(V1, null)],
          [20, good(V1, null)],
        ]).verdict,
      ).toBe('revoke');
    });
  });

  describe('definitive loss', () => {
    test.each([
      ['disabled', disabled(), 'KeyDisabled'],
      ['expired', expired(good()), 'KeyExpired'],
      ['not yet valid', early(good()), 'KeyNotYetValid'],
      ['operation forbidden', faulty(http(403, 'KeyOperationForbidden')), 'KeyOperationForbidden'],
      ['soft-deleted', gone, 'KeySoftDeleted'],
    ] as const)('%s revokes at the first answer', (_, observation, reason) => {
      expect(step(serving(), observation, 5)).toMatchObject({
        verdict: 'revoke',
        verdictReason: reason,
        verdictSince: at(5),
        run: null,
      });
    });

    test('revokes an unproven version too, and while the breaker holds', () => {
      expect(step(makeVersionState(V1, T0), disabled(), 5).verdict).toBe('revoke');
      expect(step(serving(), disabled(), 5, { held: true }).verdict).toBe('revoke');
    });

    test('ends a run of suspect answers', () => {
      expect(
        run(serving(), [
          [0, denied()],
          [5, disabled()],
        ]).run,
      ).toBeNull();
    });

    test('a second reason replaces the first and keeps the time', () => {
      expect(
        run(serving(), [
          [5, disabled()],
          [9, gone],
        ]),
      ).toMatchObject({
        verdictReason: 'KeySoftDeleted',
        verdictSince: at(5),
      });
    });
  });

  describe('deletion', () => {
    const absent = faulty(http(404), V1, 'absent');

    test('a key seen deleted and then gone from there too was purged', () => {
      const seen = step(serving(), gone, 0);
      expect(seen.seenDeleted).toBe(true);
      expect(step(seen, absent, 5)).toMatchObject({ seenDeleted: true, verdictReason: 'KeyPurged' });
    });

    test('is remembered through answers that say nothing of it', () => {
      expect(
        run(serving(), [
          [0, gone],
          [5, throttled()],
          [9, absent],
        ]).verdictReason,
      ).toBe('KeyPurged');
    });

    test('is forgotten once the key answers well: it was recovered', () => {
      const recovered = run(serving(), [
        [0, gone],
        [5, good()],
      ]);
      expect(recovered.seenDeleted).toBe(false);
      expect(step(recovered, absent, 9)).toMatchObject({ reason: 'KeyNotFound', status: 'unusable' });
    });

    test('absent without having been seen deleted is only suspect', () => {
      expect(step(serving(), absent, 0)).toMatchObject({ verdict: 'serve', seenDeleted: false });
    });
  });

  describe('suspect loss', () => {
    test.each([
      [
        '60 s and 3 answers revoke',
        [
          [0, denied()],
          [30, denied()],
          [60, denied()],
        ],
        'revoke',
      ],
      [
        '59.999 s do not',
        [
          [0, denied()],
          [30, denied()],
          [59.999, denied()],
        ],
        'serve',
      ],
      [
        '2 answers do not',
        [
          [0, denied()],
          [90, denied()],
        ],
        'serve',
      ],
      [
        'the third answer revokes when the time is over',
        [
          [0, denied()],
          [90, denied()],
          [91, denied()],
        ],
        'revoke',
      ],
      [
        'not being able to ask neither counts',
        [
          [0, denied()],
          [60, throttled()],
          [70, denied()],
        ],
        'serve',
      ],
      [
        'nor breaks the run',
        [
          [0, denied()],
          [30, throttled()],
          [50, denied()],
          [60, denied()],
        ],
        'revoke',
      ],
      [
        'a mismatch breaks the run',
        [
          [0, denied()],
          [30, denied()],
          [40, mismatch()],
          [60, denied()],
          [61, denied()],
        ],
        'serve',
      ],
      [
        'a good answer breaks the run',
        [
          [0, denied()],
          [30, denied()],
          [40, good()],
          [60, denied()],
          [61, denied()],
        ],
        'serve',
      ],
      [
        'different reasons make one run',
        [
          [0, denied()],
          [30, faulty(http(403, 'ForbiddenByFirewall'))],
          [60, faulty(http(404))],
        ],
        'revoke',
      ],
    ] as const)('%s', (_, steps, verdict) => expect(run(serving(), steps).verdict).toBe(verdict));

    test('the verdict has the last reason, and the run is over', () => {
      const steps = [
        [0, denied()],
        [30, denied()],
        [61, faulty(http(403, 'ForbiddenByFirewall'))],
      ] as const;
      expect(run(serving(), steps)).toMatchObject({
        verdict: 'revoke',
        verdictReason: 'FirewallDenied',
        verdictSince: at(61),
        run: null,
      });
    });

    test('confirmSuspectSeconds is a setting', () => {
      const steps = [
        [0, denied()],
        [5, denied()],
        [10, denied()],
      ] as const;
      expect(run(serving(), steps, { rules: { confirmSuspectSeconds: 10 } }).verdict).toBe('revoke');
    });

    test('an unproven version can be lost by it', () => {
      expect(
        run(makeVersionState(V1, T0), [
          [0, denied()],
          [30, denied()],
          [60, denied()],
        ]).verdict,
      ).toBe('revoke');
    });

    test.each([
      [
        '60 s are not enough',
        [
          [0, noVault()],
          [30, noVault()],
          [60, noVault()],
        ],
        'serve',
      ],
      [
        '899 s are not enough',
        [
          [0, noVault()],
          [30, noVault()],
          [899.999, noVault()],
        ],
        'serve',
      ],
      [
        '15 minutes are',
        [
          [0, noVault()],
          [30, noVault()],
          [900, noVault()],
        ],
        'revoke',
      ],
      [
        'but not with 2 answers',
        [
          [0, noVault()],
          [900, noVault()],
        ],
        'serve',
      ],
    ] as const)('a vault whose name is gone: %s', (_, steps, verdict) => {
      expect(run(serving(), steps).verdict).toBe(verdict);
    });

    test('while the breaker holds nothing is confirmed, and it acts when the hold is over', () => {
      const steps = [
        [0, denied()],
        [30, denied()],
        [60, denied()],
        [600, denied()],
      ] as const;
      const held = run(serving(), steps, { held: true });
      expect(held).toMatchObject({ verdict: 'serve', run: { class: 'suspect', since: T0, answers: 4 } });
      expect(step(held, denied(), 601).verdict).toBe('revoke');
    });

    test('of a version that is lost already changes its reason only, and only when it stands', () => {
      const denials = [
        [6, denied()],
        [36, denied()],
        [65, denied()],
      ] as const;
      const back = step(revoked(), good(), 5);
      expect(run(back, denials)).toMatchObject({
        verdict: 'revoke',
        verdictReason: 'KeyDisabled',
        reason: 'AccessDenied',
        run: null,
      });
      expect(run(back, [...denials, [66, denied()]])).toMatchObject({
        verdict: 'revoke',
        verdictReason: 'AccessDenied',
        verdictSince: T0,
        run: null,
      });
    });

    test('two reasons in turn never change that of a version that is lost', () => {
      const firewall = faulty(http(403, 'ForbiddenByFirewall'));
      const steps = Array.from(
        { length: 100 },
        (_, i) => [i * 10, i % 2 === 0 ? denied() : firewall] as const,
      );
      const reasons = steps.map((_, i) => run(revoked(), steps.slice(0, i + 1)).verdictReason);
      expect(new Set(reasons)).toEqual(new Set(['KeyDisabled']));
    });
  });

  describe('transient loss (I-02)', () => {
    test.each([
      ['IdentityUnavailable', http(401)],
      ['Throttled', http(429)],
      ['VaultUnreachable', http(503)],
      ['UnexpectedAnswer', http(400)],
    ] as const)('I-02: %s for 23 h changes no verdict and alerts nobody', (reason, fault) => {
      const state = run(serving(), [
        [0, faulty(fault)],
        [23 * HOUR, faulty(fault)],
      ]);
      expect(state).toMatchObject({
        verdict: 'serve',
        status: 'unknown',
        reason,
        transientSince: T0,
        degraded: false,
      });
    });

    test('I-02: for 24 h it is an alert and still no revocation', () => {
      const almost = run(serving(), [
        [0, throttled()],
        [24 * HOUR - 1, throttled()],
      ]);
      expect(almost.degraded).toBe(false);
      const state = step(almost, throttled(), 24 * HOUR);
      expect(state).toMatchObject({ verdict: 'serve', degraded: true, transientSince: T0 });
      expect(step(state, throttled(), 9999 * HOUR).verdict).toBe('serve');
    });

    test('I-02: it revokes after 24 h where the policy of the KEK says so', () => {
      const rules = { rules: { transientBuffer: 'revoke' } } as const;
      const almost = run(
        serving(),
        [
          [0, throttled()],
          [24 * HOUR - 1, throttled()],
        ],
        rules,
      );
      expect(almost.verdict).toBe('serve');
      expect(step(almost, throttled(), 24 * HOUR, rules)).toMatchObject({
        verdict: 'revoke',
        verdictReason: 'Throttled',
        verdictSince: at(24 * HOUR),
        degraded: true,
      });
    });

    test('that policy says nothing of a version that was never proven, or of one that is lost', () => {
      const rules = { rules: { transientBuffer: 'revoke' } } as const;
      const steps = [
        [0, throttled()],
        [25 * HOUR, throttled()],
      ] as const;
      expect(run(makeVersionState(V1, T0), steps, rules).verdict).toBe('unproven');
      expect(run(revoked(), steps, rules).verdictReason).toBe('KeyDisabled');
    });

    test('the buffer starts anew after any answer, and the alert ends', () => {
      const long = run(serving(), [
        [0, throttled()],
        [25 * HOUR, throttled()],
      ]);
      for (const answer of [good(), denied(), disabled()]) {
        expect(step(long, answer, 26 * HOUR)).toMatchObject({ transientSince: null, degraded: false });
      }
      expect(
        run(long, [
          [26 * HOUR, good()],
          [27 * HOUR, throttled()],
        ]),
      ).toMatchObject({
        transientSince: at(27 * HOUR),
        degraded: false,
      });
    });

    test('having nothing to unwrap proves nothing', () => {
      expect(step(makeVersionState(V1, T0), noCanary(), 5)).toMatchObject({
        verdict: 'unproven',
        status: 'unknown',
        reason: 'CanaryUnavailable',
        transientSince: at(5),
      });
    });
  });

  test('I-02: a canary that comes back wrong is degraded and changes no verdict', () => {
    for (const state of [serving(), revoked(), makeVersionState(V1, T0)]) {
      const steps = [
        [0, mismatch()],
        [60, mismatch()],
        [25 * HOUR, mismatch()],
      ] as const;
      const after = run(state, steps, { rules: { transientBuffer: 'revoke' } });
      expect(after).toMatchObject({
        verdict: state.verdict,
        verdictReason: state.verdictReason,
        status: 'unknown',
        reason: 'CanaryMismatch',
        degraded: true,
        run: null,
        transientSince: null,
      });
      expect(step(after, good(), 26 * HOUR).degraded).toBe(false);
    }
  });

  test('nor does a missing vault become sure by suspect answers before it', () => {
    const steps = [
      [0, denied()],
      [30, denied()],
      [60, noVault()],
    ] as const;
    expect(run(serving(), steps)).toMatchObject({ verdict: 'serve', run: { class: 'missing', since: T0 } });
    expect(run(serving(), [...steps, [900, noVault()]]).verdict).toBe('revoke');
  });

  test('one other suspect answer doesn’t cut the 15 minutes of a missing vault short', () => {
    const steps = [
      [0, noVault()],
      [300, noVault()],
      [600, noVault()],
      [610, denied()],
    ] as const;
    expect(run(serving(), steps).verdict).toBe('serve');
  });

  test.each([
    ['throttled', throttled()],
    ['denied once, while the breaker holds', denied()],
  ])('I-02: an expiry on record that passes revokes nothing while the vault is %s', (_, observation) => {
    const state = serving(V1, { attributes: attributesOf(V1, { expiresOn: at(-HOUR) }) });
    expect(step(state, observation, 5, { held: true }).verdict).toBe('serve');
  });

  test('a name that is missing once doesn’t put off what the other answers say', () => {
    const steps = [
      [0, denied()],
      [30, denied()],
      [50, noVault()],
      [55, noVault()],
      [59, denied()],
    ] as const;
    expect(run(serving(), steps).verdict).toBe('serve');
    expect(run(serving(), [...steps, [60, noVault()]]).verdict).toBe('serve');
    expect(run(serving(), [...steps, [60, denied()]])).toMatchObject({
      verdict: 'revoke',
      verdictReason: 'AccessDenied',
    });
  });

  test('answers after a missing name have their own time and number', () => {
    const steps = [
      [0, noVault()],
      [10, denied()],
      [60, denied()],
      [69, denied()],
    ] as const;
    expect(run(serving(), steps)).toMatchObject({
      verdict: 'serve',
      run: { class: 'missing', since: T0, answers: 4, others: { since: at(10), answers: 3 } },
    });
    expect(run(serving(), [...steps, [70, denied()]]).verdict).toBe('revoke');
    const few = [steps[0], steps[1], [200, denied()]] as const;
    expect(run(serving(), few).verdict).toBe('serve');
  });

  test('suspect answers of both kinds in turn are confirmed in the end', () => {
    const steps = Array.from(
      { length: 400 },
      (_, i) => [i * 10, i % 2 === 0 ? noVault() : denied()] as const,
    );
    expect(run(serving(), steps).verdict).toBe('revoke');
  });
});

describe('isUnsettled', () => {
  test('is so while a run goes on', () => {
    expect(isUnsettled(serving())).toBe(false);
    expect(isUnsettled(step(serving(), denied(), 0))).toBe(true);
  });
});

describe('isProven', () => {
  test.each([
    ['serving and good', serving(), true],
    ['unknown version', undefined, false],
    ['never observed', makeVersionState(V1, T0), false],
    ['lost', revoked(), false],
    ['lost, and once good again', step(revoked(), good(), 5), false],
    ['serving, last answer transient', step(serving(), throttled(), 5), false],
    ['serving, last answer suspect', step(serving(), denied(), 5), false],
    ['serving, good with a reserve', serving(V1, { reason: 'KeyExpired' }), false],
    ['serving, not usable', serving(V1, { status: 'unknown' }), false],
    ['serving, but retired', serving(V1, { retiredAt: T0 }), false],
  ])('%s', (_, state, result) => expect(isProven(state)).toBe(result));
});
