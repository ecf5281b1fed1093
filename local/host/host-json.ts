// host.json, as far as it steers this host. Defaults are those of the Functions host (azure-facts.md 4.3).
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { HostStartError, toError } from './errors.ts';
import { parseTimeSpan } from './time-span.ts';

export interface QueueSettings {
  readonly batchSize: number;
  /** A new batch is fetched once no more than this many messages are being processed. */
  readonly newBatchThreshold: number;
  readonly maxPollingIntervalMs: number;
  /** How long a message stays invisible after a failed attempt. */
  readonly visibilityTimeoutMs: number;
  readonly maxDequeueCount: number;
  readonly messageEncoding: 'base64' | 'none';
}

export interface HostSettings {
  readonly queues: QueueSettings;
  readonly routePrefix: string;
}

const timeSpan = z.string().transform((text, context) => {
  const ms = parseTimeSpan(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: `'${text}' is no TimeSpan (hh:mm:ss)` });
  return z.NEVER;
});

const schema = z.looseObject({
  version: z.literal('2.0'),
  extensions: z
    .looseObject({
      queues: z
        .looseObject({
          batchSize: z.int().min(1).max(32).default(16),
          newBatchThreshold: z.int().min(0).optional(),
          maxPollingInterval: timeSpan.pipe(z.number().min(100)).default(60_000),
          visibilityTimeout: timeSpan.default(0),
          maxDequeueCount: z.int().min(1).default(5),
          messageEncoding: z
            .string()
            .transform((text) => text.toLowerCase())
            .pipe(z.enum(['base64', 'none']))
            .default('base64'),
        })
        .prefault({}),
      http: z.looseObject({ routePrefix: z.string().default('api') }).prefault({}),
    })
    .prefault({}),
});

function parseHostJson(text: string): HostSettings {
  const { queues, http } = schema.parse(JSON.parse(text)).extensions;
  const batchThreshold = Math.floor(queues.batchSize / 2) * availableParallelism();
  return {
    routePrefix: http.routePrefix.replace(/^\/+|\/+$/g, ''),
    queues: {
      batchSize: queues.batchSize,
      newBatchThreshold: queues.newBatchThreshold ?? batchThreshold,
      maxPollingIntervalMs: queues.maxPollingInterval,
      visibilityTimeoutMs: queues.visibilityTimeout,
      maxDequeueCount: queues.maxDequeueCount,
      messageEncoding: queues.messageEncoding,
    },
  };
}

export async function readHostJson(path: string): Promise<HostSettings> {
  try {
    return parseHostJson(await readFile(path, 'utf8'));
  } catch (thrown) {
    const reason = thrown instanceof z.ZodError ? z.prettifyError(thrown) : toError(thrown).message;
    throw new HostStartError(`host.json at ${path}: ${reason}`, { cause: thrown });
  }
}
