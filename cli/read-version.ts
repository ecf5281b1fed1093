// The version of the package that this file came with, built or not.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';

const Package = z.object({ name: z.string(), version: z.string() });

/** Looks upwards from `folder` for the package.json of pg-cmk. */
export async function readVersion(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => null);
  if (text !== null) {
    const found = Package.parse(JSON.parse(text));
    if (found.name === 'pg-cmk') return found.version;
  }
  const parent = dirname(folder);
  return parent === folder ? '0.0.0' : readVersion(parent);
}
