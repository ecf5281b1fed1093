import { describe, expect, test } from 'vitest';
import { classifyFault, type VaultFault } from '../../../shared/domain/vault-answer.ts';
import { http } from './states.ts';

const network = (cause: Extract<VaultFault, { kind: 'network' }>['cause']): VaultFault => ({
  kind: 'network',
  cause,
});

describe('classifyFault', () => {
  test.each([
    [http(401), 'transient', 'IdentityUnavailable'],
    [{ kind: 'identity' }, 'transient', 'IdentityUnavailable'],
    [http(403, 'KeyDisabled'), 'definitive', 'KeyDisabled'],
    [http(403, 'KeyOperationForbidden'), 'definitive', 'KeyOperationForbidden'],
    [http(403, 'ForbiddenByRbac'), 'suspect', 'AccessDenied'],
    [http(403, 'ForbiddenByPolicy'), 'suspect', 'AccessDenied'],
    [http(403, 'AccessDenied'), 'suspect', 'AccessDenied'],
    [http(403, 'ForbiddenByFirewall'), 'suspect', 'FirewallDenied'],
    [http(403, 'ForbiddenByConnection'), 'suspect', 'FirewallDenied'],
    [http(403, 'keydisabled'), 'transient', 'UnexpectedAnswer'],
    [http(403, 'SomethingNew'), 'transient', 'UnexpectedAnswer'],
    [http(403), 'transient', 'UnexpectedAnswer'],
    [http(400, 'KeyDisabled'), 'transient', 'UnexpectedAnswer'],
    [http(409), 'transient', 'UnexpectedAnswer'],
    [http(407), 'transient', 'UnexpectedAnswer'],
    [http(408), 'transient', 'VaultUnreachable'],
    [http(428), 'transient', 'UnexpectedAnswer'],
    [http(429), 'transient', 'Throttled'],
    [http(430), 'transient', 'UnexpectedAnswer'],
    [http(499), 'transient', 'UnexpectedAnswer'],
    [http(500), 'transient', 'VaultUnreachable'],
    [http(503), 'transient', 'VaultUnreachable'],
    [http(504), 'transient', 'VaultUnreachable'],
    [{ kind: 'answer', what: 'another key' }, 'transient', 'UnexpectedAnswer'],
    [network('timeout'), 'transient', 'VaultUnreachable'],
    [network('refused'), 'transient', 'VaultUnreachable'],
    [network('reset'), 'transient', 'VaultUnreachable'],
    [network('tls'), 'transient', 'VaultUnreachable'],
    [network('dns'), 'transient', 'VaultUnreachable'],
    [network('other'), 'transient', 'VaultUnreachable'],
    [network('vault-name'), 'suspect', 'VaultNotFound'],
  ] as const)('%j is %s: %s', (fault, kind, reason) => {
    expect(classifyFault(fault, { deleted: 'unsaid', seenDeleted: false })).toEqual({ class: kind, reason });
  });

  test.each([
    ['deleted', false, 'definitive', 'KeySoftDeleted'],
    ['deleted', true, 'definitive', 'KeySoftDeleted'],
    ['absent', true, 'definitive', 'KeyPurged'],
    ['absent', false, 'suspect', 'KeyNotFound'],
    ['unsaid', true, 'suspect', 'KeyNotFound'],
    ['unsaid', false, 'suspect', 'KeyNotFound'],
  ] as const)(
    '404, the deleted keys say %s, seen deleted before: %s → %s %s',
    (deleted, seenDeleted, kind, reason) => {
      expect(classifyFault(http(404), { deleted, seenDeleted })).toEqual({ class: kind, reason });
    },
  );

  test('what the deleted keys say counts for a 404 only', () => {
    const deletedBefore = { deleted: 'deleted', seenDeleted: true } as const;
    expect(classifyFault(http(403, 'ForbiddenByRbac'), deletedBefore).reason).toBe('AccessDenied');
    expect(classifyFault(http(410), deletedBefore).reason).toBe('UnexpectedAnswer');
  });

  test.each(['constructor', 'toString', '__proto__'])('an inner code %s is not known', (innerCode) => {
    expect(classifyFault(http(403, innerCode), { deleted: 'unsaid', seenDeleted: false })).toEqual({
      class: 'transient',
      reason: 'UnexpectedAnswer',
    });
  });
});
