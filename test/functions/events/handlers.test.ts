import { describe, expect, test } from 'vitest';
import { makeKeyDisabledHandler } from '../../../functions/events/key-disabled.ts';
import { makeKeyExpiredHandler } from '../../../functions/events/key-expired.ts';
import { makeKeyNearExpiryHandler } from '../../../functions/events/key-near-expiry.ts';
import { makeKeyNewVersionCreatedHandler } from '../../../functions/events/key-new-version-created.ts';
import { makeVaultAccessPolicyChangedHandler } from '../../../functions/events/vault-access-policy-changed.ts';
import { readFixture } from '../../fixtures/events/read-fixture.ts';
import { makeBoundaryPorts } from '../boundary-ports.ts';

const handlers = [
  ['keyNewVersionCreated', makeKeyNewVersionCreatedHandler, 'new-version-created'],
  ['keyNearExpiry', makeKeyNearExpiryHandler, 'near-expiry-as-in-the-docs'],
  ['keyExpired', makeKeyExpiredHandler, 'expired-in-camel-case'],
  ['keyDisabled', makeKeyDisabledHandler, 'key-status-hint'],
  ['vaultAccessPolicyChanged', makeVaultAccessPolicyChangedHandler, 'access-policy-changed'],
] as const;

const sound = readFixture('key-status-hint');
const storeDown = () => {
  throw new Error('the store is down');
};

describe.each(handlers)('%s', (name, make, fixture) => {
  test('submits one hint', async () => {
    const ports = makeBoundaryPorts();
    await make(ports)(readFixture(fixture));
    expect(ports.calls.hints).toHaveLength(1);
    expect(ports.calls.rejected).toEqual([]);
  });

  test('ignores a secret', async () => {
    const ports = makeBoundaryPorts();
    await make(ports)(readFixture('secret-near-expiry'));
    expect(ports.calls).toMatchObject({ hints: [], rejected: [] });
  });

  test('records an event of no known type under its own name, and acknowledges it', async () => {
    const ports = makeBoundaryPorts();
    await make(ports)({ id: 'e1', eventType: 'Contoso.Unknown', data: {} });
    expect(ports.calls.hints).toEqual([]);
    expect(ports.calls.rejected).toMatchObject([
      { source: name, id: 'e1', problem: { code: 'InvalidEvent' } },
    ]);
  });

  test('takes the sound events of an array beside a malformed one', async () => {
    const ports = makeBoundaryPorts();
    await make(ports)([null, sound, sound]);
    expect(ports.calls.hints).toHaveLength(2);
    expect(ports.calls.rejected).toHaveLength(1);
  });

  test('throws when a hint could not be submitted, so that Event Grid delivers again', async () => {
    let tries = 0;
    const failFirst = () => {
      tries += 1;
      if (tries === 1) storeDown();
    };
    const ports = makeBoundaryPorts({ hint: failFirst });
    await expect(make(ports)([sound, sound])).rejects.toThrow('the store is down');
    expect(ports.calls.hints).toHaveLength(1);
  });

  test('throws when a malformed event could not be recorded', async () => {
    await expect(make(makeBoundaryPorts({ reject: storeDown }))(null)).rejects.toThrow('the store is down');
  });
});
