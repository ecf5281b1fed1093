// Any message may claim to belong to a trace; whatever it claims, it is worked on.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeReconcileKekHandler } from '../../functions/queues/reconcile-kek.ts';
import { makeTraceInvocation } from '../../functions/trace-invocation.ts';
import { systemClock } from '../../shared/azure/runtime.ts';
import { makeTelemetry } from '../../shared/azure/telemetry.ts';
import { invoke } from '../fixtures/invoke.ts';
import { registerSdk } from '../fixtures/registered-sdk.ts';
import { makeBoundaryPorts } from './boundary-ports.ts';

const traceId = 'a'.repeat(32);
const traceparent = `00-${traceId}-${'b'.repeat(16)}-01`;
const message = { kek: { vault: 'v1.vault.azure.net', name: 'k1' }, cause: { kind: 'probe' } };

let sdk: ReturnType<typeof registerSdk>;
beforeAll(() => {
  sdk = registerSdk();
});
afterAll(() => sdk.unregister());

const take = async (input: unknown) => {
  const ports = makeBoundaryPorts();
  const trace = makeTraceInvocation(makeTelemetry(systemClock));
  const handler = makeReconcileKekHandler(ports);
  await invoke(trace, 'reconcileKek', (one, context) => handler(one, context), input);
  return { ports, span: sdk.spans().at(-1) };
};

describe('an invocation', () => {
  test('goes on with the trace of its message, and is linked to what the host says', async () => {
    const { ports, span } = await take({ ...message, traceparent });
    expect(ports.calls.worked).toEqual([message]);
    expect(span?.name).toBe('reconcileKek');
    expect(span?.parentSpanContext?.traceId).toBe(traceId);
    expect(span?.links).toHaveLength(1);
  });

  test.each<[string, unknown]>([
    ['none, as in 0.1.0', undefined],
    ['garbage', 'garbage'],
    ['of another type', { a: [1] }],
    ['enormous', 'f'.repeat(60_000)],
    ['of zeros', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`],
    ['of a version that W3C rules out', traceparent.replace(/^00/, 'ff')],
  ])('with a traceparent that is %s is worked on, under what the host says', async (_, garbage) => {
    const { ports, span } = await take({ ...message, traceparent: garbage, tracestate: 7 });
    expect(ports.calls).toMatchObject({ worked: [message], rejected: [] });
    expect(span?.parentSpanContext?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(span?.parentSpanContext?.traceId).not.toBe(traceId);
    expect(span?.links).toEqual([]);
  });

  test('of a message that is none is rejected as ever', async () => {
    const { ports } = await take('not JSON');
    expect(ports.calls.rejected).toMatchObject([{ problem: { code: 'InvalidMessage' } }]);
  });

  test('without a context of the host has no parent', async () => {
    const trace = makeTraceInvocation(makeTelemetry(systemClock));
    await invoke(trace, 'sweepFleet', async () => undefined, {}, null);
    expect(sdk.spans().at(-1)?.parentSpanContext).toBeUndefined();
  });
});
