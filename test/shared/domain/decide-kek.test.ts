import { describe, expect, test } from 'vitest';
import {
  decideKek,
  type KekContext,
  type KekObservation,
  turnsSuspect,
} from '../../../shared/domain/decide-kek.ts';
import { DEFAULT_POLICY, type KekSnapshot, makeKekState, type Rotation } from '../../../shared/domain/kek.ts';
import { makeVersionState, type VersionState } from '../../../shared/domain/key-status.ts';
import {
  at,
  attributesOf,
  contextAt,
  DAY,
  denied,
  disabled,
  faulty,
  good,
  HOUR,
  http,
  KEK,
  mismatch,
  observe,
  RULES,
  revoked,
  serving,
  snapshotOf,
  T0,
  throttled,
  V1,
  V2,
  V3,
} from './states.ts';

const url = (version: string) => `https://contoso.vault.azure.net/keys/kek/${version}`;
const decide = (snapshot: KekSnapshot, observation: KekObservation, context: KekContext = contextAt(0)) =>
  decideKek(snapshot, observation, context);
const actions = (decision: ReturnType<typeof decideKek>) => decision.transitions.map((one) => one.action);
const versionOf = (decision: ReturnType<typeof decideKek>, version: string) =>
  decision.snapshot.versions.find((state) => state.version === version);

/** Expires `days` after T0. */
const expiring = (days: number, version = V1) => good(version, { expiresOn: at(days * DAY) });

describe('a KEK that was never reconciled', () => {
  const fresh: KekSnapshot = { kek: makeKekState(KEK), versions: [] };

  test('takes its newest version as the target once that is proven', () => {
    const decision = decide(fresh, observe(V2, good(V1), good(V2)), contextAt(5));
    expect(decision.snapshot.kek).toMatchObject({ target: V2, epoch: 1, rotation: { state: 'idle' } });
    expect(
      decision.snapshot.versions.map(({ version, verdict, since }) => [version, verdict, since]),
    ).toEqual([
      [V1, 'serve', at(5)],
      [V2, 'serve', at(5)],
    ]);
    expect(decision.recheckAfterSeconds).toBeNull();
  });

  test('publishes nothing: nobody is on those versions yet', () => {
    const { transitions } = decide(fresh, observe(V1, good(V1)));
    expect(transitions).toEqual([
      { action: 'kek.verdict', versionBefore: V1, versionAfter: V1, reason: null, event: null },
      { action: 'kek.target', versionBefore: null, versionAfter: V1, reason: null, event: null },
    ]);
  });

  test('has no target while the newest isn’t proven, whatever the older ones are', () => {
    const { snapshot } = decide(fresh, observe(V2, good(V1), disabled(V2)));
    expect(snapshot.kek.target).toBeNull();
    expect(snapshot.kek.rotation).toEqual({ state: 'blocked', newest: V2, reason: 'KeyDisabled', since: T0 });
  });

  test('stays as it is when nothing could be read', () => {
    expect(decide(fresh, observe(null))).toEqual({
      snapshot: fresh,
      transitions: [],
      recheckAfterSeconds: null,
    });
  });
});

describe('verdicts and epochs', () => {
  const snapshot = snapshotOf([serving(V1), serving(V2)], { target: V2 });

  test('a version that is lost adds one to the epoch and is announced', () => {
    const decision = decide(snapshot, observe(V2, disabled(V1), good(V2)), contextAt(5));
    expect(decision.snapshot.kek).toMatchObject({ epoch: 8, target: V2, fannedOutEpoch: 0 });
    expect(decision.transitions).toEqual([
      {
        action: 'kek.verdict',
        versionBefore: V1,
        versionAfter: V1,
        reason: 'KeyDisabled',
        event: {
          id: `${url(V1)}:8:PgCmk.KeyUnusable`,
          type: 'PgCmk.KeyUnusable',
          subject: url(V1),
          time: at(5),
          data: { keyId: url(V1), reason: 'KeyDisabled' },
        },
      },
    ]);
  });

  test('two versions lost at once add one', () => {
    const decision = decide(snapshot, observe(V2, disabled(V1), disabled(V2)));
    expect(decision.snapshot.kek).toMatchObject({ epoch: 8, target: V2 });
    expect(actions(decision)).toEqual(['kek.verdict', 'kek.verdict']);
  });

  test('a version that comes back adds one and is announced', () => {
    const back = revoked(V1, { run: { class: 'good', since: T0, answers: 1 } });
    const decision = decide(snapshotOf([back]), observe(V1, good(V1)), contextAt(3));
    expect(decision.snapshot.kek.epoch).toBe(8);
    expect(decision.transitions[0]?.event).toMatchObject({
      id: `${url(V1)}:8:PgCmk.KeyUsable`,
      type: 'PgCmk.KeyUsable',
      data: { keyId: url(V1), reason: null },
    });
  });

  test('a status that changes without a verdict adds nothing', () => {
    const decision = decide(snapshot, observe(V2, throttled(V1), denied(V2)));
    expect(decision.snapshot.kek).toEqual(snapshot.kek);
    expect(decision.transitions).toEqual([]);
    expect(versionOf(decision, V1)).toMatchObject({ status: 'unknown', reason: 'Throttled' });
  });

  test('versions that were not observed stay as they are', () => {
    const decision = decide(snapshot, observe(V2, disabled(V1)));
    expect(versionOf(decision, V2)).toBe(snapshot.versions[1]);
    expect(decision.snapshot.versions.map((state) => state.version)).toEqual([V1, V2]);
  });

  test.each([
    ['nobody is on it', false, null],
    ['servers are on it', true, 'PgCmk.KeyUsable'],
  ] as const)('the first good look at a version while %s', (_, inUse, type) => {
    const first = { ...makeVersionState(V1, T0), inUse };
    const { transitions } = decide(snapshotOf([first]), observe(V1, good(V1)));
    expect(transitions.map((one) => one.event?.type ?? null)).toEqual([type]);
  });

  test('a version that was served is announced when it is lost, though nobody is on it now', () => {
    const { transitions } = decide(snapshotOf([serving(V1, { inUse: false })]), observe(V1, disabled(V1)));
    expect(transitions[0]?.event?.type).toBe('PgCmk.KeyUnusable');
  });

  test('an expired version that is then disabled adds one to the epoch', () => {
    const lost = revoked(V1, { reason: 'KeyExpired', verdictReason: 'KeyExpired' });
    const { kek } = decide(
      snapshotOf([lost, serving(V2)], { target: V2 }),
      observe(V2, disabled(V1), good(V2)),
    ).snapshot;
    expect(kek.epoch).toBe(8);
  });
});

test('another reason for the same verdict is recorded and not announced', () => {
  const { transitions } = decide(snapshotOf([revoked(V1)]), observe(V1, faulty(http(404), V1, 'deleted')));
  expect(transitions).toEqual([
    { action: 'kek.verdict', versionBefore: V1, versionAfter: V1, reason: 'KeySoftDeleted', event: null },
  ]);
});

describe('the rules it hands on', () => {
  test('the breaker holds suspect verdicts', () => {
    const run = { class: 'suspect', since: T0, answers: 2 } as const;
    const snapshot = snapshotOf([serving(V1, { run })]);
    expect(
      versionOf(decide(snapshot, observe(V1, denied()), contextAt(60, { held: true })), V1)?.verdict,
    ).toBe('serve');
    expect(versionOf(decide(snapshot, observe(V1, denied()), contextAt(60)), V1)?.verdict).toBe('revoke');
  });

  test('expiredKeyPolicy is the KEK’s own', () => {
    const gone = good(V1, { expiresOn: at(-HOUR) });
    const warn = snapshotOf([serving()], { policy: { ...DEFAULT_POLICY, expiredKeyPolicy: 'warn' } });
    expect(versionOf(decide(warn, observe(V1, gone)), V1)?.verdict).toBe('serve');
    expect(versionOf(decide(snapshotOf([serving()]), observe(V1, gone)), V1)?.verdict).toBe('revoke');
  });

  test('transientBuffer is the KEK’s own', () => {
    const states = [serving(V1, { transientSince: at(-25 * HOUR) })];
    const limited = snapshotOf(states, { policy: { ...DEFAULT_POLICY, transientBuffer: 'revoke' } });
    expect(versionOf(decide(limited, observe(V1, throttled())), V1)?.verdict).toBe('revoke');
    expect(versionOf(decide(snapshotOf(states), observe(V1, throttled())), V1)?.verdict).toBe('serve');
  });

  test('the dates are compared with the vault’s clock, the times are ours', () => {
    const gone = good(V1, { expiresOn: at(0) });
    const later = { ...observe(V1, gone), vaultNow: at(HOUR) };
    expect(versionOf(decide(snapshotOf([serving()]), later, contextAt(-9)), V1)).toMatchObject({
      verdictReason: 'KeyExpired',
      verdictSince: at(-9),
    });
  });
});

describe('recheckAfterSeconds', () => {
  test('the first good probe after a loss schedules the second', () => {
    const rules = { ...RULES, restoreGapSeconds: 4 };
    const decision = decide(snapshotOf([revoked()]), observe(V1, good()), contextAt(0, { rules }));
    expect(decision.recheckAfterSeconds).toBe(4);
    expect(decision.transitions).toEqual([]);
  });

  test('a run of suspect answers is left to the probes', () => {
    expect(decide(snapshotOf([serving()]), observe(V1, denied())).recheckAfterSeconds).toBeNull();
  });
});

describe('the target', () => {
  const target = (
    versions: readonly VersionState[],
    observation: KekObservation,
    current: string | null = V1,
  ) => decide(snapshotOf(versions, { target: current }), observation).snapshot.kek.target;

  test.each([
    ['moves to a newer proven version', [serving(V1)], observe(V2, good(V1), good(V2)), V2],
    ['moves there though the old one is lost', [serving(V1)], observe(V2, disabled(V1), good(V2)), V2],
    [
      'moves there though the old one’s dates are unknown',
      [serving(V1, { attributes: null })],
      observe(V2, good(V2)),
      V2,
    ],
    ['stays when the newest could not be read', [serving(V1)], observe(null, good(V1), good(V2)), V1],
    ['stays when the newest is the target', [serving(V1)], observe(V1, good(V1)), V1],
    ['stays when the target is lost and there is no other', [serving(V1)], observe(V1, disabled(V1)), V1],
    ['stays when the newest was not observed', [serving(V1)], observe(V2, good(V1)), V1],
    ['stays when the newest is disabled', [serving(V1)], observe(V2, disabled(V2)), V1],
    ['stays when the newest could not be asked', [serving(V1)], observe(V2, throttled(V2)), V1],
    ['stays when the newest is suspect', [serving(V1)], observe(V2, denied(V2)), V1],
    [
      'stays when the newest comes back, until it is confirmed',
      [serving(V1), revoked(V2)],
      observe(V2, good(V2)),
      V1,
    ],
    [
      'takes the newest only, not one in between',
      [serving(V1), serving(V2)],
      observe(V3, good(V2), disabled(V3)),
      V1,
    ],
  ] as const)('%s', (_, versions, observation, result) => {
    expect(target(versions, observation)).toBe(result);
  });

  test('never moves to an older version', () => {
    expect(target([serving(V1), serving(V2)], observe(V1, good(V1), good(V2)), V2)).toBe(V2);
  });

  test('moves to one of the same second that the vault calls newest', () => {
    const same = good(V2, { createdOn: attributesOf(V1).createdOn });
    expect(target([serving(V1)], observe(V2, same))).toBe(V2);
  });

  test('stays when the dates of the newest are unknown: it may be the older one', () => {
    expect(target([serving(V1)], observe(V2, good(V2, null)))).toBe(V1);
    expect(target([], observe(V2, good(V2, null)), null)).toBe(V2);
  });

  test('never moves to a version that was retired', () => {
    const retired = serving(V2, { retiredAt: T0 });
    expect(target([serving(V1), retired], observe(V2, good(V1), good(V2)))).toBe(V1);
  });

  test('a move adds one to the epoch and starts a rotation', () => {
    const decision = decide(snapshotOf([serving(V1)]), observe(V2, good(V1), good(V2)), contextAt(5));
    expect(decision.snapshot.kek).toMatchObject({
      epoch: 8,
      rotation: { state: 'running', startedAt: at(5), resumedAt: null, wave: null },
    });
    expect(decision.transitions.at(-1)).toEqual({
      action: 'kek.target',
      versionBefore: V1,
      versionAfter: V2,
      reason: null,
      event: {
        id: `${url(V2)}:8:PgCmk.RotationStarted`,
        type: 'PgCmk.RotationStarted',
        subject: url(V2),
        time: at(5),
        data: { versionBefore: V1, versionAfter: V2 },
      },
    });
    expect(actions(decision)).toEqual(['kek.verdict', 'kek.target']);
  });

  test('a move without a new verdict adds one too', () => {
    const decision = decide(snapshotOf([serving(V1), serving(V2)]), observe(V2, good(V2)));
    expect(decision.snapshot.kek.epoch).toBe(8);
    expect(actions(decision)).toEqual(['kek.target']);
  });
});

describe('the rotation', () => {
  const rotate = (rotation: Rotation, observation: KekObservation, versions = [serving(V1)], current = V1) =>
    decide(snapshotOf(versions, { target: current, rotation }), observation, contextAt(9));
  const running: Rotation = { state: 'running', startedAt: T0, resumedAt: null, wave: null };
  const completed: Rotation = { state: 'completed', startedAt: T0, completedAt: at(1) };
  const halted: Rotation = { state: 'halted', startedAt: T0, since: at(1), failures: 3, wave: null };
  const blocked: Rotation = { state: 'blocked', newest: V2, reason: 'KeyDisabled', since: T0 };

  test('waits with a reason when the newest version isn’t proven, and says so', () => {
    const decision = rotate({ state: 'idle' }, observe(V2, good(V1), disabled(V2)));
    expect(decision.snapshot.kek.rotation).toEqual({
      state: 'blocked',
      newest: V2,
      reason: 'KeyDisabled',
      since: at(9),
    });
    expect(decision.transitions.at(-1)).toEqual({
      action: 'kek.rotation',
      versionBefore: V1,
      versionAfter: V2,
      reason: 'KeyDisabled',
      event: {
        id: `${url(V2)}:8:PgCmk.RotationBlocked:KeyDisabled:${at(9).toISOString()}`,
        type: 'PgCmk.RotationBlocked',
        subject: url(V2),
        time: at(9),
        data: { reason: 'KeyDisabled', target: V1 },
      },
    });
  });

  test.each([
    ['blocked for the same reason: as before', blocked, observe(V2, disabled(V2)), blocked],
    [
      'blocked for another',
      blocked,
      observe(V2, good(V2, { notBefore: at(HOUR) })),
      { ...blocked, reason: 'KeyNotYetValid', since: at(9) },
    ],
    [
      'blocked by another version',
      blocked,
      observe(V3, disabled(V3)),
      { ...blocked, newest: V3, since: at(9) },
    ],
    [
      'blocked, and the newest is proven: it runs',
      blocked,
      observe(V2, good(V2)),
      { state: 'running', startedAt: at(9), resumedAt: null, wave: null },
    ],
    ['blocked, and the newest was deleted from the list', blocked, observe(V1, good(V1)), { state: 'idle' }],
    ['blocked, and the newest was not observed', blocked, observe(V3, good(V1)), { state: 'idle' }],
    ['running goes on though a newer one is blocked', running, observe(V2, disabled(V2)), running],
    [
      'running starts anew with a newer target',
      running,
      observe(V2, good(V2)),
      { state: 'running', startedAt: at(9), resumedAt: null, wave: null },
    ],
    ['halted stays so', halted, observe(V1, good(V1)), halted],
    ['halted stays so though a newer one is blocked', halted, observe(V2, disabled(V2)), halted],
    [
      'halted, and a newer target: it starts anew',
      halted,
      observe(V2, good(V2)),
      { state: 'running', startedAt: at(9), resumedAt: null, wave: null },
    ],
    ['completed stays', completed, observe(V1, good(V1)), completed],
    ['completed, then blocked', completed, observe(V2, disabled(V2)), { ...blocked, since: at(9) }],
    [
      'completed, then a newer target',
      completed,
      observe(V2, good(V2)),
      { state: 'running', startedAt: at(9), resumedAt: null, wave: null },
    ],
    [
      'the target itself in trouble blocks nothing',
      { state: 'idle' },
      observe(V1, denied(V1)),
      { state: 'idle' },
    ],
  ] as const)('%s', (_, before, observation, after) => {
    expect(rotate(before, observation).snapshot.kek.rotation).toEqual(after);
  });

  test('a block that goes on, or ends, is no news', () => {
    const still = [serving(V1), revoked(V2)];
    expect(actions(rotate(blocked, observe(V2, disabled(V2)), still))).toEqual([]);
    expect(actions(rotate(blocked, observe(V1, good(V1)), still))).toEqual([]);
  });

  test('a version that once was lost blocks nothing while its return is being confirmed', () => {
    expect(rotate(blocked, observe(V2, good(V2)), [serving(V1), revoked(V2)]).snapshot.kek.rotation).toEqual({
      state: 'idle',
    });
  });

  test('I-02: a list of versions that could not be read doesn’t end a block', () => {
    const { kek } = rotate(blocked, observe(null, throttled(V1)), [serving(V1), revoked(V2)]).snapshot;
    expect(kek.rotation).toEqual(blocked);
  });

  test.each([{ canaryServers: ['pg-1'] }, { waveServers: 20 }])(
    'begins with the canaries alone where the policy has %o',
    (change) => {
      const policy = { ...DEFAULT_POLICY, ...change };
      const snapshot = snapshotOf([serving(V1)], { policy });
      const { kek } = decide(snapshot, observe(V2, good(V1), good(V2)), contextAt(9)).snapshot;
      expect(kek.rotation).toMatchObject({
        state: 'running',
        wave: { number: 0, upTo: '', openedAt: at(9) },
      });
    },
  );

  test('blocks that come in turn are an event each', () => {
    const steps = [throttled(V2), faulty(http(503), V2), throttled(V2)];
    let { snapshot } = rotate({ state: 'idle' }, observe(V1, good(V1)));
    const ids = steps.map((one, index) => {
      const decision = decide(snapshot, observe(V2, one), contextAt(10 + index));
      snapshot = decision.snapshot;
      return decision.transitions.find(({ action }) => action === 'kek.rotation')?.event?.id;
    });
    expect(new Set(ids)).toHaveProperty('size', 3);
    expect(ids).not.toContain(undefined);
  });

  test('two blocks for different reasons are two events', () => {
    const first = rotate({ state: 'idle' }, observe(V2, throttled(V2)));
    const second = decide(first.snapshot, observe(V2, faulty(http(503), V2)), contextAt(20));
    expect(second.transitions[0]?.event?.type).toBe('PgCmk.RotationBlocked');
    expect(second.transitions[0]?.event?.id).not.toBe(first.transitions[0]?.event?.id);
  });
});

describe('near expiry', () => {
  const warned = (warnedDays: number | null) => snapshotOf([serving(V1, { warnedDays })]);

  test.each([
    [31, null],
    [30.001, null],
    [30, 30],
    [29, 30],
    [10.001, 30],
    [10, 10],
    [3.001, 10],
    [3, 3],
    [1.001, 3],
    [1, 1],
    [0.001, 1],
    [0, 1],
  ])('%d days before it, the tier is %s', (days, tier) => {
    const decision = decide(warned(null), observe(V1, expiring(days)));
    expect(versionOf(decision, V1)?.warnedDays).toBe(tier);
    expect(actions(decision)).toEqual(tier === null ? [] : ['kek.nearExpiry']);
  });

  test('is announced with the date', () => {
    expect(decide(warned(null), observe(V1, expiring(9)), contextAt(5)).transitions).toEqual([
      {
        action: 'kek.nearExpiry',
        versionBefore: V1,
        versionAfter: V1,
        reason: 'expires within 10 days',
        event: {
          id: `${url(V1)}:2026-03-10T00:00:00.000Z:expires-in-10d`,
          type: 'PgCmk.KeyNearExpiry',
          subject: url(V1),
          time: at(5),
          data: { days: 10, expiresOn: at(9 * DAY) },
        },
      },
    ]);
  });

  test.each([
    ['once in each tier', 30, 29, 30, false],
    ['again in the next', 30, 10, 10, true],
    ['also when a tier was skipped', 30, 1, 1, true],
    ['not when the expiry was put off a little', 3, 9, 10, false],
    ['and is forgotten when it was put off for long', 3, 300, null, false],
  ])('%s', (_, before, days, after, announced) => {
    const decision = decide(warned(before), observe(V1, expiring(days)));
    expect(versionOf(decision, V1)?.warnedDays).toBe(after);
    expect(actions(decision)).toEqual(announced ? ['kek.nearExpiry'] : []);
  });

  test('is forgotten when there is no expiry any more', () => {
    const decision = decide(warned(3), observe(V1, good(V1)));
    expect(versionOf(decision, V1)?.warnedDays).toBeNull();
    expect(decision.transitions).toEqual([]);
  });

  test('says nothing of a version that has expired', () => {
    const decision = decide(warned(3), observe(V1, good(V1, { expiresOn: at(-HOUR) })));
    expect(versionOf(decision, V1)?.warnedDays).toBe(3);
    expect(actions(decision)).toEqual(['kek.verdict']);
  });

  test('goes by the attributes on record when none could be read, and by the vault’s clock', () => {
    const state = serving(V1, { attributes: attributesOf(V1, { expiresOn: at(40 * DAY) }) });
    const observation = { ...observe(V1, throttled()), vaultNow: at(38 * DAY) };
    expect(versionOf(decide(snapshotOf([state]), observation), V1)?.warnedDays).toBe(3);
  });

  test('a version without attributes has no tier', () => {
    expect(decide(snapshotOf([makeVersionState(V1, T0)]), observe(V1, throttled())).transitions).toEqual([]);
  });

  test('adds nothing to the epoch', () => {
    expect(decide(warned(null), observe(V1, expiring(9))).snapshot.kek.epoch).toBe(7);
  });

  test('the same tier before another expiry is another event', () => {
    const ids = [20, 385].map((days) => {
      const observation = { ...observe(V1, expiring(days)), vaultNow: at((days - 20) * DAY) };
      return decide(warned(null), observation).transitions[0]?.event?.id;
    });
    expect(ids[0]).not.toBe(ids[1]);
  });
});

describe('degraded', () => {
  test('a canary that comes back wrong is announced once', () => {
    const first = decide(snapshotOf([serving()]), observe(V1, mismatch()), contextAt(5));
    expect(first.transitions).toEqual([
      {
        action: 'kek.degraded',
        versionBefore: V1,
        versionAfter: V1,
        reason: 'CanaryMismatch',
        event: {
          id: `${url(V1)}:7:PgCmk.ControlPlaneDegraded:${at(5).toISOString()}`,
          type: 'PgCmk.ControlPlaneDegraded',
          subject: url(V1),
          time: at(5),
          data: { reason: 'CanaryMismatch', since: at(5) },
        },
      },
    ]);
    expect(first.snapshot.kek.epoch).toBe(7);
    expect(decide(first.snapshot, observe(V1, mismatch()), contextAt(9)).transitions).toEqual([]);
  });

  test('a second time in the same epoch is another event', () => {
    let snapshot = snapshotOf([serving()]);
    const ids = [mismatch(), good(), mismatch()].flatMap((one, index) => {
      const decision = decide(snapshot, observe(V1, one), contextAt(5 + index));
      snapshot = decision.snapshot;
      return decision.transitions.map(({ event }) => event?.id);
    });
    expect(snapshot.kek.epoch).toBe(7);
    expect(new Set(ids)).toHaveProperty('size', 2);
  });

  test('so is not being able to ask for 24 hours', () => {
    const snapshot = snapshotOf([serving(V1, { transientSince: at(-24 * HOUR) })]);
    expect(actions(decide(snapshot, observe(V1, throttled())))).toEqual(['kek.degraded']);
    expect(actions(decide(snapshot, observe(V1, good())))).toEqual([]);
  });
});

test('transitions come in one order: verdicts, near expiry, degraded, target, rotation', () => {
  const versions = [serving(V1), serving(V2)];
  const observation = observe(
    V3,
    { ...disabled(V1), attributes: attributesOf(V1, { enabled: false, expiresOn: at(DAY) }) },
    mismatch(V2),
    disabled(V3),
  );
  expect(actions(decide(snapshotOf(versions), observation))).toEqual([
    'kek.verdict',
    'kek.verdict',
    'kek.nearExpiry',
    'kek.degraded',
    'kek.rotation',
  ]);
});

describe('turnsSuspect', () => {
  const turns = (state: VersionState, observation = denied()) =>
    turnsSuspect(snapshotOf([state]), observe(V1, observation));

  test.each([
    ['a served version answers with suspicion', serving(), denied(), true],
    ['it does so again', serving(V1, { run: { class: 'suspect', since: T0, answers: 1 } }), denied(), false],
    [
      'it does so after it answered well once',
      serving(V1, { run: { class: 'good', since: T0, answers: 1 } }),
      denied(),
      true,
    ],
    ['it could not be asked', serving(), throttled(), false],
    ['it is lost for certain', serving(), disabled(), false],
    ['it answers well', serving(), good(), false],
    ['it was lost before', revoked(), denied(), false],
    ['it was never proven', makeVersionState(V1, T0), denied(), false],
    ['a key not found', serving(), faulty(http(404), V1, 'absent'), true],
    [
      'a key known to be deleted is purged: for certain',
      serving(V1, { seenDeleted: true }),
      faulty(http(404), V1, 'absent'),
      false,
    ],
  ])('%s', (_, state, observation, result) => expect(turns(state, observation)).toBe(result));

  test('an expired version is lost for certain, unless the policy only warns', () => {
    const observation = { ...denied(), attributes: attributesOf(V1, { expiresOn: at(-HOUR) }) };
    expect(turns(serving(), observation)).toBe(false);
    const policy = { ...DEFAULT_POLICY, expiredKeyPolicy: 'warn' } as const;
    expect(turnsSuspect(snapshotOf([serving()], { policy }), observe(V1, observation))).toBe(true);
  });

  test('a version nobody knows doesn’t count, one of several does', () => {
    expect(turnsSuspect(snapshotOf([serving(V1)]), observe(V1, denied(V2)))).toBe(false);
    expect(turnsSuspect(snapshotOf([serving(V1), serving(V2)]), observe(V2, good(V1), denied(V2)))).toBe(
      true,
    );
    expect(turnsSuspect(snapshotOf([]), observe(null))).toBe(false);
  });
});
