// The templates as Azure would see them: the compiler evaluates them with the parameters of an azd environment, modules
// and loops unrolled. What only Azure knows stays an expression, `[reference('ID', …).name]`.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { findBicep } from '../../scripts/find-bicep.ts';

const infra = fileURLToPath(new URL('../../infra', import.meta.url));

const resourceSchema = z.object({
  id: z.string(),
  type: z.string(),
  name: z.string(),
  identity: z.object({ userAssignedIdentities: z.record(z.string(), z.unknown()).optional() }).optional(),
  properties: z.record(z.string(), z.unknown()).default({}),
});

export type Resource = Readonly<z.infer<typeof resourceSchema>>;

const snapshotSchema = z.object({
  predictedResources: z.array(resourceSchema),
  diagnostics: z.array(z.unknown()),
  outputs: z.record(z.string(), z.unknown()).default({}),
});

export interface Evaluated {
  readonly resources: readonly Resource[];
  readonly outputs: Readonly<Record<string, string>>;
  /** Whatever the compiler could not evaluate, or had to say. */
  readonly complaints: readonly string[];
}

/** The subscription that is deployed to. */
export const SUBSCRIPTION = '33333333-3333-4333-8333-333333333333';

export const bicep = findBicep();

/** A change of a template's text, to show that a check sees it. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * @param template `main` or `subscriptions`: the file of parameters of that name
 * @param environment the azd environment
 */
export function evaluate(
  template: string,
  environment: Readonly<Record<string, string>>,
  edits: readonly Edit[] = [],
): Evaluated {
  const folder = mkdtempSync(join(tmpdir(), 'pg-cmk-infra-'));
  try {
    // The compiler writes its answer beside the parameters.
    cpSync(infra, folder, { recursive: true });
    for (const { file, from, to } of edits) {
      const text = readFileSync(join(folder, file), 'utf8');
      if (!text.includes(from)) throw new Error(`${file} has no ${JSON.stringify(from)}`);
      writeFileSync(join(folder, file), text.replace(from, to));
    }
    const args = ['snapshot', join(folder, `${template}.bicepparam`), '--mode', 'overwrite'];
    const place = [
      '--subscription-id',
      SUBSCRIPTION,
      '--tenant-id',
      SUBSCRIPTION,
      '--location',
      'westeurope',
    ];
    const run = spawnSync(bicep ?? 'bicep', [...args, ...place, '--deployment-name', 'test'], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    });
    if (run.status !== 0) throw new Error(`bicep snapshot: ${run.stderr}${run.stdout}`);
    const parsed = snapshotSchema.parse(
      JSON.parse(readFileSync(join(folder, `${template}.snapshot.json`), 'utf8')),
    );
    return {
      resources: parsed.predictedResources,
      outputs: Object.fromEntries(
        Object.entries(parsed.outputs).map(([name, value]) => [name, String(value)]),
      ),
      complaints: parsed.diagnostics.map(String),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
