// The import rules of the layout are enforced by Biome; a violation planted in each folder shows that they bite.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');

const FORBIDDEN = [
  ['shared/domain/planted.ts', '../ports/runtime.ts'],
  ['shared/domain/planted.ts', 'zod'],
  ['shared/domain/planted.ts', 'node:fs'],
  ['shared/ports/planted.ts', '../operations/snapshot.ts'],
  ['shared/ports/planted.ts', '@azure/data-tables'],
  ['shared/operations/planted.ts', '../azure/runtime.ts'],
  ['shared/operations/planted.ts', '../postgres/connect.ts'],
  ['shared/operations/planted.ts', 'pg'],
  ['shared/operations/planted.ts', '@opentelemetry/api'],
  ['shared/azure/planted.ts', '../operations/snapshot.ts'],
  ['shared/azure/planted.ts', 'pg'],
  ['shared/postgres/planted.ts', '../azure/runtime.ts'],
  ['shared/postgres/planted.ts', '@azure/identity'],
  ['functions/events/planted.ts', '../../shared/azure/runtime.ts'],
  ['functions/queues/planted.ts', '@azure/storage-queue'],
  ['functions/queues/planted.ts', '@opentelemetry/api'],
  ['functions/http/planted.ts', '../../shared/jose/seal-dek.ts'],
  ['shared/api/planted.ts', '../operations/snapshot.ts'],
  ['shared/api/planted.ts', 'jose'],
  ['shared/jose/planted.ts', '../azure/runtime.ts'],
  ['cli/planted.ts', '../shared/operations/snapshot.ts'],
  ['cli/planted.ts', '@azure/data-tables'],
  ['local/planted.ts', '../test/fakes/runtime.ts'],
] as const;

const ALLOWED = [
  ['shared/domain/planted.ts', 'node:crypto'],
  ['shared/domain/planted.ts', './errors.ts'],
  ['shared/ports/planted.ts', '../domain/errors.ts'],
  ['shared/operations/planted.ts', '../ports/runtime.ts'],
  ['shared/azure/planted.ts', '@azure/data-tables'],
  ['shared/postgres/planted.ts', 'pg'],
  ['functions/events/planted.ts', '@azure/functions'],
  ['shared/api/planted.ts', 'zod'],
  ['shared/jose/planted.ts', 'jose'],
  ['cli/planted.ts', '../shared/api/servers.ts'],
  ['cli/planted.ts', '@azure/identity'],
] as const;

const fileOf = (folder: string, specifier: string) =>
  `${dirname(folder)}/planted-${specifier.replaceAll(/[^a-z]+/g, '-')}.ts`;

describe('import rules', () => {
  let directory: string;
  let output: string;

  // The rules of this repository, over a tree that holds nothing but the planted files.
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'import-rules-'));
    const rules: unknown = JSON.parse(await readFile('biome.json', 'utf8'));
    if (typeof rules !== 'object' || rules === null) throw new TypeError('biome.json holds no object');
    await writeFile(join(directory, 'biome.json'), JSON.stringify({ ...rules, vcs: { enabled: false } }));
    for (const [path, specifier] of [...FORBIDDEN, ...ALLOWED]) {
      const file = join(directory, fileOf(path, specifier));
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `import { thing } from '${specifier}';\n\nconsole.log(thing);\n`);
    }
    output = await new Promise((resolve) => {
      const options = { cwd: directory };
      const flags = [
        biome,
        'lint',
        '--colors=off',
        '--max-diagnostics=none',
        '--only=style/noRestrictedImports',
      ];
      execFile(process.execPath, flags, options, (_, stdout, stderr) => resolve(stdout + stderr));
    });
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const isReported = (path: string, specifier: string) =>
    output
      .split('\n')
      .some((line) => line.includes(fileOf(path, specifier)) && line.includes('noRestrictedImports'));

  test.each(FORBIDDEN)('%s may not import %s', (path, specifier) => {
    expect(isReported(path, specifier)).toBe(true);
  });

  test.each(ALLOWED)('%s may import %s', (path, specifier) => {
    expect(output).not.toBe('');
    expect(isReported(path, specifier)).toBe(false);
  });
});
