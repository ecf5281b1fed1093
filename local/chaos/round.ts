// One round: faults, calm, and the wait until everything is as it must be.
import { setTimeout as sleep } from 'node:timers/promises';
import { judgeEpochs, judgeRecords, judgeServers, type SeenKek, type Violation } from './judge.ts';
import { isDelivered, lookAtKek, lookAtRecords } from './look.ts';
import { leaveKeys, performPlan, type Unacknowledged } from './perform.ts';
import { type End, KEKS, type KekName, type Plan } from './plan.ts';
import { registerServer, type Site } from './site.ts';
import { watchSite } from './watch.ts';

export interface RoundReport {
  readonly seed: number;
  readonly held: boolean;
  readonly actions: number;
  readonly ends: Readonly<Record<KekName, End>>;
  /** From the end of the faults until the fleet was as its keys asked; null: not within the limit. */
  readonly settledMs: number | null;
  /** From giving the keys back until all was open again; null: they were usable, or not within the limit. */
  readonly restoredMs: number | null;
  /** What was still wrong in the last look that found anything: why it took so long. */
  readonly lastToSettle: string | null;
  readonly ms: number;
  readonly violations: readonly Violation[];
}

export interface RoundContext {
  readonly site: Site;
  /** How long the fleet may take to settle. */
  readonly limitSeconds: number;
  /** Fingerprints of wrappings seen before, so that each is unwrapped once. */
  readonly known: Map<string, string | null>;
}

const USABLE: Readonly<Record<KekName, End>> = { payments: 'usable', ledger: 'usable' };
const POLL_MS = 500;
const TRIES = 5;

/** @throws Error where the site itself can't be looked at */
export async function playRound(context: RoundContext, plan: Plan): Promise<RoundReport> {
  const { site } = context;
  const since = Date.now();
  const before = await lookAround(site);
  const watch = watchSite(site);
  const unacknowledged = await performPlan(site, plan);
  await leaveKeys(site, plan.ends);
  const settled = await settle(context);
  let restored: Settled | null = null;
  if (settled.ms !== null && KEKS.some((kek) => plan.ends[kek] !== 'usable')) {
    await leaveKeys(site, USABLE);
    restored = await settle(context);
  }
  const late = (restored ?? settled).ms === null ? [] : await registerAgain(site, unacknowledged);
  const after = await lookAround(site);
  const violations = [
    ...settled.violations,
    ...(restored?.violations ?? []),
    ...late,
    ...plan.untouched.flatMap((name) => judgeEpochs(findKek(before, name), findKek(after, name))),
    ...(await watch.stop()),
  ];
  return {
    seed: plan.seed,
    held: violations.length === 0,
    actions: plan.actions.length,
    ends: plan.ends,
    settledMs: settled.ms,
    restoredMs: restored?.ms ?? null,
    lastToSettle: ((restored?.ms ?? 0) > (settled.ms ?? 0) ? restored?.last : settled.last) ?? null,
    ms: Date.now() - since,
    violations,
  };
}

interface Settled {
  readonly ms: number | null;
  readonly last: string | null;
  readonly violations: readonly Violation[];
}

/** Waits until nothing is wrong in two looks, with a look at all records between them. */
export async function settle({ site, limitSeconds, known }: RoundContext): Promise<Settled> {
  const since = Date.now();
  let last: string | null = null;
  for (;;) {
    const firstMs = Date.now() - since;
    const now = await wrongNow(site);
    const quiet = now.length === 0 && (await isDelivered(site));
    if (!quiet) last = describe(now[0] ?? UNDELIVERED);
    if (quiet) {
      const lasting = judgeRecords(await lookAtRecords(site, known));
      const again = await wrongNow(site);
      if (lasting.length > 0) return { ms: firstMs, last, violations: lasting };
      if (again.length === 0) return { ms: firstMs, last, violations: [] };
    }
    if (Date.now() - since > limitSeconds * 1000) {
      return { ms: null, last, violations: now.length > 0 ? now : [UNDELIVERED] };
    }
    await sleep(POLL_MS);
  }
}

const UNDELIVERED: Violation = {
  invariant: 'a poison queue explains itself',
  detail: 'records or poisoned messages still wait to be taken',
};
const describe = ({ invariant, detail }: Violation): string => `${invariant}: ${detail}`;

const lookAround = (site: Site): Promise<readonly SeenKek[]> =>
  Promise.all(KEKS.map((name) => lookAtKek(site, name)));

const wrongNow = async (site: Site): Promise<readonly Violation[]> =>
  (await lookAround(site)).flatMap(judgeServers);

function findKek(seen: readonly SeenKek[], name: KekName): SeenKek {
  const found = seen.find(({ kek }) => kek === name);
  if (found === undefined) throw new RangeError(`${name} was not looked at`);
  return found;
}

/** Whoever was not told that a server is registered asks again, as an operator would. */
async function registerAgain(site: Site, unacknowledged: Unacknowledged): Promise<readonly Violation[]> {
  const left: Violation[] = [];
  for (const [serverId, kek] of unacknowledged) {
    let done = false;
    for (let tries = 0; tries < TRIES && !done; tries += 1) {
      if (tries > 0) await sleep(1000);
      done = await registerServer(site, { serverId, kek, host: tries % site.stack.hosts.count });
    }
    if (!done) left.push({ invariant: 'a calm app takes registrations', detail: serverId });
  }
  return left;
}
