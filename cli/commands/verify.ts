// pg-cmk verify: audits and statements, checked without the app and without a network.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { kekKey } from '../../shared/domain/key-id.ts';
import { parseKey } from '../arguments.ts';
import { cliError } from '../cli-error.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { plain } from '../paint.ts';
import { count, print, type View } from '../print.ts';
import { type ChainReport, type ChainsReport, makeChainCheck } from '../verify/check-chains.ts';
import { checkStatement, readKeys, type StatementReport } from '../verify/check-statement.ts';
import { findCutOff, type Head, toHeads } from '../verify/heads.ts';

interface VerifyOptions {
  readonly keys?: string;
  readonly filtered?: boolean;
  readonly heads?: string;
  readonly key?: ReturnType<typeof parseKey>;
}

export function registerVerify(program: Command, context: CliContext): void {
  program
    .command('verify <files...>')
    .description('check exports of the audit and signed statements, offline; - is standard input')
    .option('--keys <file>', 'the public keys that statements are checked with: a JWK set, or one JWK')
    .option(
      '--heads <file>',
      'audit-heads.jws of a backup made before this export: shows a chain whose end was cut off',
    )
    .option('--key <key>', 'the export is of the chain of one key', parseKey)
    .option('--filtered', 'the export was filtered: records may be left out between two others')
    .action((files: readonly string[], options: VerifyOptions) => verify(context, files, options));
}

interface OpenFile {
  readonly file: string;
  readonly first: string;
  /** Those after the first. */
  readonly rest: AsyncIterator<string>;
}

type FileReport =
  | { readonly file: string; readonly kind: 'statement'; readonly statement: StatementReport }
  | {
      readonly file: string;
      readonly kind: 'audit';
      readonly audit: ChainsReport;
      /** Heads that statements name, and that this export contradicts. */
      readonly contradicted: readonly string[];
      /** Chains that end before they did when their heads were signed. */
      readonly cutOff: readonly string[];
    };

async function verify(context: CliContext, files: readonly string[], options: VerifyOptions): Promise<void> {
  const all = options.heads === undefined ? files : [...files, options.heads];
  const opened = await Promise.all(all.map((file) => open(context, file)));
  assertHeads(opened, options);
  // Statements first: what they say of the audit is looked up in it.
  const statements: FileReport[] = [];
  const heads: Head[] = [];
  for (const one of opened.filter(isStatement)) {
    const statement = await readStatement(context, one, options);
    statements.push({ file: one.file, kind: 'statement', statement });
    if (statement.sound) heads.push(...toHeads(statement.claims));
  }
  const audits: FileReport[] = [];
  for (const one of opened.filter((file) => !isStatement(file))) {
    audits.push(await checkAudit(one, options, heads));
  }
  const reports = [...statements, ...audits];
  const sound = reports.every(isSound);
  if (!sound) context.findings.exitCode = EXIT.checkFailed;
  print(context, { sound, files: reports }, (view) => {
    for (const report of reports) showFile(view, report, options);
  });
}

async function open({ io }: CliContext, file: string): Promise<OpenFile> {
  try {
    const input = file === '-' ? io.stdin : createReadStream(file);
    const rest = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
    const first = await rest.next();
    if (first.done !== true) return { file, first: first.value, rest };
  } catch (error) {
    throw cliError('FileUnusable', `${file} can't be read`, 'Check the name and the rights.', error);
  }
  throw cliError('FileUnusable', `${file} is empty`, 'Check that it is the right file.');
}

/** Three parts of base64url; anything else is taken for JSON Lines, and said to be none if it is none. */
const isStatement = ({ first }: OpenFile): boolean => /^[\w-]+\.[\w-]*\.[\w-]*$/.test(first.trim());

async function readStatement(
  { io }: CliContext,
  { first }: OpenFile,
  { keys }: VerifyOptions,
): Promise<StatementReport> {
  if (keys === undefined) {
    throw cliError(
      'UsageWrong',
      'a statement is checked with the public keys of the app',
      'Give --keys FILE. Make it by `pg-cmk keys signing-keys --out FILE`, once, and keep it.',
    );
  }
  return checkStatement(first, await readKeys(keys), io.now());
}

function assertHeads(opened: readonly OpenFile[], { heads }: VerifyOptions): void {
  const given = opened.find(({ file }) => file === heads);
  if (given === undefined || isStatement(given)) return;
  throw cliError(
    'FileUnusable',
    `${given.file} is not signed`,
    'Give the audit-heads.jws of a backup; the app writes one where it has PGCMK_SIGNING_KEY.',
  );
}

async function checkAudit(
  { file, first, rest }: OpenFile,
  { filtered = false, key }: VerifyOptions,
  heads: readonly Head[],
): Promise<FileReport> {
  const wanted = new Map<string, number[]>();
  for (const { chain, sequence } of heads) wanted.set(chain, [...(wanted.get(chain) ?? []), sequence]);
  const check = makeChainCheck({ isFiltered: filtered, wanted });
  check.add(first);
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) check.add(next.value);
  const contradicted = heads
    .filter(({ chain, sequence, hash }) => (check.hashAt(chain, sequence) ?? hash) !== hash)
    .map(({ chain, sequence }) => `${chain} #${sequence}`);
  const audit = check.report();
  const whole = key === undefined ? heads : heads.filter(({ chain }) => chain === kekKey(key.kek));
  // Of a filtered export nobody knows where it should end.
  const cutOff = filtered ? [] : findCutOff(audit.chains, whole);
  return { file, kind: 'audit', audit, contradicted, cutOff };
}

function isSound(report: FileReport): boolean {
  if (report.kind === 'statement') return report.statement.sound;
  const { audit, contradicted, cutOff } = report;
  return (
    cutOff.length === 0 &&
    audit.unreadable === null &&
    contradicted.length === 0 &&
    audit.chains.every(({ fault }) => fault === null)
  );
}

function showFile(view: View, report: FileReport, options: VerifyOptions): void {
  const { line, paint, facts } = view;
  if (report.kind === 'statement') {
    const { statement } = report;
    if (!statement.sound) {
      line(`${paint('bad', 'BAD')}  ${report.file}: ${plain(statement.message)}`);
      return;
    }
    line(`${paint('good', 'OK')}   ${report.file}: signed by the app`);
    facts(Object.entries(statement.claims).map(([name, value]) => [name, toText(name, value)]));
    return;
  }
  const { audit, contradicted, cutOff } = report;
  for (const chain of audit.chains) showChain(view, report.file, chain, options);
  const { unreadable } = audit;
  if (unreadable !== null) {
    line(`${paint('bad', 'BAD')}  ${report.file}: line ${unreadable.line}: ${unreadable.message}`);
  }
  for (const head of contradicted) {
    line(`${paint('bad', 'BAD')}  ${report.file}: ${plain(head)} is another record than a statement names`);
  }
  for (const chain of cutOff) line(`${paint('bad', 'BAD')}  ${report.file}: ${plain(chain)}`);
}

const toText = (name: string, value: unknown): string => {
  if (typeof value === 'string') return value;
  if (name === 'heads' && Array.isArray(value)) return count(value.length, 'chain');
  const date = new Date(name === 'iat' && typeof value === 'number' ? value * 1000 : Number.NaN);
  return Number.isNaN(date.getTime()) ? JSON.stringify(value) : date.toISOString();
};

function showChain({ line, paint }: View, file: string, report: ChainReport, options: VerifyOptions): void {
  const { chain, fault, records, first, last, head } = report;
  const name = `${file}: ${plain(chain)}`;
  if (fault !== null) {
    line(
      `${paint('bad', 'BAD')}  ${name}: record ${fault.sequence} is ${fault.kind} (line ${fault.line}): ${fault.message}`,
    );
    if (fault.kind === 'missing') {
      line('     If the export was made with --server, --from or --to, check it with --filtered.');
    }
    return;
  }
  const begin = first === 1 ? '' : `; it begins with record ${first}: what came before was not checked`;
  const gaps = options.filtered === true ? '; records may be left out in between' : '';
  line(`${paint('good', 'OK')}   ${name}: ${count(records, 'record')}, up to ${last}${begin}${gaps}`);
  line(`     head ${head}`);
}
