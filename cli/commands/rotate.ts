// pg-cmk rotate: the plan, or the run and how far it is.
import type { Command } from 'commander';
import { type KeyDetail, RewrapPlan } from '../../shared/api/keys.ts';
import { parseAnswer } from '../answers.ts';
import { keyPath, parseKey, whole } from '../arguments.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { count, note, print, type View } from '../print.ts';
import { makeProgressBar } from '../progress-bar.ts';
import { paintRotation, showProgress } from './key-view.ts';
import { readKey } from './read-key.ts';

/** What a plan says of a pause; the plan is then for after it. */
const PAUSED = 'RewrapPaused';

type KeyArgument = ReturnType<typeof parseKey>;

interface RotateOptions {
  readonly dryRun?: boolean;
  readonly wait: boolean;
  readonly every: number;
}

export function registerRotate(program: Command, context: CliContext): void {
  program
    .command('rotate')
    .description("rewrap every server under the key's newest version, and show how far it is")
    .argument('<key>', 'its URL, or vault-host/name', parseKey)
    .option('--dry-run', 'the plan only: what would move, what can not and why, how long')
    .option('--no-wait', 'start it, or resume it, and come back at once')
    .option('--every <seconds>', 'how often progress is asked for', whole(1, 3600), 2)
    .action((key: KeyArgument, options: RotateOptions) => rotate(context, key, options));
}

async function rotate(context: CliContext, key: KeyArgument, options: RotateOptions): Promise<void> {
  const plan = await order(context, key, true);
  if (options.dryRun === true) {
    // A pause is the operator's own wish, not something that is wrong.
    if (plan.blocked !== null && plan.blocked !== PAUSED) context.findings.exitCode = EXIT.checkFailed;
    print(context, plan, (view) => showPlan(view, plan));
    return;
  }
  const begun = await order(context, key, false);
  if (!options.wait) {
    print(context, begun, (view) => {
      view.line(
        `Started: ${count(begun.toRewrap, 'server')} to rewrap under ${begun.newest ?? begun.target}.`,
      );
      view.line(`How far it is: pg-cmk keys show ${begun.keyId} --count`);
    });
    return;
  }
  const end = await watch(context, key, { before: plan, begun, everyMs: options.every * 1000 });
  const isDone = ['completed', 'idle'].includes(end.rotation.state) && (end.progress?.behind ?? 0) === 0;
  if (!isDone) context.findings.exitCode = EXIT.checkFailed;
  print(context, end, (view) => showEnd(view, end));
}

const order = async (context: CliContext, key: KeyArgument, dryRun: boolean): Promise<RewrapPlan> =>
  parseAnswer(
    RewrapPlan,
    await context.api().request('POST', `${keyPath(key)}/rewrap`, { body: { dryRun }, repeatable: true }),
  );

function showPlan({ facts, line, table, paint }: View, plan: RewrapPlan): void {
  facts([
    ['key', plan.keyId],
    ['target now', plan.target ?? 'none'],
    ['newest', plan.newest ?? 'not seen yet'],
    ['blocked', plan.blocked === null ? null : { painted: paint('bad', plan.blocked) }],
    ['to rewrap', plan.toRewrap],
    ['up to date', plan.upToDate],
    ['waves', plan.waves],
    ['vault operations', plan.vaultOperations],
    ['expected time', toDuration(plan.expectedSeconds)],
    ['rotation', { painted: paintRotation({ paint }, plan.rotation) }],
  ]);
  if (plan.cannotMove.length > 0) {
    line('');
    table(
      ['STAYS, FOR', 'SERVERS', 'AMONG THEM'],
      plan.cannotMove.map(({ reason, servers, examples }) => [reason, servers, examples.join(', ')]),
    );
  }
  line('Nothing was changed.');
}

const toDuration = (seconds: number): string => {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

interface Watch {
  /** As things were before the order. */
  readonly before: RewrapPlan;
  readonly begun: RewrapPlan;
  readonly everyMs: number;
}

/** So long an answer may still tell of the time before the order, which a queue carries. */
const STALE_MS = 30_000;

/** Until the rotation has ended, or stands still. */
async function watch(context: CliContext, key: KeyArgument, watched: Watch): Promise<KeyDetail> {
  const { io } = context;
  const api = context.api();
  const began = io.now().getTime();
  const bar = makeProgressBar(io);
  note(context, 'Rotating. Ctrl-C ends this display only; the rotation goes on.');
  try {
    for (;;) {
      const seen = await readKey(api, key, true);
      const { progress, rotation } = seen;
      if (progress !== null) {
        bar.show(progress.onTarget, progress.onTarget + progress.behind, toStatus(seen));
      }
      const isFresh = io.now().getTime() - began > STALE_MS;
      if (isOver(seen, watched, isFresh)) return seen;
      await io.sleep(
        rotation.state === 'running' || isFresh ? watched.everyMs : Math.min(watched.everyMs, 1000),
      );
    }
  } finally {
    bar.stop();
  }
}

function isOver(seen: KeyDetail, { before, begun }: Watch, isFresh: boolean): boolean {
  const { rotation, progress, policy } = seen;
  // Nothing moves until somebody resumes.
  if (policy.rewrapPaused && (isFresh || rotation.state === 'running')) return true;
  switch (rotation.state) {
    case 'running':
      return false;
    case 'halted':
    case 'blocked': {
      const old = before.rotation;
      const isOld = old.state === rotation.state && old.since === rotation.since;
      return isFresh || !isOld;
    }
    case 'idle':
    case 'completed': {
      // The target changes only when the order was taken up.
      const isPossible = begun.blocked === null || begun.blocked === PAUSED;
      const goal = isPossible ? (begun.newest ?? begun.target) : begun.target;
      return (progress?.behind ?? 0) === 0 && (seen.target === goal || isFresh);
    }
  }
}

function toStatus({ rotation, progress }: KeyDetail): string {
  const parts = [
    rotation.state === 'running' && rotation.wave !== null ? `wave ${rotation.wave.number}` : rotation.state,
    ...(progress?.serversPerSecond == null ? [] : [`${progress.serversPerSecond.toFixed(1)}/s`]),
    ...(progress?.expectedEnd == null ? [] : [`until ${progress.expectedEnd.slice(11, 19)} UTC`]),
    ...(progress === null || progress.failureCount === 0 ? [] : [count(progress.failureCount, 'failure')]),
  ];
  return parts.join(', ');
}

function showEnd(view: View, key: KeyDetail): void {
  const { line } = view;
  line(`${key.vault}/${key.name}: ${paintRotation(view, key.rotation)}`);
  line(`target ${key.target}`);
  if (key.progress !== null) showProgress(view, key.progress);
  if (key.policy.rewrapPaused) line('It is paused: pg-cmk keys policy --resume');
  if (key.rotation.state === 'halted') line('Mend what failed, then resume it: pg-cmk rotate again.');
  if (key.rotation.state === 'blocked') {
    line('Everything stays on the version before. pg-cmk keys show says what to do.');
  }
}
