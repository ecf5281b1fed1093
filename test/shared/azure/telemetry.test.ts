import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeTelemetry } from '../../../shared/azure/telemetry.ts';
import { CmkError } from '../../../shared/domain/errors.ts';
import type { Reading } from '../../../shared/ports/telemetry.ts';
import { FakeClock } from '../../fakes/runtime.ts';
import { registerSdk } from '../../fixtures/registered-sdk.ts';

const ready = (value: number): Reading => ({
  gauge: 'pgcmk.servers',
  value,
  attributes: { state: 'Ready' },
});
const traceId = 'a'.repeat(32);
const parent = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };

describe('without an SDK', () => {
  test('nothing is counted, shown or traced, and work is done as ever', async () => {
    const { count, time, show, trace, current } = makeTelemetry(new FakeClock());
    count('pgcmk.poison', 1, { queue: 'probe-keks' });
    time('pgcmk.rewrap.duration', 5);
    show([ready(1)], 60);
    expect(await trace('work', [parent], async () => current())).toBeNull();
    await expect(trace('work', [], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });
});

describe('with an SDK', () => {
  let sdk: ReturnType<typeof registerSdk>;
  let clock: FakeClock;
  beforeEach(() => {
    sdk = registerSdk();
    clock = new FakeClock();
  });
  afterEach(() => sdk.unregister());

  test('it may be registered after the first count', async () => {
    await sdk.unregister();
    const telemetry = makeTelemetry(clock);
    telemetry.count('pgcmk.poison', 1, { queue: 'probe-keks' });
    sdk = registerSdk();
    telemetry.count('pgcmk.poison', 2, { queue: 'probe-keks' });
    expect(await sdk.collect()).toMatchObject([
      { descriptor: { name: 'pgcmk.poison' }, dataPoints: [{ value: 2 }] },
    ]);
  });

  const valuesOf = async () =>
    (await sdk.collect()).flatMap(({ dataPoints }) => dataPoints.map(({ value }) => value));

  test('gauges show the last readings, as long as those hold and no longer', async () => {
    const { show } = makeTelemetry(clock);
    show([ready(3)], 90);
    show([ready(2)], 90);
    expect(await valuesOf()).toEqual([2]);
    clock.advance(89);
    expect(await valuesOf()).toEqual([2]);
    // By now another instance sweeps.
    clock.advance(1);
    expect(await valuesOf()).toEqual([]);
    show([], 90);
    expect(await valuesOf()).toEqual([]);
  });

  test('a span is a child of its first cause and linked to the others', async () => {
    const { trace, current } = makeTelemetry(clock);
    const other = { traceparent: `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01` };
    const led = await trace('work', [parent, other], async () => current());
    const [span] = sdk.spans();
    expect(span?.name).toBe('work');
    expect(span?.parentSpanContext).toMatchObject({ traceId, spanId: 'b'.repeat(16) });
    expect(span?.links).toMatchObject([{ context: { traceId: 'c'.repeat(32) } }]);
    expect(led?.traceparent).toBe(`00-${traceId}-${span?.spanContext().spanId}-01`);
    expect(current()).toBeNull();
  });

  test('a cause that W3C does not allow is none', async () => {
    const { trace } = makeTelemetry(clock);
    await trace('work', [{ traceparent: `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01` }], async () => 1);
    expect(sdk.spans()[0]?.parentSpanContext).toBeUndefined();
  });

  test('a failure is told by its code, and nothing of its message', async () => {
    const { trace } = makeTelemetry(clock);
    const failure = new CmkError('StoreUnavailable', 'token=s3cret', { remedy: 'wait', retryable: true });
    for (const error of [failure, new Error('s3cret')])
      await expect(trace('work', [], () => Promise.reject(error))).rejects.toBe(error);
    expect(sdk.spans().map(({ status }) => status.message)).toEqual(['StoreUnavailable', 'unexpected']);
    expect(sdk.spans().flatMap(({ events }) => events)).toEqual([]);
  });
});
