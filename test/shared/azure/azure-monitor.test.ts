// What is sent, as a stand-in for the ingestion endpoint of Application Insights sees it.
import { context, metrics, propagation, trace } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type AzureMonitorOptions, startAzureMonitor } from '../../../shared/azure/azure-monitor.ts';
import { systemClock } from '../../../shared/azure/runtime.ts';
import { makeTelemetry } from '../../../shared/azure/telemetry.ts';
import { type Ingestion, startIngestion } from '../../fixtures/ingestion.ts';

const troubles: string[] = [];
const onTrouble = (problem: string) => void troubles.push(problem);
let ingestion: Ingestion;

beforeAll(async () => {
  // The exporter's reports about itself would go to Microsoft.
  process.env['APPLICATION_INSIGHTS_NO_STATSBEAT'] = 'true';
  ingestion = await startIngestion();
});
afterEach(() => {
  for (const api of [metrics, trace, context, propagation]) api.disable();
});
afterAll(() => ingestion.close());

const start = (credential: AzureMonitorOptions['credential']) => {
  const { connectionString, caPem } = ingestion;
  return startAzureMonitor({ connectionString, credential, version: '1.2.3', onTrouble, caPem });
};

test('sends metrics, and traces with what led to what', async () => {
  const stop = start(null);
  const telemetry = makeTelemetry(systemClock);
  const traceId = 'a'.repeat(32);
  const cause = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };
  await telemetry.trace('reconcileKek', [cause], async () => {
    telemetry.count('pgcmk.vault.calls', 3, { kind: 'probe', outcome: 'ok' });
    telemetry.time('pgcmk.detection.latency', 1_500);
    telemetry.time('pgcmk.detection.latency', 500);
    telemetry.show([{ gauge: 'pgcmk.servers', value: 7, attributes: { state: 'Ready' } }], 90);
  });
  await stop();

  const { ofType } = ingestion;
  const told = ofType('MetricData').map(({ data }) => [data.baseData['metrics'], data.baseData.properties]);
  expect(told).toEqual(
    expect.arrayContaining([
      [[expect.objectContaining({ name: 'pgcmk.vault.calls', value: 3 })], { kind: 'probe', outcome: 'ok' }],
      [
        [
          expect.objectContaining({
            ...{ name: 'pgcmk.detection.latency', value: 2_000, count: 2, min: 500, max: 1_500 },
          }),
        ],
        {},
      ],
      [[expect.objectContaining({ name: 'pgcmk.servers', value: 7 })], { state: 'Ready' }],
    ]),
  );
  expect(ofType('RemoteDependencyData')).toMatchObject([
    {
      data: { baseData: { name: 'reconcileKek', success: true } },
      tags: {
        'ai.operation.id': traceId,
        'ai.operation.parentId': 'b'.repeat(16),
        'ai.cloud.role': 'pg-cmk',
      },
    },
  ]);
  // Requests are the host's to tell of: alerts count them.
  expect(ofType('RequestData')).toEqual([]);
});

test('signs in with the identity that it is given, for Azure Monitor and nobody else', async () => {
  const scopes: unknown[] = [];
  const credential = {
    getToken: async (scope: string | string[]) => {
      scopes.push(scope);
      return { token: 'of-the-app', expiresOnTimestamp: Date.now() + 3_600_000 };
    },
  };
  ingestion.authorizations.length = 0;
  const stop = start(credential);
  makeTelemetry(systemClock).count('pgcmk.poison', 1, { queue: 'probe-keks' });
  await stop();
  expect(new Set(ingestion.authorizations)).toEqual(new Set(['Bearer of-the-app']));
  expect(new Set(scopes.flat())).toEqual(new Set(['https://monitor.azure.com/.default']));
});

test('that nothing is taken is told, and ends nothing', async () => {
  ingestion.answer.status = 403;
  const credential = {
    getToken: async () => ({ token: 'of-the-app', expiresOnTimestamp: Date.now() + 3_600_000 }),
  };
  const stop = start(credential);
  makeTelemetry(systemClock).count('pgcmk.poison', 1, { queue: 'probe-keks' });
  await stop();
  expect(troubles.join()).toContain('answers 403');
  expect(troubles.join()).not.toContain('of-the-app');
});

test('what is no connection string is refused', () => {
  const options = { connectionString: 'none', credential: null, version: '1', onTrouble };
  expect(() => startAzureMonitor(options)).toThrow();
});
