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

export const ClearedBreaker = z
  .object({
    /** Whether verdicts were held until now. */
    wasHolding: z.boolean(),
    /** Hosts of the vaults that turned suspect last. */
    vaults: z.array(z.string()),
    /** How many keys with a suspect version are looked at now. */
    keys: z.int().nonnegative(),
  })
  .meta({ id: 'ClearedBreaker' });

export const Health = z
  .object({
    status: z.enum(['ok', 'degraded', 'failing']),
    version: z.string(),
    now: Instant,
    checks: z.array(HealthCheck),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof Health>;
