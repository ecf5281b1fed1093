// The OpenTelemetry SDK with its exporters to Azure Monitor. Loaded only where it is configured: it is a third of the
// app's code (docs/decisions/0019-telemetry.md).
import type { TokenCredential } from '@azure/identity';
import { AzureMonitorMetricExporter, AzureMonitorTraceExporter } from '@azure/monitor-opentelemetry-exporter';
import { metrics } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

export interface AzureMonitorOptions {
  /** Of Application Insights. */
  readonly connectionString: string;
  /** null: Application Insights takes telemetry from whoever knows the connection string. */
  readonly credential: TokenCredential | null;
  readonly version: string;
}

/** The alerts count the minutes in which a gauge said something. */
const EVERY_MS = 60_000;
/** Key versions in use that are told one by one; the SDK adds up what is beyond. */
const MOST_SERIES = 20_000;

/** Resolves to what sends the rest and ends it. @throws Error a connection string that isn't one */
export function startAzureMonitor({
  connectionString,
  credential,
  version,
}: AzureMonitorOptions): () => Promise<void> {
  // What can't be sent is lost: nothing of it is left on a disk.
  const options = {
    connectionString,
    disableOfflineStorage: true,
    ...(credential === null ? {} : { credential }),
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
    await Promise.all([meterProvider.shutdown(), tracerProvider.shutdown()]);
  };
}
