// An export of the tables, checked offline: every file against its hash, every line, every chain, and who signed it.
import { createReadStream } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { JWTPayload } from 'jose';
import { AuditHeadsDocument, parseExportManifest } from '../../shared/api/table-export.ts';
import { isCmkError } from '../../shared/domain/errors.ts';
import { linesOf, makeDigest } from '../../shared/domain/export-lines.ts';
import {
  type ExportedFile,
  type ExportManifest,
  MANIFEST_FILE,
} from '../../shared/domain/export-manifest.ts';
import {
  type ChainHeadAt,
  type ChainsSeen,
  EXPORTED_TABLES,
  type ExportedTable,
  makeChainFollower,
  parseExportLine,
  type TableRow,
  toExportedServer,
} from '../../shared/domain/table-export.ts';
import { cliError } from '../cli-error.ts';
import { readText } from '../text-file.ts';
import { checkStatement, readKeys } from '../verify/check-statement.ts';

export interface ExportFolder {
  readonly folder: string;
  readonly manifest: ExportManifest;
}

export interface FileFinding {
  readonly file: string;
  readonly rows: number;
  /** null: it is what was written. */
  readonly problem: string | null;
}

export interface ExportFindings {
  readonly files: readonly FileFinding[];
  /** null: as the manifest says. */
  readonly versionsProblem: string | null;
  readonly chains: ChainsSeen;
}

/** @param path the folder, or the manifest in it. @throws CliError FileUnusable */
export async function openExport(path: string): Promise<ExportFolder> {
  const folder = basename(path) === MANIFEST_FILE ? dirname(path) : path;
  const text = await readText(join(folder, MANIFEST_FILE));
  try {
    return { folder, manifest: parseExportManifest(text) };
  } catch (error) {
    if (!isCmkError(error)) throw error;
    const where = `${join(folder, MANIFEST_FILE)} does not parse (${String(error.detail['problem'])})`;
    throw cliError('FileUnusable', where, error.remedy, error);
  }
}

/**
 * Reads the file of one table; what is wrong with it is the return value, null for nothing.
 * @param onRow is given every row, with the number of its line
 */
export async function readTable(
  { folder, manifest }: ExportFolder,
  table: ExportedTable,
  onRow: (row: TableRow, line: number) => void,
): Promise<FileFinding> {
  const written = manifest.tables[table];
  let rows = 0;
  let bad: number | null = null;
  const problem = await readFile(folder, written, (text) => {
    rows += 1;
    try {
      onRow(parseExportLine(text), rows);
    } catch (error) {
      if (!isCmkError(error, 'ExportBroken')) throw error;
      bad ??= rows;
    }
  });
  const inside = bad === null ? null : `line ${bad} holds no row`;
  const number = rows === written.rows ? null : `it has ${rows} rows, and ${written.rows} were written`;
  return { file: written.file, rows, problem: problem ?? inside ?? number };
}

async function readFile(
  folder: string,
  { file, sha256 }: ExportedFile,
  onLine: (text: string) => void,
): Promise<string | null> {
  const digest = makeDigest();
  try {
    for await (const line of linesOf(createReadStream(join(folder, file)), digest)) onLine(line);
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return "it can't be read";
    throw error;
  }
  return digest.end().sha256 === sha256
    ? null
    : 'its hash is not the one in the manifest: it was changed or cut';
}

/** Memory doesn't grow with the export. */
export async function checkExport(opened: ExportFolder): Promise<ExportFindings> {
  const versions = new Map<string, Set<string>>();
  const follower = makeChainFollower();
  const files: FileFinding[] = [];
  for (const table of EXPORTED_TABLES) {
    const finding = await readTable(opened, table, (row) => {
      if (table === 'audit') follower.add(row);
      const server = table === 'servers' ? toExportedServer(row) : undefined;
      if (server?.kekVersion == null) return;
      versions.set(server.kek, (versions.get(server.kek) ?? new Set()).add(server.kekVersion));
    });
    files.push(finding);
  }
  const named = new Set(listVersions(opened.manifest.versions));
  const found = listVersions(Object.fromEntries(versions));
  const odd = found.find((version) => !named.has(version));
  const versionsProblem = odd === undefined ? null : `${odd} is used, and the manifest does not name it`;
  return { files, versionsProblem, chains: follower.seen() };
}

const listVersions = (versions: Readonly<Record<string, Iterable<string>>>): readonly string[] =>
  Object.entries(versions).flatMap(([kek, some]) => [...some].map((version) => `${kek} ${version}`));

export interface HeadsFinding {
  readonly file: string;
  readonly status: 'signed' | 'unsigned' | 'unchecked' | 'bad';
  readonly message: string;
}

/** @param keys the file with the public keys of the app; undefined: none was given */
export async function checkHeads(
  { folder, manifest }: ExportFolder,
  { heads }: ChainsSeen,
  keys: string | undefined,
  now: Date,
): Promise<HeadsFinding> {
  const { file, signed } = manifest.heads;
  const finding = (status: HeadsFinding['status'], message: string) => ({ file, status, message });
  const problem = await readFile(folder, manifest.heads, () => undefined);
  if (problem !== null) return finding('bad', problem);
  if (signed && keys === undefined) return finding('unchecked', 'give --keys to check who signed it');
  const claims = await readClaims(join(folder, file), signed ? keys : undefined, now);
  if (typeof claims === 'string') return finding('bad', claims);
  const said = AuditHeadsDocument.safeParse(claims).data;
  if (said === undefined) return finding('bad', 'it is no statement of where the chains end');
  const other = Object.values(manifest.tables).find(({ file: name, sha256 }) => said.files[name] !== sha256);
  if (other !== undefined) return finding('bad', `it is about another ${other.file}`);
  const missing = said.heads.find((head) => !heads.some((seen) => isSameHead(seen, head)));
  if (missing !== undefined)
    return finding('bad', `the chain ${missing.chain} does not end with record ${missing.sequence} here`);
  return signed
    ? finding('signed', `signed by the app at ${said.at}, and so is every file`)
    : finding('unsigned', 'the app had no key to sign with: it shows mistakes, and no tampering');
}

const isSameHead = (a: ChainHeadAt, b: ChainHeadAt): boolean =>
  a.chain === b.chain && a.sequence === b.sequence && a.hash === b.hash;

/** What is wrong, where it isn't sound. @param keys undefined: it isn't signed */
async function readClaims(file: string, keys: string | undefined, now: Date): Promise<JWTPayload | string> {
  const text = await readText(file);
  if (keys === undefined) {
    try {
      return JSON.parse(text);
    } catch {
      return 'it is no JSON';
    }
  }
  const statement = await checkStatement(text, await readKeys(keys), now);
  return statement.sound ? statement.claims : statement.message;
}
