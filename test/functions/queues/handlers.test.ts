import { describe, expect, test } from 'vitest';
import { makeApplyServerAccessHandler } from '../../../functions/queues/apply-server-access.ts';
import { makePoisonHandler } from '../../../functions/queues/poison.ts';
import { makeProbeKekShardHandler } from '../../../functions/queues/probe-kek-shard.ts';
import { makeReconcileKekHandler } from '../../../functions/queues/reconcile-kek.ts';
import { makeRewrapDeksHandler } from '../../../functions/queues/rewrap-deks.ts';
import type { Cause } from '../../../shared/domain/audit.ts';
import { CmkError } from '../../../shared/domain/errors.ts';
import type { RangeMessage } from '../../../shared/domain/message.ts';
import { makeBoundaryPorts } from '../boundary-ports.ts';

const kek = { vault: 'v1.vault.azure.net', name: 'k1' };
const reconcile = { kek, cause: { kind: 'probe' } } as const;
const range: RangeMessage = { kek, epoch: 3, from: 'a', to: 'b', attempt: null, cause: { kind: 'sweep' } };
const probe = { keks: [kek] };
const context = { triggerMetadata: { id: 'm1' } };

const handlers = [
  ['reconcileKek', makeReconcileKekHandler, reconcile],
  ['rewrapDeks', makeRewrapDeksHandler, range],
  ['applyServerAccess', makeApplyServerAccessHandler, range],
  ['probeKekShard', makeProbeKekShardHandler, probe],
] as const;

describe.each(handlers)('%s', (name, make, message) => {
  const failing = (error: unknown) => {
    const ports = makeBoundaryPorts();
    const fail = () => Promise.reject(error);
    return { ...ports, reconcileKek: fail, rewrapDeks: fail, applyServerAccess: fail, probeKekShard: fail };
  };

  test('hands a sound message to its operation, without what it does not know', async () => {
    const ports = makeBoundaryPorts();
    await make(ports)({ ...message, fromALaterVersion: true }, context);
    expect(ports.calls.worked).toEqual([message]);
  });

  test('records a malformed message with its id, and lets it go', async () => {
    const ports = makeBoundaryPorts();
    await make(ports)('not JSON', context);
    expect(ports.calls.worked).toEqual([]);
    expect(ports.calls.rejected).toMatchObject([
      { source: name, id: 'm1', problem: { code: 'InvalidMessage', detail: { path: 'message' } } },
    ]);
  });

  test('records a terminal failure, and lets the message go', async () => {
    const problem = new CmkError('InvalidRow', 'no', { remedy: 'none' });
    const ports = failing(problem);
    await make(ports)(message, {});
    expect(ports.calls.rejected).toEqual([{ source: name, id: null, problem }]);
  });

  test.each([
    ['a failure that may pass', new CmkError('StoreUnavailable', 'no', { remedy: 'wait', retryable: true })],
    ['a failure of no known kind', new TypeError('a bug')],
  ])('gives the message back after %s', async (_, error) => {
    const ports = failing(error);
    await expect(make(ports)(message, context)).rejects.toBe(error);
    expect(ports.calls.rejected).toEqual([]);
  });

  test('gives the message back when it could not be recorded', async () => {
    const reject = () => {
      throw new Error('the store is down');
    };
    await expect(make(makeBoundaryPorts({ reject }))(null, context)).rejects.toThrow('the store is down');
  });
});

describe('reconcileKek', () => {
  const time = '2026-07-25T01:08:33.000Z';
  test.each([
    ['text', { insertionTime: time }, time],
    ['text in quotes, with an offset', { insertionTime: '"2026-07-25T03:08:33+02:00"' }, time],
    ['a Date', { insertionTime: new Date(time) }, time],
    ['the name that the host gives it', { InsertionTime: time }, time],
    ['nothing', {}, null],
    ['no time', { insertionTime: 'soon' }, null],
    ['a number', { insertionTime: 7 }, null],
  ])('passes on when the message was inserted: %s', async (_, triggerMetadata, expected) => {
    const seen: (string | null)[] = [];
    const handler = makeReconcileKekHandler({
      ...makeBoundaryPorts(),
      reconcileKek: async (__, insertedAt) => {
        seen.push(insertedAt?.toISOString() ?? null);
      },
    });
    await handler(reconcile, { triggerMetadata });
    expect(seen).toEqual([expected]);
  });

  test.each<[unknown, string | undefined]>([
    [time, time],
    ['2026-07-25T03:08:33+02:00', time],
    [undefined, undefined],
    ['soon', undefined],
    [{ at: time }, undefined],
  ])('passes on when what led to it happened, and refuses nothing for it: %j', async (hintedAt, expected) => {
    const ports = makeBoundaryPorts();
    await makeReconcileKekHandler(ports)({ ...reconcile, hintedAt }, context);
    expect(JSON.parse(JSON.stringify(ports.calls))).toMatchObject({
      worked: [{ ...reconcile, ...(expected === undefined ? {} : { hintedAt: expected }) }],
      rejected: [],
    });
    expect(JSON.stringify(ports.calls).includes('hintedAt')).toBe(expected !== undefined);
  });

  test.each<Cause>([
    { kind: 'event', id: 'e', type: 't' },
    { kind: 'auditLog', id: 'c', operation: 'KeyDelete', by: null },
    { kind: 'operator', by: 'ada' },
    { kind: 'followUp', of: 'x' },
  ])('keeps the cause $kind', async (cause) => {
    const ports = makeBoundaryPorts();
    await makeReconcileKekHandler(ports)({ kek, cause }, context);
    expect(ports.calls.worked).toEqual([{ kek, cause }]);
  });
});

describe('poison', () => {
  test.each([
    ['reconcile-keks', reconcile],
    ['rewrap-deks', range],
    ['server-access', range],
    ['probe-keks', probe],
  ] as const)('records a sound message of %s for its rows', async (queue, message) => {
    const ports = makeBoundaryPorts();
    await makePoisonHandler('poison', queue, ports)(message, context);
    expect(ports.calls.poisoned).toEqual([{ queue, id: 'm1', message }]);
  });

  test('records a malformed message', async () => {
    const ports = makeBoundaryPorts();
    await makePoisonHandler('rewrapDeksPoison', 'rewrap-deks', ports)(probe, context);
    expect(ports.calls.poisoned).toEqual([]);
    expect(ports.calls.rejected).toMatchObject([
      { source: 'rewrapDeksPoison', problem: { code: 'InvalidMessage' } },
    ]);
  });
});
