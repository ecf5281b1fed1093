// Files that a command reads and writes.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { cliError } from './cli-error.ts';

/** Most that is read at once: an audit is read line by line instead. */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw cliError('FileUnusable', `${file} can't be read`, 'Check the name and the rights.', error);
  }
}

/** @throws CliError FileUnusable where it is no JSON */
export async function readJson(file: string): Promise<unknown> {
  const text = await readText(file);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw cliError('FileUnusable', `${file} holds no JSON`, 'Check that it is the right file.', error);
  }
}

/** Whole, or as it was before. */
export async function writeText(file: string, text: string): Promise<void> {
  const part = `${file}.part`;
  try {
    await writeFile(part, text);
    await rename(part, file);
  } catch (error) {
    throw cliError('FileUnusable', `${file} can't be written`, 'Check the folder and the rights.', error);
  }
}
