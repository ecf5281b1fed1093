// npm run restore -- --from DIR: restores the tables from an export that was downloaded, into the account that
// AzureWebJobsStorage names. docs/backup.md says when, and what comes before and after.
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseExportManifest } from '../shared/api/table-export.ts';
import { makeCredential } from '../shared/azure/credential.ts';
import { makeRawTableWriter } from '../shared/azure/tables/raw-tables.ts';
import type { StorageConnection } from '../shared/azure/tables/storage-connection.ts';
import { type Config, readConfig } from '../shared/config.ts';
import { isCmkError } from '../shared/domain/errors.ts';
import { MANIFEST_FILE } from '../shared/domain/export-manifest.ts';
import { makeRestoreTables } from '../shared/operations/restore-tables.ts';

const USAGE = `npm run restore -- --from DIR [--into-nonempty]

  --from DIR         the folder of one export, downloaded, with its manifest.json
  --into-nonempty    go on with a restore that was cut short: rows that are there stay as they are

Settings as the app's: AzureWebJobsStorage or AzureWebJobsStorage__accountName, PGCMK_CREDENTIAL.
Stop the app first.`;

function toConnection({ storage, credential }: Config): StorageConnection {
  if (storage.kind === 'connectionString')
    return { kind: 'connectionString', value: storage.connectionString };
  const { kind, clientId } = credential;
  return { ...storage, credential: makeCredential({ kind, ...(clientId === null ? {} : { clientId }) }) };
}

async function restore(): Promise<number> {
  const { values } = parseArgs({
    options: { from: { type: 'string' }, 'into-nonempty': { type: 'boolean', default: false } },
  });
  const { from } = values;
  if (from === undefined) {
    console.error(USAGE);
    return 2;
  }
  const manifest = parseExportManifest(await readFile(join(from, MANIFEST_FILE), 'utf8'));
  const tables = makeRawTableWriter(toConnection(readConfig(process.env)));
  await tables.ensureTables();
  const run = makeRestoreTables({ source: { read: (file) => createReadStream(join(from, file)) }, tables });
  const { inserted, present, leftOut } = await run({ manifest, intoNonEmpty: values['into-nonempty'] });
  console.log(`restored from the export of ${manifest.exportedAt}`);
  console.table({ inserted, 'there already': present });
  for (const { partitionKey, rowKey, reason } of leftOut)
    console.log(`left out, ${reason}: ${partitionKey} ${rowKey}`);
  return 0;
}

try {
  process.exitCode = await restore();
} catch (error) {
  if (!isCmkError(error)) throw error;
  console.error(`${error.message} [${error.code}]\n${error.remedy}`);
  process.exitCode = 1;
}
