import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeFile, writeOwnFile } from '../../../cli/dek/key-file.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'key-file-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('writeOwnFile', () => {
  test('is readable by its owner alone, and leaves nothing else behind', async () => {
    const file = join(directory, 'key');
    await writeOwnFile(file, new Uint8Array([1, 2, 3]));
    expect([...(await readFile(file))]).toEqual([1, 2, 3]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['key']);
    await removeFile(file);
    await removeFile(file);
    expect(await readdir(directory)).toEqual([]);
  });

  test('replaces a file whole, its rights too, and never writes through a link', async () => {
    const [file, victim] = [join(directory, 'open'), join(directory, 'victim')];
    await writeFile(victim, 'mine', { mode: 0o666 });
    await symlink(victim, file);
    await writeOwnFile(file, new Uint8Array([7]));
    expect(await readFile(victim, 'utf8')).toBe('mine');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect([...(await readFile(file))]).toEqual([7]);
  });

  test('says so where it can not be written, and leaves no part of it', async () => {
    await expect(writeOwnFile(join(directory, 'no', 'key'), new Uint8Array(1))).rejects.toMatchObject({
      code: 'FileUnusable',
      exitCode: 2,
    });
    const before = await readdir(directory);
    await expect(writeOwnFile(directory, new Uint8Array(1))).rejects.toMatchObject({ code: 'FileUnusable' });
    expect(await readdir(directory)).toEqual(before);
    expect((await readdir(tmpdir())).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  test('a file that can not be removed is said', async () => {
    await expect(removeFile(directory)).rejects.toMatchObject({ code: 'FileUnusable' });
  });
});
