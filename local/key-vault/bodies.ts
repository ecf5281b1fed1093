// Request bodies, parsed where they come in.
import { z } from 'zod';
import { parseDurationSeconds } from './duration.ts';
import { ALGORITHMS, type Algorithm, RSA_BITS } from './key-material.ts';
import { KEY_OPS, KEY_TYPES, type LifetimeAction } from './key-record.ts';
import { badParameter } from './vault-error.ts';

const DAY = 86_400;

// The service reads null as "not given": attributes can't be cleared through it.
const given = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const attributes = z.object({
  enabled: given(z.boolean()),
  nbf: given(z.int().nonnegative()),
  exp: given(z.int().nonnegative()),
});
const keyOps = z.array(z.enum(KEY_OPS));
const tags = z.record(z.string(), z.string());
const common = { attributes: given(attributes), tags: given(tags), key_ops: given(keyOps) };

export const createBody = z.object({
  ...common,
  kty: z.enum(KEY_TYPES),
  key_size: z
    .literal(RSA_BITS)
    .nullish()
    .transform((bits) => bits ?? 2048),
});

const jwkNumber = z.string().regex(/^[A-Za-z0-9_-]+$/, 'expected base64url');

export const importBody = z.object({
  ...common,
  Hsm: given(z.boolean()),
  key: z.object({
    kty: z.enum(KEY_TYPES),
    key_ops: given(keyOps),
    n: jwkNumber,
    e: jwkNumber,
    d: jwkNumber,
    p: jwkNumber,
    q: jwkNumber,
    dp: jwkNumber,
    dq: jwkNumber,
    qi: jwkNumber,
  }),
});

export const updateBody = z.object(common);

export const restoreBody = z.object({ value: jwkNumber });

const atLeast = (days: number) =>
  z
    .string()
    .refine(
      (text) => (parseDurationSeconds(text) ?? 0) >= days * DAY,
      `expected a duration of at least P${days}D`,
    );

const lifetimeAction = z.object({
  trigger: z.union([
    z.object({ timeAfterCreate: atLeast(7), timeBeforeExpiry: z.null().optional() }),
    z.object({ timeBeforeExpiry: atLeast(7), timeAfterCreate: z.null().optional() }),
  ]),
  action: z.object({ type: z.string() }),
});

export const policyBody = z.object({
  lifetimeActions: z
    .array(lifetimeAction)
    .nullish()
    .transform((actions) => (actions ?? []).map(toLifetimeAction)),
  attributes: given(z.object({ expiryTime: given(atLeast(28)) })),
});

function toLifetimeAction({ trigger, action }: z.infer<typeof lifetimeAction>): LifetimeAction {
  const type = action.type.toLowerCase() === 'rotate' ? 'Rotate' : 'Notify';
  if (type === 'Notify' && action.type.toLowerCase() !== 'notify') {
    throw badParameter(`Invalid action type ${action.type}: Rotate or Notify.`);
  }
  const { timeAfterCreate, timeBeforeExpiry } = trigger;
  if (typeof timeAfterCreate === 'string') return { trigger: { timeAfterCreate }, action: { type } };
  return { trigger: { timeBeforeExpiry: timeBeforeExpiry ?? '' }, action: { type } };
}

/** Throws 400 BadParameter that names the first fault. */
export function parseBody<T extends z.ZodType>(schema: T, body: Buffer): z.infer<T> {
  const result = schema.safeParse(parseJson(body));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw badParameter(`Property ${issue?.path.join('.') || '(body)'}: ${issue?.message ?? 'invalid'}`);
}

export interface CryptoBody {
  readonly algorithm: Algorithm;
  readonly value: Buffer;
}

/** By hand, since every wrap and unwrap passes here. */
export function parseCryptoBody(body: Buffer): CryptoBody {
  const parsed = parseJson(body);
  if (typeof parsed !== 'object' || parsed === null)
    throw badParameter('The request body must be an object.');
  const alg = 'alg' in parsed ? parsed.alg : undefined;
  const value = 'value' in parsed ? parsed.value : undefined;
  const algorithm = ALGORITHMS.find((name) => name === alg);
  if (algorithm === undefined) {
    throw badParameter(`Property alg has invalid value: ${String(alg)} is not supported for RSA keys.`);
  }
  if (typeof value !== 'string' || value === '') throw badParameter('Property value is required.');
  return { algorithm, value: Buffer.from(value, 'base64url') };
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw badParameter('The request body is empty.');
  try {
    return JSON.parse(body.toString());
  } catch {
    throw badParameter('The request body is not JSON.');
  }
}
