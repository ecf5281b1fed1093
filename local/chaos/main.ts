// npm run chaos: rounds of faults on the whole stack; exits with 1 where an invariant broke, and says how to replay it.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { describePlan, type Plan, planRound } from './plan.ts';
import { type ChaosReport, countViolations, formatRound, formatSummary } from './report.ts';
import { playRound, type RoundContext, type RoundReport, settle } from './round.ts';
import { type Site, startSite } from './site.ts';

const USAGE =
  'npm run chaos -- [--seed S] [--rounds N] [--servers N] [--limit SECONDS] [--json FILE] [--verbose]';
/** A site is used for so many rounds: each starts from a settled state, but not from an empty table. */
const ROUNDS_A_SITE = 20;
const KEPT_LOG_LINES = 2000;
const SHOWN_VIOLATIONS = 8;
const MOST_STARTS = 5;
/** A round that takes longer to settle says what it waited for. */
const SLOW_MS = 10_000;
/** A round may wait for the fleet twice, and for every deed to end. Whatever takes longer stands still. */
const WAITS_A_ROUND = 3;

interface Options {
  readonly seed: number;
  readonly rounds: number;
  readonly servers: number;
  readonly limitSeconds: number;
  readonly json: string | undefined;
  readonly verbose: boolean;
}

function readArguments(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '5' },
      servers: { type: 'string', default: '15' },
      limit: { type: 'string', default: '120' },
      json: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'seed' | 'rounds' | 'servers' | 'limit', least: number, most: number): number => {
    const number = Number(values[name]);
    if (Number.isInteger(number) && number >= least && number <= most) return number;
    throw new RangeError(`--${name} takes a whole number from ${least} to ${most}, not ${values[name]}`);
  };
  return {
    seed: whole('seed', 0, 1_000_000_000),
    rounds: whole('rounds', 1, 100_000),
    servers: whole('servers', 1, 1000),
    limitSeconds: whole('limit', 1, 3600),
    json: values.json,
    verbose: values.verbose,
  };
}

class Run {
  readonly #options: Options;
  readonly #startedAt = new Date();
  readonly #log: string[] = [];
  readonly #rounds: RoundReport[] = [];
  readonly #deeds = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  #context: RoundContext | undefined;
  #played = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  say(text: string): void {
    const at = ((Date.now() - this.#startedAt.getTime()) / 1000).toFixed(1).padStart(7);
    console.log(`${at} s  ${text}`);
  }

  async play(plan: Plan): Promise<void> {
    const { verbose, rounds, seed } = this.#options;
    if (verbose) for (const line of describePlan(plan)) this.say(line);
    this.#log.length = 0;
    const context = await this.#site();
    const report = await this.#playInTime(context, plan).catch((error: unknown) => toFailed(plan, error));
    this.#rounds.push(report);
    for (const { deed } of plan.actions) count(this.#deeds, deed.kind === 'key' ? deed.deed : deed.kind);
    this.say(formatRound(report));
    const slowest = Math.max(report.settledMs ?? 0, report.restoredMs ?? 0);
    if (slowest > SLOW_MS) this.say(`   last to settle: ${report.lastToSettle}`);
    if (report.held) return;
    for (const { invariant, detail } of report.violations.slice(0, SHOWN_VIOLATIONS))
      this.say(`   ✘ ${invariant}: ${detail}`);
    if (!verbose) for (const line of describePlan(plan)) this.say(`   ${line}`);
    this.say(`   replay: npm run chaos -- --seed ${plan.seed} --rounds 1 --servers ${this.#options.servers}`);
    const file = `reports/chaos-${plan.seed}.log`;
    await write(file, `${this.#log.join('\n')}\n`);
    this.say(`   what the hosts said: ${file}`);
    if (plan.seed < seed + rounds - 1) await this.close();
  }

  async #playInTime(context: RoundContext, plan: Plan): Promise<RoundReport> {
    const seconds = WAITS_A_ROUND * this.#options.limitSeconds;
    const over = new AbortController();
    const standstill = sleep(seconds * 1000, undefined, { signal: over.signal }).then(() => {
      // Whoever still waits for an answer would keep the site from being stopped.
      context.site.network.calm();
      throw new Error(`it stood still: it has not ended after ${seconds} s`);
    });
    try {
      return await Promise.race([playRound(context, plan), standstill]);
    } finally {
      over.abort();
      standstill.catch(() => undefined);
    }
  }

  /** The site of the rounds so far, or a fresh one. */
  async #site(): Promise<RoundContext> {
    if (this.#played === ROUNDS_A_SITE) await this.close();
    this.#played += 1;
    this.#context ??= await this.#open();
    return this.#context;
  }

  async #open(): Promise<RoundContext> {
    const { limitSeconds } = this.#options;
    const context = { site: await this.#start(), limitSeconds, known: new Map<string, string | null>() };
    const { violations } = await settle(context);
    if (violations.length === 0) return context;
    await context.site.stop();
    const [first] = violations;
    throw new Error(`it did not hold before the first round: ${first?.invariant}: ${first?.detail}`);
  }

  /** A machine that is busy may be too slow to start a site in time; that is no finding. */
  async #start(): Promise<Site> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await startSite({
          servers: this.#options.servers,
          onProgress: (what) => this.say(what),
          onHostLog: (line) => this.#hear(line),
        });
      } catch (error) {
        if (tries === MOST_STARTS) throw error;
        this.say(`the site did not start, once more: ${error instanceof Error ? error.message : error}`);
      }
    }
  }

  #hear(line: string): void {
    if (this.#log.push(`${new Date().toISOString()} ${line}`) > KEPT_LOG_LINES) this.#log.shift();
    if (this.#options.verbose) console.error(line);
  }

  async close(): Promise<void> {
    const site = this.#context?.site;
    this.#context = undefined;
    this.#played = 0;
    for (const [fault, times] of site?.network.met() ?? []) count(this.#faults, fault, times);
    await site?.stop();
  }

  report(): ChaosReport {
    const { seed, servers } = this.#options;
    const faults = new Map(this.#faults);
    for (const [fault, times] of this.#context?.site.network.met() ?? []) count(faults, fault, times);
    const sorted = (counts: ReadonlyMap<string, number>) => Object.fromEntries([...counts].toSorted());
    return {
      held: this.#rounds.every(({ held }) => held),
      firstSeed: seed,
      startedAt: this.#startedAt.toISOString(),
      seconds: Math.round((Date.now() - this.#startedAt.getTime()) / 1000),
      servers,
      rounds: this.#rounds,
      deeds: sorted(this.#deeds),
      faults: sorted(faults),
      violations: countViolations(this.#rounds),
    };
  }
}

/** Where something else than the app broke, such as a PostgreSQL server that didn't start again. */
const toFailed = ({ seed, actions, ends }: Plan, error: unknown): RoundReport => ({
  seed,
  held: false,
  actions: actions.length,
  ends,
  settledMs: null,
  restoredMs: null,
  lastToSettle: null,
  ms: 0,
  violations: [{ invariant: 'the round was played to its end', detail: String(error) }],
});

function count(counts: Map<string, number>, name: string, times = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + times);
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

async function main(): Promise<void> {
  const options = readArguments();
  const { seed, rounds, servers, json } = options;
  console.log(
    `pg-cmk chaos: ${rounds} rounds from seed ${seed}, ${servers} servers under each of two keys and three real ones`,
  );
  const run = new Run(options);
  try {
    for (let index = 0; index < rounds; index += 1) {
      await run.play(planRound(seed + index));
      // After every round: a long run that is ended early has its results.
      if (json !== undefined) await write(json, `${JSON.stringify(run.report(), null, 2)}\n`);
    }
    const report = run.report();
    console.log(formatSummary(report));
    process.exitCode = report.held ? 0 : 1;
  } finally {
    await run.close();
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof RangeError || error instanceof TypeError) console.error(USAGE);
  process.exitCode = 2;
}
