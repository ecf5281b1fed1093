// pg-cmk backup: exports of the app's tables that were downloaded, checked without the app and without a network.
import type { Command } from 'commander';
import type { LeftOutReason } from '../../shared/domain/restore-plan.ts';
import { EXPORTED_TABLES } from '../../shared/domain/table-export.ts';
import { checkExport, checkHeads, openExport } from '../backup/check-export.ts';
import { compareFleet, type FleetComparison } from '../backup/compare-fleet.ts';
import { planRestore } from '../backup/plan-restore.ts';
import { cliError } from '../cli-error.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { plain } from '../paint.ts';
import { count, instant, print, type View } from '../print.ts';

interface RestoreOptions {
  readonly dryRun?: boolean;
  readonly compare?: boolean;
}

export function registerBackup(program: Command, context: CliContext): void {
  const backup = program.command('backup').description("exports of the app's tables, downloaded; offline");

  backup
    .command('verify <path>')
    .description('check an export: its folder, or the manifest in it')
    .option('--keys <file>', 'the public keys that its statement is checked with: a JWK set, or one JWK')
    .action((path: string, { keys }: { readonly keys?: string }) => verifyExport(context, path, keys));

  backup
    .command('restore <path>')
    .description('what a restore of it would write, and leave out')
    .option('--dry-run', 'needed: only `npm run restore` writes, with the rights on the storage account')
    .option('--compare', 'with the servers that the app has now: what a restore would undo')
    .action((path: string, options: RestoreOptions) => showRestore(context, path, options));
}

async function verifyExport(context: CliContext, path: string, keys: string | undefined): Promise<void> {
  const opened = await openExport(path);
  const { manifest } = opened;
  const findings = await checkExport(opened);
  const heads = await checkHeads(opened, findings.chains, keys, context.io.now());
  const { broken } = findings.chains;
  const isWhole =
    findings.files.every(({ problem }) => problem === null) && findings.versionsProblem === null;
  const sound = isWhole && broken.length === 0 && heads.status !== 'bad';
  if (!sound) context.findings.exitCode = EXIT.checkFailed;
  const unread = EXPORTED_TABLES.reduce((sum, table) => sum + manifest.tables[table].unread, 0);
  const { exportedAt, appVersion, versions } = manifest;
  const shown = { sound, exportedAt, appVersion, versions, ...findings, unread, statement: heads };
  print(context, shown, (view) => {
    const { line, paint } = view;
    for (const { file, rows, problem } of findings.files) {
      if (problem === null) line(`${paint('good', 'OK')}   ${file}: ${count(rows, 'row')}`);
      else line(`${paint('bad', 'BAD')}  ${file}: ${problem}`);
    }
    if (findings.versionsProblem !== null) line(`${paint('bad', 'BAD')}  ${plain(findings.versionsProblem)}`);
    for (const { chain, sequence } of broken)
      line(
        `${paint('bad', 'BAD')}  chain ${plain(chain)}: record ${sequence} does not follow; it restores all the same`,
      );
    if (unread > 0)
      line(
        `${paint('warn', 'NOTE')} ${count(unread, 'row')} could not be read by the app that made the export`,
      );
    const mark =
      heads.status === 'signed'
        ? paint('good', 'OK')
        : paint(heads.status === 'bad' ? 'bad' : 'warn', heads.status === 'bad' ? 'BAD' : 'NOTE');
    line(`${mark.padEnd(4)} ${heads.file}: ${plain(heads.message)}`);
    line(`export of ${instant(exportedAt)}, by pg-cmk ${plain(appVersion)}`);
    showVersions(view, versions);
  });
}

function showVersions({ table }: View, versions: Readonly<Record<string, readonly string[]>>): void {
  const rows = Object.entries(versions).flatMap(([kek, some]) =>
    some.map((version) => [kek.replace('|', '/'), version]),
  );
  if (rows.length > 0) table(['NEEDS KEY', 'VERSION'], rows);
}

async function showRestore(
  context: CliContext,
  path: string,
  { dryRun = false, compare = false }: RestoreOptions,
): Promise<void> {
  if (!dryRun) {
    throw cliError(
      'UsageWrong',
      'pg-cmk has no rights on the storage account: it only says what a restore would do',
      'Give --dry-run. To restore: `npm run restore -- --from DIR` in a checkout; see docs/backup.md.',
    );
  }
  const opened = await openExport(path);
  const { rows, leftOut, servers, deks } = await planRestore(opened);
  const comparison = compare ? await compareFleet(context.api(), deks) : null;
  const { exportedAt, versions } = opened.manifest;
  print(context, { exportedAt, rows, servers, versions, leftOut, comparison }, (view) => {
    const { line, table, paint } = view;
    line(`a restore of the export of ${instant(exportedAt)} would write`);
    table(
      ['TABLE', 'ROWS'],
      EXPORTED_TABLES.map((name) => [name, rows[name]]),
    );
    table(
      ['KEY', 'SERVERS'],
      Object.entries(servers).map(([kek, many]) => [kek.replace('|', '/'), many]),
    );
    for (const { partitionKey, rowKey, reason } of leftOut)
      line(`${paint('warn', 'left out')} ${plain(partitionKey)} ${plain(rowKey)}: ${WHY[reason]}`);
    showVersions(view, versions);
    if (comparison !== null) showComparison(view, comparison);
  });
}

/** All of them are in `-o json`. */
const SHOWN_IDS = 20;

function showComparison({ line, paint }: View, compared: FleetComparison): void {
  line(`the app has ${count(compared.same, 'server')} of these, with the same DEK`);
  const show = (ids: readonly string[], what: string) => {
    if (ids.length === 0) return;
    const more = ids.length > SHOWN_IDS ? ` and ${ids.length - SHOWN_IDS} more` : '';
    line(`${paint('warn', what)}: ${plain(ids.slice(0, SHOWN_IDS).join(', '))}${more}`);
  };
  show(compared.onlyInApp, 'only in the app, and not restored');
  show(compared.onlyInExport, 'only in the export, and back after a restore');
  show(compared.otherDek, 'with another DEK in the app');
}

const WHY: Readonly<Record<LeftOutReason, string>> = {
  replaced: 'a later line of the same row counts',
  moved: 'the server had moved to another key',
  purged: 'the server was purged while the export was taken',
  ahead: 'its server was exported before that wrapping was replaced',
};
