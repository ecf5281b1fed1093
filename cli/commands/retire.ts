// pg-cmk retire: a key version that nothing depends on, and a statement that says so.
import type { Command } from 'commander';
import { type KeyDetail, Retirement } from '../../shared/api/keys.ts';
import { keyUrl } from '../../shared/domain/key-id.ts';
import { parseAnswer } from '../answers.ts';
import { keyPath, parseKey, parseVersionArgument } from '../arguments.ts';
import { cliError } from '../cli-error.ts';
import { confirm } from '../confirm.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { count, instant, print } from '../print.ts';
import { writeText } from '../text-file.ts';
import { readKey } from './read-key.ts';

type KeyArgument = ReturnType<typeof parseKey>;

interface RetireOptions {
  readonly out?: string;
  readonly dryRun?: boolean;
}

export function registerRetire(program: Command, context: CliContext): void {
  program
    .command('retire')
    .description('retire a key version that nothing depends on (role Keys.Retire)')
    .argument('<key>', 'its URL, or vault-host/name', parseKey)
    .argument('[version]', 'unless the key names it', parseVersionArgument)
    .option('--out <file>', 'write the signed statement there')
    .option('--dry-run', 'say what depends on it as far as it is counted, and change nothing')
    .action((key: KeyArgument, version: string | undefined, options: RetireOptions) =>
      retire(context, key, version, options),
    );
}

async function retire(
  context: CliContext,
  key: KeyArgument,
  given: string | undefined,
  { out, dryRun }: RetireOptions,
): Promise<void> {
  const version = given ?? key.version;
  if (version === null)
    throw cliError('UsageWrong', 'which version?', 'Give the version, or a key URL with it.');
  if (dryRun === true) {
    await look(context, key, version);
    return;
  }
  const name = keyUrl(key.kek, version);
  const what = `${name} is marked retired if nothing depends on it: nothing is wrapped under it any more, and its history is dropped.`;
  await confirm(context, what, version);
  // The same command again gives a statement again.
  const answer = await context
    .api()
    .request('POST', `${keyPath(key)}/versions/${version}/retire`, { repeatable: true });
  const retirement = parseAnswer(Retirement, answer);
  if (out !== undefined) await writeText(out, `${retirement.statement}\n`);
  print(context, retirement, ({ line }) => {
    line(`${name} is retired since ${instant(retirement.retiredAt)}: nothing depends on it.`);
    line(`${count(retirement.prunedHistory, 'old wrapping')} dropped.`);
    line(out === undefined ? `statement  ${retirement.statement}` : `The statement is in ${out}.`);
    line('Nothing was done in the vault. To disable the version there:');
    line(`  ${retirement.next}`);
  });
}

interface Finding {
  readonly kind: string;
  readonly count: number;
}

async function look(context: CliContext, key: KeyArgument, version: string): Promise<void> {
  const found = await readKey(context.api(), key, true);
  const view = found.versions.find((one) => one.version === version);
  if (view === undefined) {
    throw cliError('UsageWrong', `the app knows no version ${version}`, 'See pg-cmk keys show.');
  }
  const dependents = toDependents(found, version);
  if (dependents.length > 0) context.findings.exitCode = EXIT.checkFailed;
  const { retiredAt } = view;
  print(context, { dryRun: true, keyId: view.keyId, retiredAt, dependents }, ({ line, table }) => {
    if (retiredAt !== null) line(`It is retired since ${instant(retiredAt)}.`);
    if (dependents.length === 0) {
      line(
        'Nothing that is counted here depends on it. The app counts anew before it retires, and waits for the soak.',
      );
    } else {
      table(
        ['DEPENDS ON IT', 'COUNT'],
        dependents.map(({ kind, count: many }) => [kind, many]),
      );
    }
    line('Nothing was changed.');
  });
}

function toDependents({ target, versions, newestExport }: KeyDetail, version: string): readonly Finding[] {
  const counts = versions.find((one) => one.version === version)?.count ?? null;
  const found = [
    { kind: 'target of rotations', count: target === version ? 1 : 0 },
    { kind: 'server', count: counts?.servers ?? 0 },
    { kind: 'tombstone', count: counts?.tombstones ?? 0 },
    { kind: 'copy', count: counts?.copies ?? 0 },
    { kind: 'unproven successor', count: counts?.unprovenSuccessors ?? 0 },
    { kind: 'newest export', count: newestExport?.versions.includes(version) === true ? 1 : 0 },
  ];
  return found.filter(({ count: many }) => many > 0);
}
