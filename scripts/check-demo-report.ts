// Checks the demo's report the way someone would who doesn't believe its "held": every step there, every step held.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const STEPS = 14;

const schema = z.object({
  held: z.literal(true),
  steps: z
    .array(
      z.object({
        name: z.string().min(1),
        held: z.literal(true),
        expected: z.string().min(1),
        observed: z.string().min(1),
        ms: z.number().nonnegative(),
        vaultCalls: z.record(z.string(), z.number().int().nonnegative()),
      }),
    )
    .length(STEPS),
});

const file = process.argv[2] ?? 'reports/demo.json';
const parsed = schema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
if (!parsed.success) {
  console.error(`${file} does not hold:\n${z.prettifyError(parsed.error)}`);
  process.exit(1);
}
const { steps } = parsed.data;
console.log(`${file}: all ${steps.length} steps held`);
