// An export must not hold the fleet: 150,000 servers are some 200 MB of rows, and the process has a heap of 64.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../fixtures/export-large-fleet.ts', import.meta.url));

test('tables are exported and read back in memory that does not grow with the fleet', async () => {
  const count = 150_000;
  const args = ['--max-old-space-size=64', script, String(count)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(JSON.parse(stdout)).toEqual([count, count]);
}, 120_000);
