// W3C Trace Context, as it travels with a message or an event: what led to what, for whoever looks at traces. Nothing
// is ever decided by it, and it may come from a stranger.

export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
/** As long as W3C has it passed on; what is longer would fill a queue message. */
const LONGEST_STATE = 512;
const TRACESTATE = /^[\x20-\x7e]+$/;

/** What `carrier` says of the trace that it belongs to; null where it says nothing, or nothing that is sound. */
export function readTraceContext(carrier: unknown): TraceContext | null {
  if (typeof carrier !== 'object' || carrier === null) return null;
  const { traceparent, tracestate } = carrier as { readonly traceparent?: unknown; tracestate?: unknown };
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return null;
  const isSound =
    typeof tracestate === 'string' && tracestate.length <= LONGEST_STATE && TRACESTATE.test(tracestate);
  return isSound ? { traceparent, tracestate } : { traceparent };
}
