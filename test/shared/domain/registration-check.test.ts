import { describe, expect, test } from 'vitest';
import {
  checkKeyFacts,
  isValid,
  KEY_FACT_CODES,
  type KeyFacts,
  passed,
  skipped,
  warned,
} from '../../../shared/domain/registration-check.ts';

const NOW = new Date('2030-01-01T00:00:00Z');
const inDays = (days: number) => new Date(NOW.getTime() + days * 86_400_000);
const SOUND: KeyFacts = {
  attributes: { enabled: true, notBefore: null, expiresOn: null, createdOn: inDays(-10) },
  keyType: 'RSA-HSM',
  bits: 3072,
  operations: ['wrapKey', 'unwrapKey'],
  recovery: { recoverable: true, purgeProtected: true, days: 90 },
};
const attributes = (change: Partial<KeyFacts['attributes']>): Partial<KeyFacts> => ({
  attributes: { ...SOUND.attributes, ...change },
});
const recovery = (change: Partial<KeyFacts['recovery']>): Partial<KeyFacts> => ({
  recovery: { ...SOUND.recovery, ...change },
});

/** Every check says something, and what to do where it says that something is to be done. */
function check(change: Partial<KeyFacts>) {
  const checks = checkKeyFacts({ ...SOUND, ...change }, NOW);
  for (const { message, remedy } of checks) {
    expect(message).toMatch(/^\S.*\S$/);
    if (remedy !== null) expect(remedy).toMatch(/^\S.*\S$/);
  }
  return checks;
}

/** The checks that didn't pass, in order. */
const findings = (change: Partial<KeyFacts>) =>
  check(change)
    .filter(({ outcome }) => outcome !== 'passed')
    .map(({ code, outcome }) => `${code} ${outcome}`);

describe('checkKeyFacts', () => {
  test('a sound key passes every check, in the order in which they are shown', () => {
    const checks = checkKeyFacts(SOUND, NOW);
    expect(checks.map(({ code }) => code)).toEqual(KEY_FACT_CODES);
    expect(checks.every(({ outcome, remedy }) => outcome === 'passed' && remedy === null)).toBe(true);
  });

  test.each<[string, Partial<KeyFacts>, readonly string[]]>([
    [
      'an EC key',
      { keyType: 'EC', bits: null },
      ['KeyTypeNotSupported failed', 'KeySizeNotSupported skipped'],
    ],
    [
      'a symmetric key that names a size',
      { keyType: 'oct-HSM', bits: 2048 },
      ['KeyTypeNotSupported failed', 'KeySizeNotSupported skipped'],
    ],
    ['RSA of a size that was not said', { keyType: 'RSA', bits: null }, ['KeySizeNotSupported skipped']],
    ['RSA of 1,024 bits', { keyType: 'RSA', bits: 1024 }, ['KeySizeNotSupported failed']],
    ['RSA of 2,048 bits', { keyType: 'RSA', bits: 2048 }, []],
    ['RSA of 4,096 bits', { keyType: 'RSA', bits: 4096 }, []],
    ['RSA of 8,192 bits', { keyType: 'RSA', bits: 8192 }, ['KeySizeNotSupported failed']],
    ['disabled', attributes({ enabled: false }), ['KeyIsDisabled failed']],
    ['valid from tomorrow', attributes({ notBefore: inDays(1) }), ['KeyIsNotYetValid failed']],
    ['valid since yesterday', attributes({ notBefore: inDays(-1) }), []],
    ['expired', attributes({ expiresOn: inDays(-1) }), ['KeyIsExpired failed', 'KeyExpiresSoon skipped']],
    ['expires in 30 days', attributes({ expiresOn: inDays(30) }), ['KeyExpiresSoon warning']],
    ['expires in 31 days', attributes({ expiresOn: inDays(31) }), []],
    ['no unwrapKey', { operations: ['wrapKey'] }, ['KeyOperationsMissing failed']],
    ['no operation at all', { operations: [] }, ['KeyOperationsMissing failed']],
    ['no wrapKey', { operations: ['unwrapKey'] }, ['KeyOperationsMissing warning']],
    ['no purge protection', recovery({ purgeProtected: false }), ['PurgeProtectionOff failed']],
    ['kept for 89 days', recovery({ days: 89 }), ['RetentionShort warning']],
    ['kept for so long as was not said', recovery({ days: null }), ['RetentionShort skipped']],
    [
      'no soft delete',
      recovery({ recoverable: false, purgeProtected: false, days: null }),
      ['SoftDeleteOff failed', 'PurgeProtectionOff failed', 'RetentionShort skipped'],
    ],
  ])('%s', (_, change, expected) => {
    expect(findings(change)).toEqual(expected);
  });

  test('says what was found, and what to do about whatever did not pass', () => {
    const change = { ...attributes({ expiresOn: inDays(5) }), operations: [], keyType: 'EC' };
    const checks = checkKeyFacts({ ...SOUND, ...change }, NOW);
    const find = (wanted: string) => checks.find(({ code }) => code === wanted);
    expect(find('KeyExpiresSoon')?.message).toContain('2030-01-06T00:00:00.000Z');
    expect(find('KeyIsExpired')?.message).toContain('2030-01-06T00:00:00.000Z');
    expect(find('KeyOperationsMissing')).toMatchObject({
      message: 'The key permits: nothing.',
      remedy: expect.stringContaining('unwrapKey'),
    });
    for (const { outcome, remedy } of checks)
      expect(remedy !== null).toBe(outcome === 'failed' || outcome === 'warning');
  });
});

test.each<[string, Partial<KeyFacts>, string, string]>([
  ['what a key permits', {}, 'KeyOperationsMissing', 'The key permits: wrapKey, unwrapKey.'],
  ['that it never expires', {}, 'KeyIsExpired', 'The version has no expiry date.'],
  ['how long it is kept', recovery({ days: 7 }), 'RetentionShort', 'A deleted key is kept for 7 days.'],
  [
    'that nobody says how long',
    recovery({ days: null }),
    'RetentionShort',
    'The vault does not say how long.',
  ],
])('it is said %s', (_, change, code, message) => {
  expect(check(change).find((one) => one.code === code)?.message).toBe(message);
});

test('a registration is valid unless a check failed', () => {
  const sound = [
    passed('SoftDeleteOff', 'a'),
    skipped('RetentionShort', 'b'),
    warned('KeyExpiresSoon', 'c', 'd'),
  ];
  expect(isValid(sound)).toBe(true);
  expect(isValid([...sound, ...checkKeyFacts({ ...SOUND, bits: 1 }, NOW)])).toBe(false);
});
