// The files of an export: written with their hash, and read back to be believed.

import { linesOf, makeDigest } from '../domain/export-lines.ts';
import type { ExportedFile } from '../domain/export-manifest.ts';
import { exportBroken, parseExportLine, type TableRow, toExportLine } from '../domain/table-export.ts';
import type { ExportStore } from '../ports/export-store.ts';

export interface RowFile {
  add(rows: readonly TableRow[]): Promise<void>;
  /** So far. */
  rows(): number;
  close(): Promise<ExportedFile>;
}

const encoder = new TextEncoder();

export function openRowFile(store: ExportStore, folder: string, file: string): RowFile {
  const writer = store.open(folder, file);
  const digest = makeDigest();
  let count = 0;
  return {
    add: async (rows) => {
      if (rows.length === 0) return;
      const bytes = encoder.encode(rows.map((row) => `${toExportLine(row)}\n`).join(''));
      digest.add(bytes);
      count += rows.length;
      await writer.append(bytes);
    },
    rows: () => count,
    close: async () => {
      await writer.close();
      return { file, ...digest.end() };
    },
  };
}

/** Writes a small file as a whole, and reads it back. @throws CmkError ExportBroken, StoreUnavailable, WriteConflict */
export async function writeWhole(
  store: ExportStore,
  folder: string,
  file: string,
  text: string,
): Promise<ExportedFile> {
  const bytes = encoder.encode(text);
  const writer = store.open(folder, file);
  await writer.append(bytes);
  await writer.close();
  const digest = makeDigest();
  digest.add(bytes);
  const written = { file, ...digest.end() };
  for await (const _ of readBack(store, folder, written));
  return written;
}

/** The rows of a file as they come back. @throws CmkError ExportBroken where they aren't what was written */
export async function* readRowsBack(
  store: ExportStore,
  folder: string,
  written: ExportedFile,
): AsyncIterable<TableRow> {
  for await (const line of readBack(store, folder, written)) yield parseExportLine(line);
}

async function* readBack(store: ExportStore, folder: string, written: ExportedFile): AsyncIterable<string> {
  const digest = makeDigest();
  yield* linesOf(store.read(folder, written.file), digest);
  const read = digest.end();
  if (read.sha256 !== written.sha256)
    throw exportBroken(`${folder}/${written.file} is not what was written to it`, { written, read });
}
