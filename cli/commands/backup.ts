// pg-cmk backup: exports of the app's tables that were downloaded, checked without the app and without a network.
import type { Command } from 'commander';
import { type LeftOutReason, makeRestorePlan } from '../../shared/domain/restore-plan.ts';
import { EXPORTED_TABLES, type ExportedTable, toExportedServer } from '../../shared/domain/table-export.ts';
import { checkExport, checkHeads, type ExportFolder, openExport, readTable } from '../backup/check-export.ts';
import { cliError } from '../cli-error.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { plain } from '../paint.ts';
import { count, instant, print, type View } from '../print.ts';

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
    .action((path: string, options: { readonly dryRun?: boolean }) => planRestore(context, path, options));
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

interface LeftOut {
  readonly partitionKey: string;
  readonly rowKey: string;
  readonly reason: LeftOutReason;
}

async function planRestore(
  context: CliContext,
  path: string,
  { dryRun = false }: { readonly dryRun?: boolean },
): Promise<void> {
  if (!dryRun) {
    throw cliError(
      'UsageWrong',
      'pg-cmk has no rights on the storage account: it only says what a restore would do',
      'Give --dry-run. To restore: `npm run restore -- --from DIR` in a checkout; see docs/backup.md.',
    );
  }
  const opened = await openExport(path);
  const { rows, leftOut, servers } = await plan(opened);
  const { exportedAt, versions } = opened.manifest;
  print(context, { exportedAt, rows, servers, versions, leftOut }, (view) => {
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
  });
}

const WHY: Readonly<Record<LeftOutReason, string>> = {
  replaced: 'a later line of the same row counts',
  moved: 'the server had moved to another key',
  purged: 'the server was purged while the export was taken',
  ahead: 'its server was exported before that wrapping was replaced',
};

/** @throws CliError FileUnusable where a file isn't what was written */
async function plan(opened: ExportFolder) {
  const { rows: lines, late } = opened.manifest.tables.servers;
  const restore = makeRestorePlan(lines - late + 1);
  for (const table of ['serverindex', 'servers', 'keks', 'audit'] as const) {
    const { file, problem } = await readTable(opened, table, (row, line) => restore.see(table, row, line));
    if (problem !== null)
      throw cliError(
        'FileUnusable',
        `${file}: ${problem}`,
        'Do not restore it: take another export, or download it anew.',
      );
  }
  const rows: Record<ExportedTable, number> = { servers: 0, serverindex: 0, keks: 0, audit: 0 };
  const servers: Record<string, number> = {};
  const leftOut: LeftOut[] = [];
  for (const table of EXPORTED_TABLES) {
    await readTable(opened, table, (row, line) => {
      const reason = restore.decide(table, row, line);
      const { partitionKey, rowKey } = row;
      if (reason !== null) {
        leftOut.push({ partitionKey, rowKey, reason });
        return;
      }
      rows[table] += 1;
      if (table === 'servers' && toExportedServer(row) !== undefined)
        servers[partitionKey] = (servers[partitionKey] ?? 0) + 1;
    });
  }
  return { rows, servers, leftOut };
}
