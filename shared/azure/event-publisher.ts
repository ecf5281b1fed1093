// The Publisher port on an Event Grid custom topic, in CloudEvents 1.0.
import type { EventGridPublisherClient } from '@azure/eventgrid';
import type { TokenCredential } from '@azure/identity';
import { CmkError, describeError } from '../domain/errors.ts';
import type { OwnEvent } from '../domain/own-event.ts';
import type { Publisher } from '../ports/publisher.ts';

export interface EventPublisherOptions {
  /** The topic's endpoint, `https://{topic}.{region}-1.eventgrid.azure.net/api/events`. Its schema is CloudEvents. */
  readonly endpoint: string;
  readonly auth:
    | { readonly kind: 'identity'; readonly credential: TokenCredential }
    | { readonly kind: 'key'; readonly key: string };
  /** `source` of every event: the app's own name or resource id. */
  readonly source: string;
  /** Certificate authorities to trust instead of the usual ones, for an emulator. */
  readonly caPem?: string;
  /** For one batch, retries included. Default 15,000. */
  readonly timeoutMs?: number;
}

/** A request may hold 1 MB; own events are small. */
const BATCH = 100;

export function makeEventPublisher(options: EventPublisherOptions): Publisher {
  const { auth, endpoint, source } = options;
  // The SDK with its hundreds of event types is loaded with the first event: it is a tenth of the whole app.
  const open = async (): Promise<EventGridPublisherClient<'CloudEvent'>> => {
    const { AzureKeyCredential, EventGridPublisherClient } = await import('@azure/eventgrid');
    const credential = auth.kind === 'identity' ? auth.credential : new AzureKeyCredential(auth.key);
    return new EventGridPublisherClient(endpoint, 'CloudEvent', credential, {
      retryOptions: { maxRetries: 2, retryDelayInMs: 200 },
      ...(options.caPem === undefined ? {} : { tlsOptions: { ca: options.caPem } }),
    });
  };
  let opened: Promise<EventGridPublisherClient<'CloudEvent'>> | undefined;
  const toCloudEvent = ({ id, type, subject, time, data }: OwnEvent) => ({
    id,
    type,
    source,
    subject,
    time,
    data: { ...data },
    datacontenttype: 'application/json',
  });
  return {
    async publish(events) {
      for (let start = 0; start < events.length; start += BATCH) {
        const batch = events.slice(start, start + BATCH).map(toCloudEvent);
        try {
          opened ??= open();
          const client = await opened;
          await client.send(batch, { abortSignal: AbortSignal.timeout(options.timeoutMs ?? 15_000) });
        } catch (cause) {
          throw new CmkError('PublishFailed', `${endpoint} took no event: ${describeError(cause)}`, {
            remedy:
              'The events stay in the outbox. Check the topic, and the role EventGrid Data Sender on it.',
            retryable: true,
            cause,
          });
        }
      }
    },
  };
}
