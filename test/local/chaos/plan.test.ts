import { describe, expect, test } from 'vitest';
import {
  BLOB_FAULTS,
  type Deed,
  describePlan,
  ENDS,
  FORGERIES,
  KEKS,
  KEY_DEEDS,
  POSTGRES,
  planRound,
  QUEUE_FAULTS,
  TABLE_FAULTS,
  VAULT_FAULTS,
  WEBHOOK_FAULTS,
} from '../../../local/chaos/plan.ts';

const SEEDS = Array.from({ length: 2000 }, (_, seed) => seed);
const plans = SEEDS.map(planRound);
const deeds = plans.flatMap(({ actions }) => actions.map(({ deed }) => deed));
const ofKind = <Kind extends Deed['kind']>(kind: Kind) =>
  deeds.filter((deed): deed is Extract<Deed, { readonly kind: Kind }> => deed.kind === kind);

describe('planRound', () => {
  test('the same seed gives the same plan, another seed another', () => {
    for (const seed of [0, 1, 77, 123_456_789]) expect(planRound(seed)).toEqual(planRound(seed));
    const texts = new Set(plans.map(({ actions, ends }) => JSON.stringify({ actions, ends })));
    expect(texts.size).toBeGreaterThan(SEEDS.length * 0.95);
  });

  test('actions are in the order of their times, and within the round', () => {
    for (const { actions, lengthMs } of plans) {
      const times = actions.map(({ atMs }) => atMs);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(times.every((at) => at >= 0 && at <= lengthMs)).toBe(true);
    }
  });

  test('every round disturbs something', () => {
    expect(plans.every(({ actions }) => actions.length >= 2)).toBe(true);
  });

  test('over many seeds every kind of deed occurs', () => {
    const expected: Record<Deed['kind'], true> = {
      rotate: true,
      key: true,
      faults: true,
      noToken: true,
      topicOutage: true,
      kill: true,
      freeze: true,
      events: true,
      forge: true,
      postgresCrash: true,
      postgresNetwork: true,
      register: true,
    };
    expect(new Set(deeds.map(({ kind }) => kind))).toEqual(new Set(Object.keys(expected)));
  });

  test('over many seeds everything happens to every key, and every way to leave it', () => {
    for (const kek of KEKS) {
      const done = ofKind('key').filter((deed) => deed.kek === kek);
      expect(new Set(done.map(({ deed }) => deed))).toEqual(new Set(KEY_DEEDS));
      expect(new Set(plans.map(({ ends }) => ends[kek]))).toEqual(new Set(ENDS));
    }
    expect(new Set(ofKind('forge').map(({ forgery }) => forgery))).toEqual(new Set(FORGERIES));
  });

  test.each([
    ...KEKS.map((kek) => [kek, VAULT_FAULTS] as const),
    ['table', TABLE_FAULTS] as const,
    ['queue', QUEUE_FAULTS] as const,
    ['blob', BLOB_FAULTS] as const,
    ['webhook', WEBHOOK_FAULTS] as const,
  ])('over many seeds every fault occurs on the wire %s', (wire, faults) => {
    const met = ofKind('faults').filter((deed) => deed.wire === wire);
    expect(new Set(met.flatMap((deed) => deed.faults))).toEqual(new Set(faults));
  });

  test('over many seeds every PostgreSQL server crashes and loses its network in every way', () => {
    expect(new Set(ofKind('postgresCrash').map(({ server }) => server))).toEqual(new Set(POSTGRES));
    const ways = new Set(ofKind('postgresNetwork').map(({ server, passage }) => `${server} ${passage}`));
    expect(ways.size).toBe(POSTGRES.length * 3);
  });

  test('a key that counts as untouched is touched by nothing, and stays usable', () => {
    expect(plans.some(({ untouched }) => untouched.length > 0)).toBe(true);
    for (const { actions, ends, untouched } of plans) {
      for (const kek of untouched) {
        expect(ends[kek]).toBe('usable');
        expect(actions.some(({ deed }) => deed.kind === 'key' && deed.kek === kek)).toBe(false);
      }
    }
  });
});

test('a plan reads as one line a deed, and how it ends', () => {
  const plan = planRound(3);
  const lines = describePlan(plan);
  expect(lines).toHaveLength(plan.actions.length + 1);
  expect(lines.at(-1)).toContain(`payments ${plan.ends.payments}`);
});
