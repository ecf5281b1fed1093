// Health: what the app depends on, and whether it is there.
import * as z from 'zod';
import { Instant } from './common.ts';

export const HealthCheck = z.object({
  name: z.string(),
  status: z.enum(['ok', 'degraded', 'failing']),
  /** What was found, without a secret and without a name of a customer's. */
  detail: z.string(),
  remedy: z.string().nullable(),
});

export const Health = z
  .object({
    status: z.enum(['ok', 'degraded', 'failing']),
    version: z.string(),
    now: Instant,
    checks: z.array(HealthCheck),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof Health>;
