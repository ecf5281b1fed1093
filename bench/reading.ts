// Reading a large fleet over HTTP: pages of 100 servers, one server, and a census, with the memory that the app takes
// for it.
import { Key, KeyDetail } from '../shared/api/keys.ts';
import { ServerPage } from '../shared/api/servers.ts';
import { startBenchStack } from './bench-stack.ts';
import { definePart } from './part.ts';
import { type Percentiles, percentiles, showMs } from './percentiles.ts';
import { residentMiB } from './process-usage.ts';

const CENSUSES = 10;

export interface ReadingResult {
  readonly servers: number;
  readonly pages: number;
  readonly pageMilliseconds: Percentiles;
  readonly serverMilliseconds: Percentiles;
  readonly censusMilliseconds: Percentiles;
  readonly hostBeforeMiB: number;
  /** The most that the host took while it counted ten times in a row. */
  readonly hostCensusPeakMiB: number;
  readonly listedOnce: boolean;
}

async function measure(servers: number): Promise<ReadingResult> {
  const bench = await startBenchStack({ servers });
  try {
    const { stack, kek } = bench;
    const token = await stack.identity.issueFor({ principalId: 'bench', roles: ['Fleet.Read'] });
    const headers = { authorization: `Bearer ${token}` };
    const timed = async (path: string, times: number[]): Promise<unknown> => {
      const since = performance.now();
      const response = await fetch(`${stack.host().url}/api${path}`, { headers });
      const body: unknown = await response.json();
      times.push(performance.now() - since);
      if (response.status !== 200) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`);
      return body;
    };

    const keyPath = `/keys/${encodeURIComponent(kek.vault)}/${kek.name}`;
    const [pageTimes, serverTimes, censusTimes]: number[][] = [[], [], []];
    // Once to warm the process up, as it is in use.
    await timed('/servers?limit=100', []);
    const listed: string[] = [];
    let cursor: string | null = null;
    do {
      const more: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page = ServerPage.parse(await timed(`/servers?limit=100${more}`, pageTimes ?? []));
      listed.push(...page.servers.map(({ serverId }) => serverId));
      cursor = page.cursor;
    } while (cursor !== null);
    for (const serverId of listed.slice(0, 100)) await timed(`/servers/${serverId}`, serverTimes ?? []);

    const { pid } = stack.host();
    const hostBeforeMiB = residentMiB(pid);
    let peak = hostBeforeMiB;
    const sampler = setInterval(() => {
      peak = Math.max(peak, residentMiB(pid));
    }, 50);
    for (let round = 0; round < CENSUSES; round += 1) {
      const detail = KeyDetail.parse(await timed(`${keyPath}?count=now`, censusTimes ?? []));
      if (detail.progress?.servers !== servers) throw new Error(`counted ${detail.progress?.servers}`);
    }
    clearInterval(sampler);
    Key.parse(await timed(keyPath, []));
    return {
      servers,
      pages: pageTimes?.length ?? 0,
      pageMilliseconds: percentiles(pageTimes ?? []),
      serverMilliseconds: percentiles(serverTimes ?? []),
      censusMilliseconds: percentiles(censusTimes ?? []),
      hostBeforeMiB,
      hostCensusPeakMiB: peak,
      listedOnce: listed.length === servers && new Set(listed).size === servers,
    };
  } finally {
    await bench.stop();
  }
}

export const reading = definePart<number, ReadingResult>({
  name: 'reading',
  cases: (short) => (short ? [200] : [1_000, 10_000]),
  measure,
  show: (one) =>
    `${one.servers} servers, p50/p95/max: page of 100 ${showMs(one.pageMilliseconds)}, one server ${showMs(one.serverMilliseconds)}, census ${showMs(one.censusMilliseconds)}; ${one.hostBeforeMiB.toFixed(0)} → ${one.hostCensusPeakMiB.toFixed(0)} MiB over ${CENSUSES} censuses`,
  checks: (results) =>
    results.map(({ servers, listedOnce }) => ({
      name: `${servers} servers are listed`,
      target: 'each exactly once',
      measured: listedOnce ? 'each exactly once' : 'some twice or not at all',
      met: listedOnce,
    })),
});
