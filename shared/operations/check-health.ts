// What the app depends on, and whether it is there. Open to anybody, so it names no key, no server and no host.
import { CLOSED_BREAKER, isHolding } from '../domain/breaker.ts';
import { isCmkError } from '../domain/errors.ts';
import type { ExportCatalog } from '../ports/export-catalog.ts';
import type { BreakerStore, KekStore } from '../ports/kek-store.ts';
import type { QueueGauge } from '../ports/queue-gauge.ts';
import type { Clock } from '../ports/runtime.ts';
import { type CostOf, periodOf, watchedOf } from './probe-period.ts';

export interface HealthCheck {
  readonly name: string;
  readonly status: 'ok' | 'degraded' | 'failing';
  readonly detail: string;
  readonly remedy: string | null;
}

/** Never throws: what can't be asked is a check that fails. */
export type CheckHealth = () => Promise<readonly HealthCheck[]>;

export interface HealthDeps {
  readonly keks: KekStore & BreakerStore;
  readonly queues: QueueGauge;
  readonly exports: ExportCatalog;
  /**
   * Whether the issuer's keys can be had; with an answer: only old ones, and until when they are used. null: no issuer
   * is configured.
   */
  readonly checkIssuer: (() => Promise<{ readonly fetchedAt: Date; readonly usedUntil: Date } | null>) | null;
  readonly costOf: CostOf;
  readonly clock: Clock;
  readonly rules: {
    readonly probeSeconds: number;
    readonly sweepSeconds: number;
    readonly breakerHoldMinutes: number;
    /** The longest time between two exports of the tables. */
    readonly exportSeconds: number;
  };
}

/** One answer serves all who ask within this time: asking costs the tables a pass over every key. */
const KEEP_MS = 5000;
/** So many sweeps may be late before that is said. */
const LATE_SWEEPS = 3;
const LATE_EXPORTS = 3;

export function makeCheckHealth(deps: HealthDeps): CheckHealth {
  let kept: { readonly at: number; readonly checks: Promise<readonly HealthCheck[]> } | null = null;
  return () => {
    const now = deps.clock.now().getTime();
    if (kept === null || now - kept.at >= KEEP_MS) kept = { at: now, checks: check(deps) };
    return kept.checks;
  };
}

const check = async (deps: HealthDeps): Promise<readonly HealthCheck[]> =>
  (
    await Promise.all([
      guard('tables', () => checkKeys(deps)),
      guard('queues', () => checkQueues(deps)),
      guard('issuer', () => checkIssuer(deps)),
      guard('export', () => checkExport(deps)),
    ])
  ).flat();

async function guard(
  name: string,
  look: () => Promise<readonly HealthCheck[]>,
): Promise<readonly HealthCheck[]> {
  try {
    return await look();
  } catch (error) {
    const code = isCmkError(error) ? error.code : 'Unexpected';
    const remedy = isCmkError(error) ? error.remedy : 'See the log of the app.';
    return [{ name, status: 'failing', detail: `could not be asked: ${code}`, remedy }];
  }
}

const ok = (name: string, detail: string): HealthCheck => ({ name, status: 'ok', detail, remedy: null });
const degraded = (name: string, detail: string, remedy: string): HealthCheck => ({
  name,
  status: 'degraded',
  detail,
  remedy,
});

/** `1 key`, `2 keys`. */
const several = (many: number, what: string): string => `${many} ${what}${many === 1 ? '' : 's'}`;

async function checkKeys(deps: HealthDeps): Promise<readonly HealthCheck[]> {
  const { keks, clock, rules } = deps;
  const now = clock.now();
  const count = { keks: 0, inUse: 0, notAsked: 0, lost: 0, stuck: 0, late: 0 };
  const periods = new Map<string, number>();
  for await (const stored of keks.list({ vault: null })) {
    const { kek, versions } = stored;
    const { census, rotation } = kek.value;
    const { vault } = kek.value.kek;
    periods.set(vault, (periods.get(vault) ?? 0) + periodOf(watchedOf(stored), deps.costOf));
    const inUse = versions.filter(({ value }) => value.inUse);
    count.keks += 1;
    count.inUse += inUse.length;
    count.notAsked += inUse.filter(({ value }) => value.status === 'unknown').length;
    count.lost += inUse.filter(({ value }) => value.verdict === 'revoke').length;
    if (rotation.state === 'blocked' || rotation.state === 'halted') count.stuck += 1;
    const age = census === null ? 0 : (now.getTime() - census.countedAt.getTime()) / 1000;
    if (age > LATE_SWEEPS * rules.sweepSeconds) count.late += 1;
  }
  const breaker = (await keks.readBreaker())?.value ?? CLOSED_BREAKER;
  return [
    ok('tables', several(count.keks, 'key')),
    count.notAsked === 0
      ? ok('vaults', `${several(count.inUse, 'key version')} in use: each answers`)
      : degraded(
          'vaults',
          `${count.notAsked} of ${several(count.inUse, 'key version')} in use could not be asked`,
          'List the keys: each version says why. No access is taken away for it.',
        ),
    count.lost === 0
      ? ok('keys', 'no key version in use is lost')
      : degraded(
          'keys',
          `lost: ${count.lost} of ${several(count.inUse, 'key version')} in use`,
          'List the keys: each version says why.',
        ),
    count.stuck === 0
      ? ok('rotations', 'none is blocked or halted')
      : degraded(
          'rotations',
          `${several(count.stuck, 'rotation')} blocked or halted`,
          'List the keys: the rotation says why.',
        ),
    count.late === 0
      ? ok('sweep', `every key was counted within ${LATE_SWEEPS * rules.sweepSeconds} s`)
      : degraded(
          'sweep',
          `${several(count.late, 'key')} not counted for ${LATE_SWEEPS * rules.sweepSeconds} s`,
          'Check that the timer sweepFleet and the queue reconcile-keks run.',
        ),
    isHolding(breaker, now, rules.breakerHoldMinutes)
      ? degraded(
          'breaker',
          'most vaults turned suspect at once; suspect verdicts are held',
          "Check the app's identity and network first: so many losses at once are rarely the customers'. If they are real: pg-cmk breaker clear.",
        )
      : ok('breaker', 'closed'),
    checkProbe([...periods.values()], rules.probeSeconds),
  ];
}

function checkProbe(periods: readonly number[], probeSeconds: number): HealthCheck {
  const longest = Math.max(probeSeconds, ...periods);
  return longest <= probeSeconds
    ? ok('probe', `every ${probeSeconds} s`)
    : degraded(
        'probe',
        `every ${Math.ceil(longest)} s where most keys are, rather than every ${probeSeconds} s`,
        "Spread the keys over more vaults: probes take at most a tenth of a vault's limit.",
      );
}

async function checkQueues({ queues }: HealthDeps): Promise<readonly HealthCheck[]> {
  const depths = await queues.depths();
  const poisoned = depths.filter(({ queue, messages }) => queue.endsWith('-poison') && messages > 0);
  const waiting = depths.filter(({ queue }) => !queue.endsWith('-poison'));
  return [
    ok('queues', waiting.map(({ queue, messages }) => `${queue} ${messages}`).join(', ')),
    poisoned.length === 0
      ? ok('poison', 'no message')
      : degraded(
          'poison',
          poisoned.map(({ queue, messages }) => `${queue} ${messages}`).join(', '),
          'See the audit for what failed. The sweep does the work again; the poison handlers empty these queues.',
        ),
  ];
}

async function checkExport({ exports, keks, clock, rules }: HealthDeps): Promise<readonly HealthCheck[]> {
  const newest = await exports.newest();
  const from = clock.now().getTime() - LATE_EXPORTS * rules.exportSeconds * 1000;
  const isLate = newest === undefined ? await hasKekSince(keks, from) : newest.exportedAt.getTime() < from;
  const detail =
    newest === undefined ? 'there is none yet' : `the newest is of ${newest.exportedAt.toISOString()}`;
  return [
    isLate
      ? degraded('export', detail, 'See the log of the function exportTables: the tables are not backed up.')
      : ok('export', detail),
  ];
}

/** Whether any version has been as it is since before then: the app is in use for longer than an export is due. */
async function hasKekSince(keks: KekStore, time: number): Promise<boolean> {
  for await (const { versions } of keks.list({ vault: null }))
    if (versions.some(({ value }) => value.inUse && value.since.getTime() < time)) return true;
  return false;
}

async function checkIssuer({ checkIssuer: look }: HealthDeps): Promise<readonly HealthCheck[]> {
  if (look === null) {
    return [
      degraded(
        'issuer',
        'none is configured: the API answers 503',
        'Give PGCMK_AUTH_ISSUER, and what goes with it.',
      ),
    ];
  }
  const old = await look();
  if (old === null) return [ok('issuer', 'its keys are there')];
  return [
    degraded(
      'issuer',
      `it can not be asked: its keys of ${old.fetchedAt.toISOString()} are used until ${old.usedUntil.toISOString()}`,
      'Check PGCMK_AUTH_ISSUER, PGCMK_AUTH_JWKS_URI and the way out of the app: after that nobody is let in.',
    ),
  ];
}
