// A count over a fleet must not hold the fleet: 150,000 rows are some 250 MB, and the process has a heap of 64.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../fixtures/count-large-fleet.ts', import.meta.url));

test('progress, census, plan and impact are counted in memory that does not grow with the fleet', async () => {
  const count = 150_000;
  const args = ['--max-old-space-size=64', script, String(count)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(JSON.parse(stdout)).toEqual([count, count, count, count]);
});
