import { describe, expect, test } from 'vitest';
import { makeKekState, type Rotation } from '../../../shared/domain/kek.ts';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { makeVersionState, type VersionState } from '../../../shared/domain/key-status.ts';
import { makeFleetReadings } from '../../../shared/operations/fleet-readings.ts';
import type { Reading } from '../../../shared/ports/telemetry.ts';
import { versionOf } from '../../fixtures/rows.ts';

const kek = { vault: 'alpha.vault.azure.net', name: 'fleet' };
const now = new Date('2030-01-02T00:00:00Z');
const ago = (seconds: number) => new Date(now.getTime() - seconds * 1000);
const V1 = versionOf(1);
const proven: VersionState = {
  ...makeVersionState(V1, ago(0)),
  status: 'usable',
  reason: null,
  verdict: 'serve',
  inUse: true,
};
const census = (states: Readonly<Record<string, Readonly<Record<string, number>>>>) => ({
  countedAt: ago(60),
  versions: {},
  states,
  notSettled: 0,
  behind: 0,
  lastBehind: null,
});
const valuesOf = (readings: readonly Reading[], gauge: Reading['gauge']) =>
  readings.filter((one) => one.gauge === gauge).map(({ value, attributes }) => [value, attributes]);
const statesOf = (readings: readonly Reading[]) =>
  Object.fromEntries(
    readings.flatMap((one) => (one.gauge === 'pgcmk.servers' ? [[one.attributes.state, one.value]] : [])),
  );

describe('the readings of a fleet', () => {
  test('all keys together, and each state, that of nobody too', () => {
    const readings = makeFleetReadings(now);
    for (const states of [
      { Ready: 3, Revoking: 1 },
      { Ready: 2, Inaccessible: 4 },
    ])
      readings.add({ kek: { ...makeKekState(kek), census: census({ [V1]: states }) }, versions: [proven] });
    readings.add({ kek: makeKekState(kek), versions: [] });
    expect(statesOf(readings.all())).toEqual({
      PendingKey: 0,
      Ready: 5,
      Suspect: 0,
      Revoking: 1,
      Inaccessible: 4,
      Restoring: 0,
    });
  });

  test('a version that is not good now makes its servers suspect, without a new count', () => {
    const readings = makeFleetReadings(now);
    const V2 = versionOf(2);
    const states = { [V1]: { Ready: 3, Suspect: 1 }, [V2]: { Ready: 2 } };
    const suspect: VersionState = { ...proven, version: V2, status: 'unusable', reason: 'AccessDenied' };
    readings.add({ kek: { ...makeKekState(kek), census: census(states) }, versions: [proven, suspect] });
    expect(statesOf(readings.all())).toMatchObject({ Ready: 3, Suspect: 3 });
  });

  test('each version in use with its status, and how long until it expires', () => {
    const readings = makeFleetReadings(now);
    const attributes = { enabled: true, notBefore: null, expiresOn: ago(-3600), createdOn: ago(86_400) };
    const V2 = versionOf(2);
    const expired: VersionState = {
      ...proven,
      version: V2,
      status: 'unusable',
      reason: 'KeyExpired',
      attributes: { ...attributes, expiresOn: ago(30) },
    };
    const V3 = versionOf(3);
    const forEver = { ...proven, version: V3, attributes: { ...attributes, expiresOn: null } };
    const unused = { ...proven, version: versionOf(4), attributes, inUse: false };
    readings.add({
      kek: makeKekState(kek),
      versions: [{ ...proven, attributes }, expired, forEver, unused],
    });
    const ids = { kek: keyUrl(kek) };
    expect(valuesOf(readings.all(), 'pgcmk.kek.status')).toEqual([
      [1, { ...ids, version: V1, status: 'usable', reason: 'none' }],
      [1, { ...ids, version: V2, status: 'unusable', reason: 'KeyExpired' }],
      [1, { ...ids, version: V3, status: 'usable', reason: 'none' }],
    ]);
    expect(valuesOf(readings.all(), 'pgcmk.kek.expiry')).toEqual([
      [3600, { ...ids, version: V1 }],
      [-30, { ...ids, version: V2 }],
    ]);
  });

  test.each<[Rotation, number | null]>([
    [{ state: 'idle' }, null],
    [{ state: 'running', startedAt: ago(90), resumedAt: null, wave: null }, 90],
    [{ state: 'halted', startedAt: ago(90), since: ago(10), failures: 11, wave: null }, 90],
    [{ state: 'completed', startedAt: ago(90), completedAt: ago(10) }, null],
    [{ state: 'blocked', newest: V1, reason: 'KeyDisabled', since: ago(20) }, 20],
  ])('the age of a rotation that is not finished: $state', (rotation, age) => {
    const readings = makeFleetReadings(now);
    readings.add({ kek: { ...makeKekState(kek), rotation }, versions: [] });
    const expected = age === null ? [] : [[age, { kek: keyUrl(kek), state: rotation.state }]];
    expect(valuesOf(readings.all(), 'pgcmk.rotation.age')).toEqual(expected);
  });
});
