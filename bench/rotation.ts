// A rotation of the fleet against its baselines: the textbook function, the same 32 at a time, and the vault alone.
// The limiter is set out of the way: limits are what limits.ts measures.
import type { RsaBits } from '../local/key-vault/key-material.ts';
import { type Mode, prepareBaselines } from './baselines.ts';
import { startBenchStack } from './bench-stack.ts';
import { type Check, definePart } from './part.ts';
import { type Rotation, type Run, rotateFleet } from './rotate.ts';

interface Case {
  readonly servers: number;
  readonly bits: RsaBits;
}

export interface RotationResult extends Case {
  readonly app: Rotation;
  readonly sequential: Run;
  readonly parallel: Run;
  /** At the smaller size only. */
  readonly shared: Run | null;
  readonly vaultAlone: Run;
}

const SIZES = [1_000, 10_000];
const SHARED_UP_TO = 1_000;
const BITS: readonly RsaBits[] = [2048, 3072, 4096];
const FULL: readonly Case[] = SIZES.flatMap((servers) => BITS.map((bits) => ({ servers, bits })));
const SHORT: readonly Case[] = [{ servers: 1_000, bits: 2048 }];
/** So much of a baseline's speed is enough for the short bench, on whatever machine it runs. */
const SHORT_SPEED = 0.75;

async function measure({ servers, bits }: Case, short: boolean): Promise<RotationResult> {
  const bench = await startBenchStack({
    servers,
    bits,
    settings: { PGCMK_VAULT_LIMIT_PER_10S: '100000' },
  });
  try {
    const old = currentVersion();
    const app = await rotateFleet(bench, servers);
    const baselines = await prepareBaselines(bench, { old, new: currentVersion() }, short ? 2 : 8);
    const run = (mode: Mode) => baselines.run(mode);
    const vaultAlone = await run('bare');
    const parallel = await run('parallel');
    const shared = servers <= SHARED_UP_TO ? await run('shared') : null;
    return { servers, bits, app, sequential: await run('sequential'), parallel, shared, vaultAlone };
  } finally {
    await bench.stop();
  }

  function currentVersion(): string {
    return bench.vault.keys()[0]?.versions.at(-1)?.version ?? '';
  }
}

const each = (run: Run) =>
  `${run.serversPerSecond.toFixed(0)}/s with ${run.vaultCallsPerServer.toFixed(2)} calls`;

function checks(results: readonly RotationResult[], short: boolean): readonly Check[] {
  const speed = short ? SHORT_SPEED : 1;
  return results.flatMap(({ servers, bits, app, sequential, parallel }): readonly Check[] => {
    const size = `${servers} servers, RSA-${bits}`;
    const baselines = [
      { name: 'the textbook', run: sequential },
      { name: 'the textbook 32 at a time', run: parallel },
    ];
    return [
      {
        name: `${size}: DEKs the same, one version, one row of history`,
        target: 'no fault',
        measured: app.faults.length === 0 ? 'no fault' : app.faults.slice(0, 3).join('; '),
        met: app.faults.length === 0,
      },
      {
        name: `${size}: DEK operations a server`,
        target: '≤ 1.02',
        measured: app.dekOperationsPerServer.toFixed(3),
        met: app.dekOperationsPerServer <= 1.02,
      },
      ...baselines.map(
        ({ name, run }): Check => ({
          name: `${size}: beats ${name}`,
          target: short
            ? `fewer vault calls a server, at least ${SHORT_SPEED} of the speed`
            : 'more servers a second, fewer vault calls each',
          measured: `${each(app)}, against ${each(run)}`,
          met:
            app.serversPerSecond > run.serversPerSecond * speed &&
            app.vaultCallsPerServer < run.vaultCallsPerServer,
        }),
      ),
    ];
  });
}

export const rotation = definePart<Case, RotationResult>({
  name: 'rotation',
  cases: (short) => (short ? SHORT : FULL),
  measure,
  show: ({ servers, bits, app, sequential, parallel, shared, vaultAlone }) =>
    `${servers} servers, RSA-${bits}: app ${each(app)}, ${app.peakMiB.toFixed(0)} MiB, ${app.cpuSeconds.toFixed(1)} s CPU (vault ${app.vaultCpuSeconds.toFixed(1)}, storage ${app.storageCpuSeconds.toFixed(1)}) in ${app.seconds.toFixed(1)} s; textbook ${each(sequential)}; 32 at a time ${each(parallel)}, ${parallel.peakMiB.toFixed(0)} MiB${shared === null ? '' : `; with shared clients ${each(shared)}`}; vault alone ${vaultAlone.serversPerSecond.toFixed(0)}/s`,
  checks,
});
