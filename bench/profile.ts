// Where the app's CPU goes during a rotation: a profile of the host, its self times added up by whose code it is.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { startBenchStack } from './bench-stack.ts';
import { definePart } from './part.ts';
import { rotateFleet } from './rotate.ts';

export interface ProfileResult {
  readonly servers: number;
  readonly busySeconds: number;
  /** Shares of the busy time, largest first. */
  readonly groups: readonly { readonly name: string; readonly share: number }[];
  readonly functions: readonly { readonly name: string; readonly share: number }[];
}

const profileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});

const OURS = /\/(functions|shared)\//;
const GROUPS: readonly (readonly [name: string, of: RegExp])[] = [
  ['pg-cmk', OURS],
  ['the local host', /\/local\//],
  ['Azure SDK', /node_modules\/(@azure|@typespec|@azure-rest)\//],
  ['fast-xml-parser (queues)', /node_modules\/(fast-xml|strnum|path-expr|xml)/],
  ['zod', /node_modules\/zod\//],
  ['other packages', /node_modules\//],
  ["Node's crypto", /^node:internal\/crypto/],
  ["Node's HTTP, TLS, streams and the rest", /^node:/],
];

function groupOf({ functionName, url }: { readonly functionName: string; readonly url: string }): string {
  if (functionName === '(garbage collector)') return 'garbage collection';
  return GROUPS.find(([, of]) => of.test(url))?.[0] ?? 'native code (sockets, TLS, JSON, the parser of HTTP)';
}

const nameOf = ({
  functionName,
  url,
  lineNumber,
}: z.infer<typeof profileSchema>['nodes'][0]['callFrame']) => {
  const file = url.replace(/^.*\/node_modules\//, '').replace(/^.*\/(?=(functions|shared|local)\/)/, '');
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name}, ${file}:${lineNumber + 1}`;
};

const SHOWN = 20;

export function addUp(text: string): Omit<ProfileResult, 'servers'> {
  const { nodes, samples, timeDeltas } = profileSchema.parse(JSON.parse(text));
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const groups = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  for (const [index, id] of samples.entries()) {
    const frame = frames.get(id);
    if (frame === undefined || frame.functionName === '(idle)') continue;
    const time = timeDeltas[index] ?? 0;
    busy += time;
    groups.set(groupOf(frame), (groups.get(groupOf(frame)) ?? 0) + time);
    functions.set(nameOf(frame), (functions.get(nameOf(frame)) ?? 0) + time);
  }
  const toShares = (times: ReadonlyMap<string, number>) =>
    [...times]
      .map(([name, time]) => ({ name, share: time / busy }))
      .toSorted((a, b) => b.share - a.share)
      .slice(0, SHOWN);
  return { busySeconds: busy / 1e6, groups: toShares(groups), functions: toShares(functions) };
}

async function measure(servers: number): Promise<ProfileResult> {
  const directory = mkdtempSync(join(tmpdir(), 'pg-cmk-profile-'));
  try {
    const bench = await startBenchStack({
      servers,
      settings: {
        PGCMK_VAULT_LIMIT_PER_10S: '100000',
        NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directory}`,
      },
    });
    // It is written when the host ends.
    await rotateFleet(bench, servers).finally(() => bench.stop());
    const files = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
    const largest = files.toSorted((a, b) => b.length - a.length)[0];
    if (largest === undefined) throw new Error('the host left no profile');
    return { servers, ...addUp(largest) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

export const profile = definePart<number, ProfileResult>({
  name: 'profile',
  cases: (short) => [short ? 200 : 5_000],
  measure,
  show: ({ servers, busySeconds, groups }) =>
    `${servers} servers, ${busySeconds.toFixed(1)} s busy: ${groups.map(({ name, share }) => `${name} ${percent(share)}`).join(', ')}`,
  checks: () => [],
});
