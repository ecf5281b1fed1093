// What can be set on an emulated vault while it runs, and what each setting accepts.
import { z } from 'zod';
import { OPERATIONS } from './operations.ts';

export const switchesSchema = z.strictObject({
  /** Access of the caller; a list names the operations that are refused. */
  rbac: z.union([z.enum(['allowed', 'denied']), z.array(z.enum(OPERATIONS))]),
  rbacCode: z.enum(['ForbiddenByRbac', 'ForbiddenByPolicy', 'AccessDenied']),
  firewall: z.enum(['open', 'closed']),
  firewallCode: z.enum(['ForbiddenByFirewall', 'ForbiddenByConnection']),
  /** Operations per 10 seconds, or the published limits. */
  throttle: z.union([z.enum(['off', 'published']), z.int().positive()]),
  /** Whether a 429 has a Retry-After; the recorded real ones have none. */
  retryAfter: z.boolean(),
  latencyMs: z.number().min(0),
  /** Added to it at random, from 0 to this. */
  latencyJitterMs: z.number().min(0),
  outage: z.enum(['none', 'error500', 'error503', 'timeout', 'reset', 'garbage', 'wrongKey', 'refuse']),
  /** The next four are what nobody could confirm about the service (azure-facts 7). */
  disabledWraps: z.boolean(),
  disabledReads: z.boolean(),
  disabledExpiredUnwraps: z.boolean(),
  notYetValidCode: z.string().min(1),
  /** How long deleting, recovering and purging take. */
  settlingSeconds: z.number().min(0),
});

export type Switches = Readonly<z.infer<typeof switchesSchema>>;
export type SwitchesChange = { readonly [Name in keyof Switches]?: Switches[Name] | undefined };

export const DEFAULT_SWITCHES: Switches = {
  rbac: 'allowed',
  rbacCode: 'ForbiddenByRbac',
  firewall: 'open',
  firewallCode: 'ForbiddenByFirewall',
  throttle: 'off',
  retryAfter: false,
  latencyMs: 0,
  latencyJitterMs: 0,
  outage: 'none',
  disabledWraps: true,
  disabledReads: true,
  disabledExpiredUnwraps: false,
  notYetValidCode: 'KeyNotYetValid',
  settlingSeconds: 0,
};

/** Throws on a setting that doesn't exist or a value that isn't accepted. */
export function changeSwitches(switches: Switches, change: SwitchesChange): Switches {
  return switchesSchema.parse({ ...switches, ...change });
}
