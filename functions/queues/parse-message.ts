// Queue messages: what shared/domain/message.ts describes, checked when it is taken out again.
import * as z from 'zod';
import { CmkError, describeError } from '../../shared/domain/errors.ts';
import { type KekId, parseKekId } from '../../shared/domain/key-id.ts';
import type { ProbeMessage, RangeMessage, ReconcileMessage } from '../../shared/domain/message.ts';
import { parseServerId } from '../../shared/domain/server.ts';

/** `parse` as a part of a schema. */
const checked =
  <In, Out>(parse: (value: In) => Out) =>
  (value: In, context: z.core.$RefinementCtx): Out => {
    try {
      return parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: describeError(error) });
      return z.NEVER;
    }
  };

const kekSchema = z
  .object({ vault: z.string(), name: z.string() })
  .transform(checked(({ vault, name }): KekId => parseKekId(vault, name)));
const serverIdSchema = z.string().transform(checked(parseServerId));
const text = z.string().min(1).max(1_024);

const causeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('event'), id: text, type: text }),
  z.object({ kind: z.literal('auditLog'), id: text, operation: text, by: text.nullable() }),
  z.object({ kind: z.literal('probe') }),
  z.object({ kind: z.literal('sweep') }),
  z.object({ kind: z.literal('operator'), by: text }),
  z.object({ kind: z.literal('followUp'), of: text }),
]);

/** Only measured by, and not there in messages of 0.1.0: a message is never refused for it. */
const hintedAtSchema = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .optional()
  .catch(undefined);

const reconcileSchema = z.object({ kek: kekSchema, cause: causeSchema, hintedAt: hintedAtSchema });

const rangeSchema = z
  .object({
    kek: kekSchema,
    epoch: z.int().min(0),
    from: serverIdSchema,
    to: serverIdSchema,
    attempt: z.int().min(0).nullable(),
    cause: causeSchema,
  })
  .refine(({ from, to }) => from <= to, { path: ['to'], error: 'comes before from' })
  .refine(({ from, to, attempt }) => attempt === null || from === to, {
    path: ['attempt'],
    error: 'counts the tries of one server, and this is a range',
  });

const probeSchema = z.object({ keks: z.array(kekSchema).min(1) });

const makeParser =
  <T>(name: string, schema: z.ZodType<T>) =>
  (input: unknown): T => {
    const parsed = schema.safeParse(input);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const path = issue?.path.join('.') || 'message';
    throw new CmkError('InvalidMessage', `not a ${name}: ${path}: ${issue?.message}`, {
      remedy:
        'Nothing is lost: the sweep does the work. Find who else writes to this queue, or which version of the app did.',
      detail: { path },
    });
  };

/** Each throws CmkError InvalidMessage, whose `detail.path` says where. */
export const parseReconcileMessage: (input: unknown) => ReconcileMessage = makeParser(
  'ReconcileMessage',
  reconcileSchema,
);
export const parseRangeMessage: (input: unknown) => RangeMessage = makeParser('RangeMessage', rangeSchema);
export const parseProbeMessage: (input: unknown) => ProbeMessage = makeParser('ProbeMessage', probeSchema);
