import { describe, expect, test } from 'vitest';
import {
  type EventType,
  parseKeyEvent,
  readEventId,
  splitEvents,
} from '../../../functions/events/parse-key-event.ts';
import { readFixture } from '../../fixtures/events/read-fixture.ts';

const rules = { dnsSuffixes: ['vault.azure.net', 'localhost', '127.0.0.1'] };
const K1 = { kind: 'kek', kek: { vault: 'v1.vault.azure.net', name: 'k1' } };
const V1 = { kind: 'vault', vault: 'v1.vault.azure.net' };

const targets = (event: unknown, ownType: EventType = 'Microsoft.KeyVault.KeyExpired') =>
  splitEvents(event).map((one) => {
    const hint = parseKeyEvent(one, ownType, rules);
    return hint === 'ignored' ? hint : hint.target;
  });

const keyEvent = (data: unknown, type = 'Microsoft.KeyVault.KeyExpired') => ({
  id: 'e',
  eventType: type,
  data,
});
const vaultEvent = (data: unknown) => keyEvent(data, 'Microsoft.KeyVault.VaultAccessPolicyChanged');

describe('parseKeyEvent', () => {
  test.each([
    [{ eventTime: '2026-07-25T01:08:33.1036736Z' }, '2026-07-25T01:08:33.103Z'],
    [{ time: ' 2026-07-25T03:08:33+02:00' }, '2026-07-25T01:08:33.000Z'],
    [{ eventTime: 'soon', time: 7 }, undefined],
    [{}, undefined],
  ])('says when it happened, as far as the event does: %j', (said, expected) => {
    for (const [event, ownType] of [
      [keyEvent({ Id: 'https://v1.vault.azure.net/keys/k1' }), 'Microsoft.KeyVault.KeyExpired'],
      [vaultEvent({ Id: 'https://v1.vault.azure.net' }), 'Microsoft.KeyVault.VaultAccessPolicyChanged'],
    ] as const) {
      const hint = parseKeyEvent({ ...event, ...said }, ownType, rules);
      expect(hint === 'ignored' ? hint : hint.at?.toISOString()).toBe(expected);
    }
  });

  test.each([
    ['new-version-created', K1],
    ['near-expiry-as-in-the-docs', K1],
    ['expired-in-camel-case', K1],
    ['expired-as-cloud-event', K1],
    ['key-status-hint', K1],
    ['secret-near-expiry', 'ignored'],
  ])('takes %s', (name, target) => {
    expect(targets(readFixture(name))).toEqual([target]);
  });

  test('keeps the id and the type of the event as the cause', () => {
    expect(parseKeyEvent(readFixture('key-status-hint'), 'PgCmk.KeyStatusHint', rules)).toMatchObject({
      cause: { kind: 'event', id: 'siem-4711', type: 'PgCmk.KeyStatusHint' },
    });
  });

  test('takes the type in any casing, and names it as documented', () => {
    const event = keyEvent({ Id: 'https://v1.vault.azure.net/keys/k1' }, ' microsoft.keyvault.keyexpired ');
    expect(parseKeyEvent(event, 'PgCmk.KeyStatusHint', rules)).toMatchObject({
      target: K1,
      cause: { type: 'Microsoft.KeyVault.KeyExpired' },
    });
  });

  test.each([
    ['names alone, under the first suffix', { VaultName: 'V1', ObjectName: 'K1' }, K1],
    ['a host as the name of the vault', { VaultName: 'v1.vault.azure.net', ObjectName: 'k1' }, K1],
    ['a blank id beside names', { Id: ' ', VaultName: 'v1', ObjectName: 'k1' }, K1],
    [
      'a host and an id that agree',
      { Id: 'https://v1.vault.azure.net/keys/k1', VaultName: 'v1.vault.azure.net' },
      K1,
    ],
    [
      'the same id twice',
      { Id: 'https://v1.vault.azure.net/keys/k1', 'id ': 'https://v1.vault.azure.net/keys/K1' },
      K1,
    ],
    [
      'a host without dots, which says nothing about the name',
      { Id: 'https://localhost:8443/keys/k1', VaultName: 'v1' },
      { kind: 'kek', kek: { vault: 'localhost:8443', name: 'k1' } },
    ],
    [
      'an address, which says nothing about the name',
      { Id: 'https://127.0.0.1:8443/keys/k1', VaultName: 'v1' },
      { kind: 'kek', kek: { vault: '127.0.0.1:8443', name: 'k1' } },
    ],
    ['a certificate under a type of keys', { ObjectType: 'Certificate' }, 'ignored'],
    ['whatever NBF and EXP hold', { Id: 'https://v1.vault.azure.net/keys/k1', NBF: {}, EXP: 'soon' }, K1],
  ])('takes %s', (_, data, target) => {
    expect(targets(keyEvent(data))).toEqual([target]);
  });

  const resource = '/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults';
  test.each([
    ['the URL of the vault', { Id: 'https://V1.vault.azure.net/' }],
    ['its resource id', { Id: `${resource}/v1` }],
    ['its resource id in capitals', { Id: `${resource}/V1`.toUpperCase(), VaultName: 'v1' }],
    ['its name alone', { VaultName: 'v1' }],
  ])('takes a change of access policies with %s', (_, data) => {
    expect(targets(vaultEvent(data), 'Microsoft.KeyVault.VaultAccessPolicyChanged')).toEqual([V1]);
  });

  test('takes events about keys at the function for vaults too', () => {
    const own = 'Microsoft.KeyVault.VaultAccessPolicyChanged';
    expect(targets(readFixture('expired-as-cloud-event'), own)).toEqual([K1]);
    expect(targets(readFixture('access-policy-changed'), own)).toEqual([V1]);
  });
});

describe('readEventId', () => {
  test.each([
    [{ id: ' a ' }, 'a'],
    [{ id: 'x'.repeat(300) }, 'x'.repeat(256)],
    [{ id: ' ' }, null],
    [{ id: 7 }, null],
    ['text', null],
    [null, null],
  ])('of %j', (event, id) => {
    expect(readEventId(event)).toBe(id);
  });
});
