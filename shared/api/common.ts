// What the bodies and answers of the HTTP API have in common. The schemas here are the only definition of each: the
// handlers parse with them, the OpenAPI document and the command line's types are made from them.
import * as z from 'zod';

export const Instant = z.iso
  .datetime()
  .meta({ id: 'Instant', description: 'A time, RFC 3339, in UTC.', example: '2026-11-24T12:00:00.000Z' });

export const ServerId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, '1 to 63 lower-case letters, digits and dashes')
  .meta({ id: 'ServerId', description: 'Chosen by whoever registers the server.', example: 'orders-1' });

export const KeyUrl = z.string().min(1).max(500).meta({
  id: 'KeyUrl',
  description: 'A Key Vault key identifier: https://{vault}/keys/{name}, or …/{version}.',
  example: 'https://contoso.vault.azure.net/keys/payments',
});

export const KeyVersion = z
  .string()
  .regex(/^[0-9a-f]{32}$/, '32 hexadecimal digits')
  .meta({ id: 'KeyVersion', description: 'A version of a key, never "latest".' });

const FieldFault = z.object({
  pointer: z
    .string()
    .meta({ description: 'JSON Pointer (RFC 6901) into the body, or `?name` of the query.' }),
  message: z.string(),
});

/** RFC 9457. `code` is stable, and has a section in the runbook. */
export const Problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    remedy: z.string(),
    faults: z.array(FieldFault).optional(),
  })
  .meta({ id: 'Problem', description: 'An error: RFC 9457, with a stable `code` and a `remedy`.' });
export type Problem = z.infer<typeof Problem>;

/** Opaque: it can only be given back, for the same listing. */
export const Cursor = z.string().min(1).max(2000).meta({ id: 'Cursor' });

export const Hold = z
  .object({
    by: z.string(),
    reason: z.string(),
    since: Instant,
    until: Instant.nullable().meta({
      description: 'When it ends by itself; null: only an operator lifts it.',
    }),
  })
  .meta({ id: 'Hold', description: "An operator's hold: access is revoked whatever the key says." });

/**
 * Text without control characters and halves of characters: it goes into log lines, into terminals, and into messages
 * to servers that end each part with a NUL.
 */
export const plainText = (longest: number) =>
  z
    .string()
    .max(longest)
    .regex(/^[^\p{Cc}\p{Cs}\u2028\u2029]*$/u, 'no control characters');

export const HoldBody = z.strictObject({ reason: plainText(500).trim().min(1) }).meta({ id: 'HoldBody' });

export const LimitQuery = z.coerce.number().int().min(1).max(1000).default(100);
