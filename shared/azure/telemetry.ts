// The Meter and Tracer ports on the OpenTelemetry API. Where no SDK is registered, which is the default, the API does
// nothing (docs/decisions/0019-telemetry.md).
import {
  context,
  type Histogram,
  metrics,
  type ObservableResult,
  type Counter as OtelCounter,
  propagation,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { isCmkError } from '../domain/errors.ts';
import { readTraceContext, type TraceContext } from '../domain/trace-context.ts';
import type { Clock } from '../ports/runtime.ts';
import type { Counters, Duration, Gauges, Meter, Reading, Tracer } from '../ports/telemetry.ts';

const SCOPE = 'pg-cmk';

const COUNTERS: Readonly<Record<keyof Counters, string>> = {
  'pgcmk.rewrap.count': '{server}',
  'pgcmk.vault.calls': '{call}',
  'pgcmk.poison': '{message}',
};
const GAUGES: Readonly<Record<keyof Gauges, string>> = {
  'pgcmk.servers': '{server}',
  'pgcmk.kek.status': '1',
  'pgcmk.kek.expiry': 's',
  'pgcmk.rotation.age': 's',
};
const DURATIONS: readonly Duration[] = [
  'pgcmk.rewrap.duration',
  'pgcmk.detection.latency',
  'pgcmk.revocation.latency',
];
/** Up to the minutes that a revocation may take of a server which can't be reached at once. */
const BOUNDARIES_MS = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 15_000, 30_000, 60_000, 300_000, 900_000,
];

interface Instruments {
  readonly counters: ReadonlyMap<string, OtelCounter>;
  readonly durations: ReadonlyMap<string, Histogram>;
}

export function makeTelemetry(clock: Pick<Clock, 'now'>): Meter & Tracer {
  let shown: { readonly readings: readonly Reading[]; readonly until: number } = { readings: [], until: 0 };

  const observe = (gauge: keyof Gauges) => (result: ObservableResult) => {
    if (clock.now().getTime() >= shown.until) return;
    for (const one of shown.readings)
      if (one.gauge === gauge) result.observe(one.value, { ...one.attributes });
  };
  const makeInstruments = (): Instruments => {
    const meter = metrics.getMeter(SCOPE);
    for (const [name, unit] of Object.entries(GAUGES))
      if (isGauge(name)) meter.createObservableGauge(name, { unit }).addCallback(observe(name));
    return {
      counters: new Map(
        Object.entries(COUNTERS).map(([name, unit]) => [name, meter.createCounter(name, { unit })]),
      ),
      durations: new Map(
        DURATIONS.map((name) => [
          name,
          meter.createHistogram(name, {
            unit: 'ms',
            advice: { explicitBucketBoundaries: BOUNDARIES_MS },
          }),
        ]),
      ),
    };
  };

  // Unlike a tracer, a meter that was made before an SDK is there never finds it.
  let made: { readonly provider: object; readonly instruments: Instruments } | null = null;
  const instruments = (): Instruments => {
    const provider = metrics.getMeterProvider();
    if (made?.provider !== provider) made = { provider, instruments: makeInstruments() };
    return made.instruments;
  };

  return {
    count: (name, amount, attributes) =>
      instruments()
        .counters.get(name)
        ?.add(amount, { ...attributes }),
    time: (name, milliseconds) => instruments().durations.get(name)?.record(milliseconds),
    show: (readings, seconds) => {
      shown = { readings, until: clock.now().getTime() + seconds * 1000 };
      instruments();
    },
    trace: (name, causes, work) => {
      const known = causes.map(extract).filter((found) => trace.getSpanContext(found) !== undefined);
      const [parent = context.active(), ...others] = known;
      const links = others.flatMap((other) => trace.getSpanContext(other) ?? []);
      const options = { links: links.map((one) => ({ context: one })) };
      return trace.getTracer(SCOPE).startActiveSpan(name, options, parent, async (span) => {
        try {
          return await work();
        } catch (error) {
          // Its code and no more: what a message holds is for the log.
          span.setStatus({
            code: SpanStatusCode.ERROR,
            message: isCmkError(error) ? error.code : 'unexpected',
          });
          throw error;
        } finally {
          span.end();
        }
      });
    },
    current: () => {
      const carrier: Record<string, string> = {};
      propagation.inject(context.active(), carrier);
      return readTraceContext(carrier);
    },
  };
}

const isGauge = (name: string): name is keyof Gauges => Object.hasOwn(GAUGES, name);

const extract = (cause: TraceContext) => propagation.extract(ROOT_CONTEXT, cause);
