// The OpenTelemetry SDK with its exporters to Azure Monitor. Loaded only where it is configured: it is a third of the
// app's code (docs/decisions/0019-telemetry.md).
import type { TokenCredential } from '@azure/identity';
import {
  type AzureMonitorExporterOptions,
  AzureMonitorMetricExporter,
  AzureMonitorTraceExporter,
} from '@azure/monitor-opentelemetry-exporter';
import { DiagLogLevel, diag, metrics } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

export interface AzureMonitorOptions {
  /** Of Application Insights. */
  readonly connectionString: string;
  /** null: Application Insights takes telemetry from whoever knows the connection string. */
  readonly credential: TokenCredential | null;
  readonly version: string;
  /** Told what goes wrong with the sending itself. */
  readonly onTrouble: (problem: string) => void;
  /** Certificate authorities to trust instead of the usual ones, for a stand-in. */
  readonly caPem?: string;
}

/** The alerts count the minutes in which a gauge said something. */
const EVERY_MS = 60_000;
/** Key versions in use that are told one by one; the SDK adds up what is beyond. */
const MOST_SERIES = 20_000;

/** Returns what sends the rest and ends it. @throws Error a connection string that isn't one */
export function startAzureMonitor({
  connectionString,
  credential,
  version,
  onTrouble,
  caPem,
}: AzureMonitorOptions): () => Promise<void> {
  const tell = (...parts: readonly unknown[]) => onTrouble(describeTrouble(parts));
  const nothing = () => undefined;
  const logger = { error: tell, warn: tell, info: nothing, debug: nothing, verbose: nothing };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  // What can't be sent is lost: nothing of it is left on a disk.
  const options = {
    connectionString,
    disableOfflineStorage: true,
    ...(credential === null ? {} : { credential }),
    ...(caPem === undefined ? {} : { tlsOptions: { ca: caPem } }),
    additionalPolicies: [{ policy: makeWatch(onTrouble), position: 'perCall' as const }],
  };
  const resource = resourceFromAttributes({ 'service.name': 'pg-cmk', 'service.version': version });
  const meterProvider = new MeterProvider({
    resource,
    readers: [
      new PeriodicExportingMetricReader({
        exporter: new AzureMonitorMetricExporter(options),
        exportIntervalMillis: EVERY_MS,
        cardinalityLimits: { default: 2_000, observableGauge: MOST_SERIES },
      }),
    ],
  });
  const tracerProvider = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new AzureMonitorTraceExporter(options))],
  });
  metrics.setGlobalMeterProvider(meterProvider);
  tracerProvider.register();
  return async () => {
    // The app ends all the same: what can't be sent is lost.
    const ends = await Promise.allSettled([meterProvider.shutdown(), tracerProvider.shutdown()]);
    for (const end of ends) if (end.status === 'rejected') tell(end.reason);
  };
}

type Policy = NonNullable<AzureMonitorExporterOptions['additionalPolicies']>[number]['policy'];

/** The exporter says nothing of an answer that might be a better one later, such as a role that is missing. */
const makeWatch = (onTrouble: AzureMonitorOptions['onTrouble']): Policy => ({
  name: 'pgcmkWatch',
  async sendRequest(request, next) {
    const response = await next(request);
    if (response.status >= 400) onTrouble(`Application Insights answers ${response.status}`);
    return response;
  },
});

const LONGEST = 500;

/** Texts and messages of errors; no object, which may be a request with its headers. */
const describeTrouble = (parts: readonly unknown[]): string =>
  parts
    .flatMap((part) => (typeof part === 'string' ? part : part instanceof Error ? part.message : []))
    .join(' ')
    .slice(0, LONGEST);
