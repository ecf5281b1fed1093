// From a key that is disabled at the vault to the last session ended and the first refusal on every server; and back.
// By an event that says so, and by the probe alone with the default period. Trials of several KEKs run side by side.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../local/demo/world.ts';
import { keyUrl } from '../shared/domain/key-id.ts';
import { type DetectionFleet, type Group, type GroupSpec, startDetectionFleet } from './detection-fleet.ts';
import { type Check, definePart } from './part.ts';
import { type Percentiles, percentiles } from './percentiles.ts';
import type { WatchedServer } from './watched-server.ts';

type Way = 'event' | 'probe';

interface Case {
  readonly keks: number;
  readonly groups: readonly GroupSpec[];
  /** KEKs with a group of each kind, whose trials run side by side. */
  readonly copies: number;
  /** Of each KEK with a group, and of each way. */
  readonly trials: number;
  readonly ways: readonly Way[];
}

interface Trial {
  /** All in milliseconds after the change at the vault. */
  readonly lastSessionEnded: number;
  readonly firstRefusal: number;
  /** Until every real server had refused a new session. */
  readonly allRefused: number;
  readonly restored: number;
  /** Real servers of which nothing was seen in two minutes, and what the app noted about them. Their time counts as that. */
  readonly late: readonly string[];
}

export interface DetectionResult {
  readonly keks: number;
  readonly servers: number;
  readonly real: number;
  readonly sessions: number;
  readonly way: Way;
  readonly probeSeconds: number;
  readonly lastSessionEnded: Percentiles;
  readonly firstRefusal: Percentiles;
  readonly allRefused: Percentiles;
  readonly restored: Percentiles;
  readonly trials: readonly Trial[];
}

const PROBE_SECONDS = 10;
const LONGEST_SECONDS = 120;
const EVERY_WAY: readonly Way[] = ['event', 'probe'];
const MANY_SESSIONS: Case = {
  keks: 15,
  groups: [
    { servers: 100, real: 4, sessions: 1 },
    { servers: 100, real: 3, sessions: 10 },
    { servers: 100, real: 1, sessions: 100 },
  ],
  copies: 5,
  trials: 20,
  ways: EVERY_WAY,
};
const MANY_SERVERS: Case = {
  keks: 1,
  groups: [{ servers: 100, real: 100, sessions: 1 }],
  copies: 1,
  trials: 6,
  ways: EVERY_WAY,
};
const MANY_KEKS: Case = {
  keks: 1_000,
  groups: [{ servers: 100, real: 3, sessions: 10 }],
  copies: 5,
  trials: 20,
  ways: EVERY_WAY,
};
/** Measured in several processes side by side, each with an app and a key of its own. */
const ONE_KEK: Case = {
  keks: 1,
  groups: [{ servers: 100, real: 2, sessions: 10 }],
  copies: 1,
  trials: 10,
  ways: EVERY_WAY,
};
const ONE_KEK_PROCESSES = 10;
const SHORT: Case = {
  keks: 1,
  groups: [{ servers: 20, real: 2, sessions: 3 }],
  copies: 1,
  trials: 2,
  ways: ['event'],
};

async function measure({ keks, groups, copies, trials, ways }: Case): Promise<readonly DetectionResult[]> {
  const wanted = groups.flatMap((group) => Array.from({ length: copies }, () => group));
  const fleet = await startDetectionFleet({ groups: wanted, keks, probeSeconds: PROBE_SECONDS });
  try {
    const seen = await Promise.all(fleet.groups.map((group) => runTrials(fleet, group, trials, ways)));
    return groups.flatMap((spec, index) => {
      const alike = seen.slice(index * copies, (index + 1) * copies);
      return ways.map((way) =>
        toResult(
          keks,
          spec,
          way,
          alike.flatMap((one) => one[way]),
        ),
      );
    });
  } finally {
    await fleet.stop();
  }
}

async function runTrials(
  fleet: DetectionFleet,
  group: Group,
  trials: number,
  ways: readonly Way[],
): Promise<Readonly<Record<Way, readonly Trial[]>>> {
  const seen: Record<Way, Trial[]> = { event: [], probe: [] };
  await settle(fleet, group);
  // One that doesn't count, at any moment: else all keys are lost in the same second, with the app's code still cold.
  await sleep(Math.random() * PROBE_SECONDS * 1000);
  await runTrial(fleet, group, 'event');
  for (let index = 0; index < trials; index += 1) {
    for (const way of ways) seen[way].push(await runTrial(fleet, group, way));
    if (index % 5 === 4) console.log(`    ${group.kek.name}: ${index + 1} of ${trials} trials of each way`);
  }
  return seen;
}

async function settle({ stack }: DetectionFleet, group: Group): Promise<void> {
  const isReady = async () => {
    const progress = await stack.operations.readProgress(group.kek);
    return progress !== undefined && progress.states.Ready === progress.servers;
  };
  if (!(await until(isReady, LONGEST_SECONDS))) throw new Error(`${group.kek.name} is not all Ready`);
  await Promise.all(group.watched.map((one) => one.fill()));
}

async function runTrial(fleet: DetectionFleet, group: Group, way: Way): Promise<Trial> {
  const change = (enabled: boolean): number => {
    const since = Date.now();
    group.vault.updateKey(group.kek.name, 'all', { enabled });
    if (way === 'event') publishHint(fleet, group);
    return since;
  };
  // At any moment between two probes, where they are what is waited for.
  const pause = () => sleep(Math.random() * (way === 'probe' ? PROBE_SECONDS : 1) * 1000);
  await pause();
  const late: string[] = [];
  const see = async <T>(what: string, one: WatchedServer, work: Promise<T>, then: () => T): Promise<T> => {
    const timeout = sleep(LONGEST_SECONDS * 1000, null, { ref: false });
    const seen = await Promise.race([work.then((value) => ({ value })), timeout]);
    if (seen !== null) return seen.value;
    const row = await fleet.stack.stores.servers.read(group.kek, one.name);
    const { desired, applied, failure } = row?.value ?? {};
    late.push(`${one.name} not ${what}: ${JSON.stringify({ desired, applied, failure })}`);
    return then();
  };
  const disabled = Promise.all(
    group.watched.map((one) =>
      see('revoked', one, one.seeRevoked(), () => ({
        lastSessionEndedAt: Date.now(),
        refusedAt: Date.now(),
      })),
    ),
  );
  const disabledAt = change(false);
  const revoked = await disabled;
  await until(async () => {
    const progress = await fleet.stack.operations.readProgress(group.kek);
    return progress?.states.Inaccessible === progress?.servers;
  }, LONGEST_SECONDS);
  await pause();
  const enabled = Promise.all(
    group.watched.map((one) => see('restored', one, one.seeRestored(), () => Date.now())),
  );
  const enabledAt = change(true);
  const restored = await enabled;
  await settle(fleet, group);
  return {
    lastSessionEnded: Math.max(...revoked.map((one) => one.lastSessionEndedAt)) - disabledAt,
    firstRefusal: Math.min(...revoked.map((one) => one.refusedAt)) - disabledAt,
    allRefused: Math.max(...revoked.map((one) => one.refusedAt)) - disabledAt,
    restored: Math.max(...restored) - enabledAt,
    late,
  };
}

function publishHint({ stack }: DetectionFleet, { kek, vault }: Group): void {
  const version =
    vault
      .keys()
      .find(({ name }) => name === kek.name)
      ?.versions.at(-1)?.version ?? '';
  stack.eventGrid.publish({
    id: randomUUID(),
    topic: vault.resourceId,
    subject: kek.name,
    eventType: 'PgCmk.KeyStatusHint',
    eventTime: new Date().toISOString(),
    data: { keyId: keyUrl(kek, version) },
    dataVersion: '1',
    metadataVersion: '1',
  });
}

function toResult(
  keks: number,
  { servers, real, sessions }: GroupSpec,
  way: Way,
  trials: readonly Trial[],
): DetectionResult {
  const of = (what: Exclude<keyof Trial, 'late'>) => percentiles(trials.map((one) => one[what]));
  return {
    ...{ keks, servers, real, sessions, way, probeSeconds: PROBE_SECONDS },
    lastSessionEnded: of('lastSessionEnded'),
    firstRefusal: of('firstRefusal'),
    allRefused: of('allRefused'),
    restored: of('restored'),
    trials,
  };
}

const TARGET_MS = { event: 5_000, probe: 15_000 } as const;
const RESTORE_MS = 25_000;
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const nameOf = ({ keks, servers, real, sessions, way }: DetectionResult) =>
  `${way === 'event' ? 'by an event' : 'by the probe'}, ${keks} KEKs, ${servers} servers (${real} real), ${sessions} sessions each`;

function checks(results: readonly (readonly DetectionResult[])[]): readonly Check[] {
  return results.flat().flatMap((one): readonly Check[] => [
    {
      name: `${nameOf(one)}: the last session ended and all refused, p99`,
      target: `≤ ${seconds(TARGET_MS[one.way])}`,
      measured: `${seconds(Math.max(one.lastSessionEnded.p99, one.allRefused.p99))} of ${one.trials.length} trials`,
      met: Math.max(one.lastSessionEnded.p99, one.allRefused.p99) <= TARGET_MS[one.way],
    },
    {
      name: `${nameOf(one)}: restored, p99`,
      target: `≤ ${seconds(RESTORE_MS)}`,
      measured: `${seconds(one.restored.p99)} of ${one.trials.length} trials`,
      met: one.restored.p99 <= RESTORE_MS,
    },
  ]);
}

const show = ({ p50, p95, p99 }: Percentiles) => `${seconds(p50)} / ${seconds(p95)} / ${seconds(p99)}`;

/** The trials of every process; each has the same groups and ways in the same order. */
const mergeTrials = (all: readonly (readonly DetectionResult[])[]): readonly DetectionResult[] =>
  (all[0] ?? []).map((one, index) =>
    toResult(
      one.keks,
      one,
      one.way,
      all.flatMap((results) => results[index]?.trials ?? []),
    ),
  );

const makeDetection = (name: string, one: Case, processes = 1) =>
  definePart<Case, readonly DetectionResult[]>({
    name,
    cases: (short) => [short ? SHORT : one],
    measure,
    sideBySide: { processes, merge: mergeTrials },
    show: (results) =>
      results
        .map(
          (each) =>
            `${nameOf(each)}, ${each.trials.length} trials, p50/p95/p99: last session ended ${show(each.lastSessionEnded)}, first refusal ${show(each.firstRefusal)}, all refused ${show(each.allRefused)}, restored ${show(each.restored)}`,
        )
        .join('\n  '),
    checks,
  });

export const detection = makeDetection('detection', MANY_SESSIONS);
export const detectionOfServers = makeDetection('detection-servers', MANY_SERVERS);
export const detectionOfKeks = makeDetection('detection-keks', MANY_KEKS);
export const detectionOfOneKek = makeDetection('detection-one-kek', ONE_KEK, ONE_KEK_PROCESSES);
