// Reading a large fleet over HTTP on the local stack: pages of 100 servers, one server, and a census, with the memory
// that the app's process takes for it. Reported, not asserted; that every server is listed exactly once is.
//   node bench/read-fleet.ts [--servers 1000,10000] [--json FILE]
import { startStack } from '../local/stack/start-stack.ts';
import { Key, KeyDetail } from '../shared/api/keys.ts';
import { ServerPage } from '../shared/api/servers.ts';
import { parseKekId } from '../shared/domain/key-id.ts';
import { fillFleet, residentMiB } from './fill-fleet.ts';
import { runSizes } from './sizes.ts';

const KEY = 'fleet-kek';
const CENSUSES = 10;

interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

interface Result {
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

function percentiles(times: readonly number[]): Percentiles {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

async function measure(servers: number): Promise<Result> {
  const stack = await startStack({
    times: { probeSeconds: 10, sweepSeconds: 30, confirmSuspectSeconds: 60 },
    vaults: ['payments'],
    settings: {},
    onHostLog: () => undefined,
  });
  try {
    const vault = stack.vaultEmulator.vault('payments');
    const kek = parseKekId(vault.host, KEY);
    await vault.createKey(KEY);
    await fillFleet(stack, kek, servers);
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
    await stack.stop();
  }
}

const show = ({ p50, p95, max }: Percentiles) =>
  `${p50.toFixed(0)} / ${p95.toFixed(0)} / ${max.toFixed(0)} ms`;
await runSizes({
  url: import.meta.url,
  servers: '1000,10000',
  measure,
  show: (result) =>
    `p50/p95/max: page of 100 ${show(result.pageMilliseconds)}, one server ${show(result.serverMilliseconds)}, census ${show(result.censusMilliseconds)}; host ${result.hostBeforeMiB.toFixed(0)} → ${result.hostCensusPeakMiB.toFixed(0)} MiB over ${CENSUSES} censuses`,
  isSound: (one) => one.listedOnce,
  sound: 'every server is listed exactly once',
});
