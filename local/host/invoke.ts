// One invocation: the library converts the input, hooks run around the handler, outputs are written.
// The order is the worker's (azure-facts.md 5.4).
import { randomBytes, randomUUID } from 'node:crypto';
import type { App } from './app.ts';
import type { CoreInvocationContext, InvocationResponse, RetryContext, TypedData } from './core-types.ts';
import { toError } from './errors.ts';
import type { HostFunction } from './host-function.ts';

export interface TriggerInput {
  readonly data: TypedData;
  readonly metadata?: Readonly<Record<string, TypedData>>;
}

type Outcome =
  | { readonly ok: true; readonly returnValue?: TypedData | null | undefined }
  | { readonly ok: false; readonly error: Error };

/** Never rejects: a failure is an outcome, logged once here. */
export type Invoke = (fn: HostFunction, input: TriggerInput, retry?: RetryContext) => Promise<Outcome>;

export interface Invoker {
  readonly invoke: Invoke;
  /** Resolves once nothing runs, or after `graceMs`; tells how many invocations are still running. */
  settle(graceMs: number): Promise<number>;
}

export type WriteOutputs = (fn: HostFunction, response: InvocationResponse) => Promise<void>;

export function makeInvoker(app: App, writeOutputs: WriteOutputs): Invoker {
  const running = new Set<Promise<Outcome>>();
  return {
    invoke(fn, input, retry) {
      const outcome = attempt(app, fn, input, retry, writeOutputs);
      running.add(outcome);
      void outcome.then(() => running.delete(outcome));
      return outcome;
    },
    async settle(graceMs) {
      const deadline = Date.now() + graceMs;
      while (running.size > 0 && Date.now() < deadline) {
        const timeout = Promise.withResolvers<void>();
        const timer = setTimeout(timeout.resolve, deadline - Date.now());
        await Promise.race([Promise.all(running), timeout.promise]);
        clearTimeout(timer);
      }
      return running.size;
    },
  };
}

async function attempt(
  app: App,
  fn: HostFunction,
  input: TriggerInput,
  retry: RetryContext | undefined,
  writeOutputs: WriteOutputs,
): Promise<Outcome> {
  const invocationId = randomUUID();
  try {
    const response = await runHandler(app, fn, invocationId, input, retry);
    await writeOutputs(fn, response);
    return { ok: true, returnValue: response.returnValue };
  } catch (thrown) {
    const error = toError(thrown);
    const message = `failed: ${error.stack ?? error.message}`;
    app.log({ level: 'error', category: 'system', message, functionName: fn.name, invocationId });
    return { ok: false, error };
  }
}

async function runHandler(
  app: App,
  fn: HostFunction,
  invocationId: string,
  input: TriggerInput,
  retry: RetryContext | undefined,
): Promise<InvocationResponse> {
  let invocationContext: object | undefined;
  const core: CoreInvocationContext = {
    invocationId,
    metadata: fn.metadata,
    state: undefined,
    log: (level, category, message) =>
      app.log({ level, category, message, functionName: fn.name, invocationId }, invocationContext),
    request: {
      invocationId,
      functionId: fn.metadata.functionId ?? fn.name,
      inputData: [{ name: fn.trigger.name, data: input.data }],
      triggerMetadata: input.metadata ?? null,
      traceContext: {
        traceParent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
        traceState: '',
      },
      retryContext: retry ?? null,
    },
  };
  const model = app.model.getInvocationModel(core);
  const { context, inputs } = await model.getArguments();
  invocationContext = context;
  const hookData = {};
  const shared = { hookData, appHookData: app.appHookData, invocationContext: context };

  const before = { ...shared, inputs, functionCallback: fn.callback };
  core.state = 'preInvocationHooks';
  await app.runHooks('preInvocation', before);

  const outcome: { result: unknown; error: unknown } = { result: undefined, error: undefined };
  const after = Object.assign(outcome, shared, { inputs: before.inputs });
  core.state = 'invocation';
  try {
    after.result = await model.invokeFunction(context, before.inputs, before.functionCallback);
  } catch (thrown) {
    after.error = toError(thrown);
  }
  core.state = 'postInvocationHooks';
  await app.runHooks('postInvocation', after);
  core.state = undefined;
  if (after.error !== undefined && after.error !== null) throw after.error;
  return model.getResponse(context, after.result);
}
