// What no sequence of observations of a key version may do to its verdict (design 5).
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  advanceVersion,
  makeVersionState,
  type StatusRules,
  type VersionObservation,
  type VersionState,
} from '../../shared/domain/key-status.ts';
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
  T0,
  throttled,
  V1,
} from '../shared/domain/states.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 100);
const check = <T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>) =>
  fc.assert(property, { numRuns });

const GOOD = [good()];
const DEFINITIVE = [
  disabled(),
  good(V1, { expiresOn: at(-HOUR) }),
  good(V1, { notBefore: at(HOUR * 99_999) }),
  faulty(http(403, 'KeyDisabled')),
  faulty(http(403, 'KeyOperationForbidden')),
  faulty(http(404), V1, 'deleted'),
];
const SUSPECT = [
  denied(),
  faulty(http(403, 'ForbiddenByFirewall')),
  faulty(http(404)),
  { ...denied(), attributes: attributesOf(V1) },
];
const TRANSIENT = [
  throttled(),
  noCanary(),
  faulty({ kind: 'identity' }),
  faulty(http(401)),
  faulty(http(403)),
  faulty(http(503)),
  faulty({ kind: 'network', cause: 'dns' }),
  faulty({ kind: 'answer', what: 'another key' }),
];
const FAULT = [mismatch()];
const VAULT_GONE = [noVault()];

type Step = readonly [gapSeconds: number, VersionObservation];
const steps = (observations: readonly VersionObservation[], longestGap = 40): fc.Arbitrary<readonly Step[]> =>
  fc.array(fc.tuple(fc.integer({ min: 0, max: longestGap }), fc.constantFrom(...observations)), {
    maxLength: 25,
  });
const ANY = [...GOOD, ...DEFINITIVE, ...SUSPECT, ...TRANSIENT, ...FAULT, ...VAULT_GONE];

interface Timed {
  readonly state: VersionState;
  readonly seconds: number;
}
const START: Timed = { state: makeVersionState(V1, T0), seconds: 0 };

interface Options {
  readonly rules?: Partial<StatusRules>;
  readonly held?: boolean;
}

function advance({ state, seconds }: Timed, [gap, observation]: Step, options: Options = {}): Timed {
  const now = seconds + gap;
  const rules = { ...RULES, ...options.rules };
  const context = { now: at(now), vaultNow: at(now), rules, held: options.held ?? false };
  return { state: advanceVersion(state, observation, context), seconds: now };
}

/** Every state on the way, the first included. */
function follow(start: Timed, sequence: readonly Step[], options: Options = {}): readonly Timed[] {
  const states = [start];
  let current = start;
  for (const one of sequence) {
    current = advance(current, one, options);
    states.push(current);
  }
  return states;
}
const end = (start: Timed, sequence: readonly Step[], options: Options = {}): Timed =>
  follow(start, sequence, options).at(-1) ?? start;
const verdictOf = ({ state }: Timed) => ({
  verdict: state.verdict,
  reason: state.verdictReason,
  since: state.verdictSince,
});

describe('what can’t be told changes nothing (I-02)', () => {
  test('I-02: no sequence of transient answers and faults changes a verdict, from any state, for any time', () => {
    check(
      fc.property(steps(ANY), steps([...TRANSIENT, ...FAULT], 400 * HOUR), (before, blind) => {
        const start = end(START, before);
        for (const one of follow(start, blind)) expect(verdictOf(one)).toEqual(verdictOf(start));
      }),
    );
  });

  test('I-02: where the policy limits it, only a served version is lost, and only after the buffer', () => {
    const options = { rules: { transientBuffer: 'revoke' } } as const;
    check(
      fc.property(steps(ANY), steps([...TRANSIENT, ...FAULT], 9 * HOUR), (before, blind) => {
        const states = follow(end(START, before), blind, options);
        let since: number | null = null;
        for (const [index, [gap, observation]] of blind.entries()) {
          const was = states[index] ?? START;
          const is = states[index + 1] ?? START;
          since = observation.probe.kind === 'unwrapped' ? null : (since ?? toSeconds(was, gap));
          if (was.state.verdict === is.state.verdict) continue;
          expect([was.state.verdict, is.state.verdict]).toEqual(['serve', 'revoke']);
          expect(is.seconds - (since ?? is.seconds)).toBeGreaterThanOrEqual(24 * HOUR);
        }
      }),
    );
  });

  /** When the transient answers began: on record already, or with this one. */
  const toSeconds = (was: Timed, gap: number): number =>
    was.state.transientSince === null
      ? was.seconds + gap
      : (was.state.transientSince.getTime() - T0.getTime()) / 1000;
});

test('a definitive loss always ends in revoke, at once, whatever came before and whoever holds', () => {
  check(
    fc.property(steps(ANY), fc.constantFrom(...DEFINITIVE), fc.boolean(), (before, loss, held) => {
      const after = advance(end(START, before), [1, loss], { held });
      expect(after.state).toMatchObject({ verdict: 'revoke', status: 'unusable', run: null });
      expect(after.state.verdictReason).toBe(after.state.reason);
    }),
  );
});

test('two good probes at least 3 s apart, with only good ones between, always end in serve', () => {
  check(
    fc.property(
      steps(ANY),
      steps(GOOD, 2),
      fc.integer({ min: 3, max: 999_999 }),
      fc.boolean(),
      (before, between, gap, held) => {
        const sequence = [...before, [1, good()] as const, ...between, [gap, good()] as const];
        expect(end(START, sequence, { held }).state).toMatchObject({
          verdict: 'serve',
          verdictReason: null,
          run: null,
        });
      },
    ),
  );
});

test('a lost version never comes back by good probes less than 3 s apart', () => {
  check(
    fc.property(
      steps(ANY),
      fc.constantFrom(...DEFINITIVE),
      fc.array(fc.integer({ min: 0, max: 2999 }), { maxLength: 9 }),
      (before, loss, moments) => {
        const lost = advance(end(START, before), [1, loss]);
        const gaps = moments.sort((a, b) => a - b).map((ms, i, all) => (ms - (all[i - 1] ?? 0)) / 1000);
        expect(
          end(
            lost,
            gaps.map((gap) => [gap, good()] as const),
          ).state.verdict,
        ).toBe('revoke');
      },
    ),
  );
});

describe('suspicion', () => {
  const confirm = fc.integer({ min: 0, max: 300 });
  const doubts = [...SUSPECT, ...VAULT_GONE, ...TRANSIENT];

  test('never revokes in less than confirmSuspectSeconds or with fewer than 3 answers in a row', () => {
    check(
      fc.property(
        steps(ANY),
        steps([...GOOD, ...FAULT, ...doubts]),
        confirm,
        (before, sequence, confirmSuspectSeconds) => {
          const start = { ...end(START, [...before, [1, disabled()], [1, good()], [3, good()]]) };
          const states = follow(start, sequence, { rules: { confirmSuspectSeconds } });
          let run: number[] = [];
          for (const [index, [, observation]] of sequence.entries()) {
            const { state, seconds } = states[index + 1] ?? START;
            if (observation.probe.kind === 'unwrapped') run = [];
            else if (state.status === 'unusable') run.push(seconds);
            if (state.verdict !== 'revoke') continue;
            expect(run.length).toBeGreaterThanOrEqual(3);
            expect(seconds - (run[0] ?? seconds)).toBeGreaterThanOrEqual(confirmSuspectSeconds);
            return;
          }
        },
      ),
    );
  });

  test('always revokes once it has lasted that long, through any transient answers', () => {
    check(
      fc.property(steps(ANY), steps([...SUSPECT, ...TRANSIENT]), (before, sequence) => {
        // Fifteen minutes: the vault's name may have been missing once, which takes that long.
        const tail = [0, 450, 450].map((gap) => [gap, denied()] as const);
        expect(end(START, [...before, ...sequence, ...tail]).state.verdict).toBe('revoke');
      }),
    );
  });

  test('of a vault whose name is gone never revokes within 15 minutes', () => {
    check(
      fc.property(steps([...VAULT_GONE, ...TRANSIENT], 120), (sequence) => {
        const start = advance(START, [0, good()]);
        for (const { state, seconds } of follow(start, sequence)) {
          if (seconds < 900) expect(state.verdict).toBe('serve');
        }
      }),
    );
  });

  test('revokes nothing while the breaker holds', () => {
    check(
      fc.property(steps(ANY), steps([...GOOD, ...FAULT, ...doubts], 9 * HOUR), (before, sequence) => {
        const start = end(START, before);
        const states = follow(start, sequence, { held: true });
        for (const [index, { state }] of states.entries()) {
          if (states[index - 1]?.state.verdict !== 'revoke' && index > 0)
            expect(state.verdict).not.toBe('revoke');
        }
      }),
    );
  });
});

test('a verdict and a status each keep the time of their last change', () => {
  check(
    fc.property(steps(ANY), (sequence) => {
      const states = follow(START, sequence);
      for (const [index, is] of states.entries()) {
        const was = states[index - 1];
        if (was === undefined) continue;
        const same = was.state.verdict === is.state.verdict;
        expect(is.state.verdictSince).toEqual(same ? was.state.verdictSince : at(is.seconds));
        const still = was.state.status === is.state.status && was.state.reason === is.state.reason;
        expect(is.state.since).toEqual(still ? was.state.since : at(is.seconds));
      }
    }),
  );
});
