// /runtime/webhooks/EventGrid: where Event Grid delivers. Follows the Event Grid extension (azure-facts.md 2.2, 2.3):
// one invocation an event, side by side; one failure fails the whole delivery, which Event Grid then sends again.
import { z } from 'zod';
import { toError } from './errors.ts';
import type { HostFunction } from './host-function.ts';
import type { HostRequest, HostResponse } from './http-messages.ts';
import { textResponse } from './http-messages.ts';
import type { Invoke, TriggerInput } from './invoke.ts';

const validation = z.object({ data: z.looseObject({ validationCode: z.string() }) });
const validationDelivery = z.union([z.array(validation).min(1), validation.transform((event) => [event])]);
const notification = z.union([z.array(z.looseObject({})), z.looseObject({}).transform((event) => [event])]);

/** `find` looks an Event Grid function up by name, without regard to case. */
export async function handleEventGrid(
  request: HostRequest,
  find: (name: string) => HostFunction | undefined,
  invoke: Invoke,
): Promise<HostResponse> {
  const name = request.url.searchParams.get('functionName') ?? '';
  const fn = find(name);
  if (fn === undefined) return textResponse(404, `cannot find function: '${name}'`);
  if (request.method === 'OPTIONS') {
    const origin = request.headers['webhook-request-origin'] ?? 'eventgrid.azure.net';
    return { status: 200, headers: { 'Webhook-Allowed-Origin': origin } };
  }
  try {
    switch (request.headers['aeg-event-type']?.toLowerCase()) {
      case 'subscriptionvalidation': {
        const [event] = validationDelivery.parse(JSON.parse(request.body.toString('utf8')));
        return textResponse(200, JSON.stringify({ validationResponse: event?.data.validationCode }));
      }
      case 'notification':
        return await notify(fn, notification.parse(JSON.parse(request.body.toString('utf8'))), invoke);
      case 'unsubscribe':
        return { status: 202 };
      default:
        return { status: 400 };
    }
  } catch (thrown) {
    // A body that isn't JSON makes the extension throw, which the real host answers so.
    return textResponse(500, toError(thrown).message);
  }
}

async function notify(
  fn: HostFunction,
  events: readonly Readonly<Record<string, unknown>>[],
  invoke: Invoke,
): Promise<HostResponse> {
  const outcomes = await Promise.all(events.map((event) => invoke(fn, toEventGridInput(event))));
  const failed = outcomes.find((outcome) => !outcome.ok);
  if (failed === undefined) return { status: 202 };
  return textResponse(
    500,
    `Exception while executing function: Functions.${fn.name}: ${failed.error.message}`,
  );
}

export function toEventGridInput(event: Readonly<Record<string, unknown>>): TriggerInput {
  return {
    data: { json: JSON.stringify(event) },
    metadata: { data: { json: JSON.stringify(event['data'] ?? {}) } },
  };
}
