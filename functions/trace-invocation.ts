// Every invocation is one span, under what led to it: the message or event that it is for, else what the host says.
// A hook rather than a wrapper, so that no trigger can be left out.
import type { PreInvocationContext } from '@azure/functions';
import { readTraceContext } from '../shared/domain/trace-context.ts';
import type { Tracer } from '../shared/ports/telemetry.ts';

type Invocation = Pick<PreInvocationContext, 'inputs' | 'functionHandler' | 'invocationContext'>;

export const makeTraceInvocation =
  ({ trace }: Tracer) =>
  (invocation: Invocation): void => {
    const { inputs, functionHandler, invocationContext } = invocation;
    const { functionName, traceContext } = invocationContext;
    const host = { traceparent: traceContext?.traceParent, tracestate: traceContext?.traceState };
    const causes = [inputs[0], host].flatMap((carrier) => readTraceContext(carrier) ?? []);
    invocation.functionHandler = (...given) =>
      trace(functionName, causes, async () => functionHandler(...given));
  };
