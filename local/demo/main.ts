// npm run demo: the whole story on this machine, as a timeline; exits with 1 where a step did not hold.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { playStory } from './play.ts';
import { bold, dim, formatStep, formatSummary } from './report.ts';
import { startWorld } from './start-world.ts';

const USAGE = 'npm run demo -- [--servers N] [--json FILE] [--bundle] [--verbose]';
const LEAST_SERVERS = 3;
const MOST_SERVERS = 5000;

function readArguments(): {
  readonly servers: number;
  readonly json: string | undefined;
  readonly verbose: boolean;
  readonly bundle: boolean;
} {
  const { values } = parseArgs({
    options: {
      servers: { type: 'string', default: '50' },
      json: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      bundle: { type: 'boolean', default: false },
    },
  });
  const servers = Number(values.servers);
  if (Number.isInteger(servers) && servers >= LEAST_SERVERS && servers <= MOST_SERVERS) {
    return { servers, json: values.json, verbose: values.verbose, bundle: values.bundle };
  }
  throw new RangeError(
    `--servers takes a whole number from ${LEAST_SERVERS} to ${MOST_SERVERS}, not ${values.servers}`,
  );
}

async function main(): Promise<void> {
  const { servers, json, verbose, bundle } = readArguments();
  const since = Date.now();
  console.log(
    bold(`pg-cmk demo: ${servers} servers under each of two keys, three of them real PostgreSQL servers`),
  );
  const world = await startWorld({
    servers,
    bundle,
    times: { probeSeconds: 2, sweepSeconds: 10, confirmSuspectSeconds: 6 },
    onProgress: (what) =>
      console.log(dim(`${((Date.now() - since) / 1000).toFixed(1).padStart(6)} s  ${what}`)),
    onHostLog: (line) => {
      if (verbose) console.error(dim(line));
    },
  });
  try {
    const report = await playStory(world, (step, index) =>
      console.log(formatStep(step, index, Date.now() - since)),
    );
    if (json !== undefined) {
      await mkdir(dirname(json), { recursive: true });
      await writeFile(json, `${JSON.stringify(report, null, 2)}\n`);
    }
    console.log(formatSummary(report, Date.now() - since));
    process.exitCode = report.held ? 0 : 1;
  } finally {
    await world.stop();
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof RangeError || error instanceof TypeError) console.error(USAGE);
  process.exitCode = 2;
}
