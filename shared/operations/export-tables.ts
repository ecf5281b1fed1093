// Exports the tables, whose rows are the only copy of the wrapped DEKs, and signs where each chain of the audit ends.
import { CmkError } from '../domain/errors.ts';
import {
  type AuditHeads,
  type ExportManifest,
  exportFolder,
  MANIFEST_FILE,
  PLAIN_HEADS_FILE,
  SIGNED_HEADS_FILE,
} from '../domain/export-manifest.ts';
import { kekKey } from '../domain/key-id.ts';
import {
  type ChainsSeen,
  EXPORTED_TABLES,
  type ExportedTable,
  makeChainFollower,
  toExportedServer,
} from '../domain/table-export.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { StatementSigner } from '../ports/statement-signer.ts';
import { readRowsBack, writeWhole } from './export-files.ts';
import { type ExportRowsDeps, type WrittenTable, writeTables } from './export-rows.ts';
import { onConflict } from './on-conflict.ts';

export interface ExportTablesDeps extends ExportRowsDeps {
  readonly keks: KekStore;
  /** null: there is no key to sign with, and the heads are written unsigned. */
  readonly signer: StatementSigner | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly appVersion: string;
}

/**
 * Resolves to the manifest of an export that was read back, found whole and noted as the newest. Memory doesn't grow
 * with the tables.
 * @throws CmkError ExportBroken, WriteConflict, StoreUnavailable (all retryable), InvalidRow where the note of the
 *   newest export doesn't parse
 */
export type ExportTables = () => Promise<ExportManifest>;

const ATTEMPTS = 3;
const BETWEEN_ATTEMPTS_MS = 1000;

/**
 * Invariant I-12: no export is noted that names a retired key version. A retirement marks the version and then looks
 * at the newest export; here the export is noted and then the marks are looked at. So whichever of the two comes
 * second sees the other, and an export that was noted in vain is followed at once by one that doesn't name the version.
 */
export function makeExportTables(deps: ExportTablesDeps): ExportTables {
  const { exports, clock, log } = deps;
  return async () => {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const exportedAt = clock.now();
      const manifest = await takeExport(deps, exportedAt);
      const { versions } = manifest;
      let retired = await findRetired(deps.keks, versions);
      if (retired.length === 0) {
        await onConflict(() => exports.record({ exportedAt, versions }));
        retired = await findRetired(deps.keks, versions);
      }
      if (retired.length === 0) {
        report(log, manifest);
        return manifest;
      }
      log.write('warn', 'key versions were retired while the tables were exported: once more', { retired });
      await clock.sleep(BETWEEN_ATTEMPTS_MS);
    }
    throw new CmkError('WriteConflict', 'key versions were retired each time that the tables were exported', {
      remedy: 'Nothing: the next export names none of them.',
      retryable: true,
    });
  };
}

async function takeExport(deps: ExportTablesDeps, exportedAt: Date): Promise<ExportManifest> {
  const { exports } = deps;
  const folder = exportFolder(exportedAt);
  const written = await writeTables(deps, folder, exportedAt);
  const read = await readAllBack(deps, folder, written);
  const { heads, broken } = read.chains;
  const claims: AuditHeads = {
    kind: 'AuditHeads',
    sub: folder,
    at: exportedAt.toISOString(),
    heads,
    files: Object.fromEntries(Object.values(written).map(({ file, sha256 }) => [file, sha256])),
  };
  const signed = await deps.signer?.sign({ ...claims });
  const headsFile = await writeWhole(
    exports,
    folder,
    signed === undefined ? PLAIN_HEADS_FILE : SIGNED_HEADS_FILE,
    signed ?? JSON.stringify(claims),
  );
  const withUnread = (table: ExportedTable) => ({ ...written[table], unread: read.unread.get(table) ?? 0 });
  const manifest: ExportManifest = {
    schema: 1,
    exportedAt: exportedAt.toISOString(),
    appVersion: deps.appVersion,
    tables: {
      servers: withUnread('servers'),
      serverindex: withUnread('serverindex'),
      keks: withUnread('keks'),
      audit: withUnread('audit'),
    },
    versions: Object.fromEntries([...read.versions].map(([kek, versions]) => [kek, [...versions].sort()])),
    brokenChains: broken,
    heads: { ...headsFile, signed: signed !== undefined },
  };
  await writeWhole(exports, folder, MANIFEST_FILE, JSON.stringify(manifest));
  return manifest;
}

interface ReadBack {
  readonly versions: ReadonlyMap<string, ReadonlySet<string>>;
  readonly chains: ChainsSeen;
  readonly unread: ReadonlyMap<ExportedTable, number>;
}

/** All that is said of an export is taken from what came back of it. */
async function readAllBack(
  { tables, exports, log }: ExportTablesDeps,
  folder: string,
  written: Readonly<Record<ExportedTable, WrittenTable>>,
): Promise<ReadBack> {
  const versions = new Map<string, Set<string>>();
  const unread = new Map<ExportedTable, number>();
  const follower = makeChainFollower();
  for (const table of EXPORTED_TABLES) {
    for await (const row of readRowsBack(exports, folder, written[table])) {
      const problem = tables.findProblem(table, row);
      if (problem !== null) {
        unread.set(table, (unread.get(table) ?? 0) + 1);
        const { partitionKey, rowKey } = row;
        log.write('error', 'a row that does not parse was exported as it is', {
          table,
          partitionKey,
          rowKey,
          problem,
        });
      }
      if (table === 'audit') follower.add(row);
      const server = table === 'servers' ? toExportedServer(row) : undefined;
      if (server?.kekVersion == null) continue;
      const ofKek = versions.get(server.kek) ?? new Set();
      versions.set(server.kek, ofKek.add(server.kekVersion));
    }
  }
  return { versions, chains: follower.seen(), unread };
}

/** Retired versions that the export depends on. */
async function findRetired(keks: KekStore, named: ExportManifest['versions']): Promise<readonly string[]> {
  const retired: string[] = [];
  for await (const { kek, versions } of keks.list({ vault: null })) {
    const names = named[kekKey(kek.value.kek)] ?? [];
    for (const { value } of versions)
      if (value.retiredAt !== null && names.includes(value.version)) retired.push(value.version);
  }
  return retired;
}

function report(log: Log, { exportedAt, tables, brokenChains, heads }: ExportManifest): void {
  for (const { chain, sequence } of brokenChains)
    log.write('error', 'a chain of the audit does not hold together', { chain, sequence });
  if (!heads.signed)
    log.write('warn', 'the heads of the audit are not signed: there is no PGCMK_SIGNING_KEY', {});
  const rows = Object.fromEntries(EXPORTED_TABLES.map((table) => [table, tables[table].rows]));
  log.write('info', 'the tables were exported', { exportedAt, rows });
}
