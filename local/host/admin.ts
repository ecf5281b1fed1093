// /admin: lists functions, runs one by name, tells the host's state. As the real host, but without a key; and
// `?wait=true`, which is ours, answers with the outcome instead of 202 at once.
import { z } from 'zod';
import { toEventGridInput } from './event-grid-webhook.ts';
import type { HostFunction } from './host-function.ts';
import { isTriggerType } from './host-function.ts';
import type { HostRequest, HostResponse } from './http-messages.ts';
import { jsonResponse, textResponse } from './http-messages.ts';
import type { Invoke, TriggerInput } from './invoke.ts';
import { toTimerInput } from './timer-trigger.ts';

export interface AdminOptions {
  readonly functions: readonly HostFunction[];
  readonly url: () => string;
  /** The URL an HTTP function answers at. */
  readonly invokeUrl: (fn: HostFunction) => string | undefined;
  readonly invoke: Invoke;
}

const invocation = z.looseObject({ input: z.unknown().optional() });
const event = z.looseObject({});

export async function handleAdmin(request: HostRequest, options: AdminOptions): Promise<HostResponse> {
  const [, area, kind, name] = request.url.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  if (area === 'host' && (kind === 'status' || kind === 'ping') && request.method === 'GET')
    return toStatus();
  if (area !== 'functions') return { status: 404 };
  if (kind === undefined)
    return jsonResponse(
      200,
      options.functions.map((fn) => toDescription(fn, options)),
    );
  const fn = options.functions.find((one) => one.name.toLowerCase() === kind.toLowerCase());
  if (fn === undefined || name !== undefined) return { status: 404 };
  if (request.method === 'GET') return jsonResponse(200, toDescription(fn, options));
  if (request.method !== 'POST') return { status: 404 };
  return run(fn, request, options.invoke);
}

async function run(fn: HostFunction, request: HostRequest, invoke: Invoke): Promise<HostResponse> {
  if (isTriggerType(fn.trigger.type, 'httpTrigger'))
    return textResponse(400, `'${fn.name}' is an HTTP function`);
  let input: TriggerInput;
  try {
    input = toInput(fn, invocation.parse(JSON.parse(request.body.toString('utf8'))).input);
  } catch {
    return textResponse(400, `expected {"input": …} that fits '${fn.name}'`);
  }
  const outcome = invoke(fn, input);
  if (request.url.searchParams.get('wait') !== 'true') return { status: 202 };
  const result = await outcome;
  if (!result.ok) return jsonResponse(500, { status: 'failed', error: result.error.message });
  return jsonResponse(200, { status: 'succeeded', returnValue: toPlain(result.returnValue) });
}

/** The input as the function's own trigger would have given it. A string stands for itself, as in the real host. */
function toInput(fn: HostFunction, input: unknown): TriggerInput {
  const parsed: unknown = typeof input === 'string' && isJson(input) ? JSON.parse(input) : input;
  const text = typeof input === 'string' ? input : JSON.stringify(input ?? '');
  const { type, cardinality } = fn.trigger;
  if (isTriggerType(type, 'timerTrigger')) return toTimerInput(new Date(0), new Date());
  if (isTriggerType(type, 'eventGridTrigger')) return toEventGridInput(event.parse(parsed));
  if (isTriggerType(type, 'eventHubTrigger')) {
    if (cardinality !== 'many') return { data: { string: text } };
    return { data: { json: JSON.stringify(Array.isArray(parsed) ? parsed : [parsed]) } };
  }
  const metadata = { QueueTrigger: { string: text }, DequeueCount: { json: '1' } };
  return { data: { string: text }, metadata };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function toPlain(value: { readonly string?: string; readonly json?: string } | null | undefined): unknown {
  if (value?.json !== undefined) return JSON.parse(value.json);
  return value?.string ?? value ?? null;
}

function toDescription(fn: HostFunction, { url, invokeUrl }: AdminOptions): object {
  return {
    name: fn.name,
    language: 'node',
    isDisabled: fn.disabled,
    href: `${url()}/admin/functions/${fn.name}`,
    invoke_url_template: invokeUrl(fn),
    config: { bindings: [fn.trigger, ...fn.outputs] },
  };
}

function toStatus(): HostResponse {
  const processUptime = Math.round(process.uptime() * 1000);
  return jsonResponse(200, { id: 'pg-cmk-local', state: 'Running', version: '4.1041.0', processUptime });
}
