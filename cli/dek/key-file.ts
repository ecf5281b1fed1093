// Files of one owner that are there whole or not at all.
import { open, rename, rm } from 'node:fs/promises';
import { cliError } from '../cli-error.ts';

/** Replaces the file in one step, readable by nobody else. @throws CliError FileUnusable */
export async function writeOwnFile(file: string, bytes: Uint8Array): Promise<void> {
  const part = `${file}.${process.pid}.part`;
  try {
    const handle = await open(part, 'wx', 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true }).catch(() => undefined);
    throw cliError(
      'FileUnusable',
      `${file} can't be written`,
      'Give a file in a directory that exists and is yours.',
      error,
    );
  }
}

/** One that is gone already is no error. @throws CliError FileUnusable */
export async function removeFile(file: string): Promise<void> {
  await rm(file, { force: true }).catch((error: unknown) => {
    throw cliError(
      'FileUnusable',
      `${file} can't be removed`,
      'Remove it yourself: it holds the key.',
      error,
    );
  });
}
