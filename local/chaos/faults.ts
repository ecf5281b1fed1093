// What the named faults of a plan are on the wire, and which requests they can happen to.
import type { Fault, ProxiedRequest } from './fault-proxy.ts';
import type { FaultName, KekName, Wire } from './plan.ts';

const SLOW_MS = 1500;
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

const vaultError = (code: string): string =>
  JSON.stringify({ error: { code, message: 'A fault of the chaos run.' } });
const storageError = (code: string): string =>
  JSON.stringify({ 'odata.error': { code, message: { lang: 'en-US', value: 'A fault of the chaos run.' } } });

const isVault = (wire: Wire): wire is KekName => wire === 'payments' || wire === 'ledger';

const answer = (status: number, body: string, headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: 'status',
  status,
  body,
  headers: { ...JSON_TYPE, ...headers },
});

/** undefined: it can't happen to this request. `random` is between 0 and 1. */
export function toFault(
  wire: Wire,
  name: FaultName,
  request: ProxiedRequest,
  random: number,
): Fault | undefined {
  const error = isVault(wire) ? vaultError : storageError;
  switch (name) {
    case '429':
      return answer(429, error('Throttled'));
    case '429 with Retry-After':
      return answer(429, error('Throttled'), { 'retry-after': '1' });
    case '500':
      return answer(500, error('InternalServerError'));
    case '503':
      return answer(503, error(isVault(wire) ? 'ServiceUnavailable' : 'ServerBusy'));
    case 'reset':
      return { kind: 'resetBefore' };
    case 'answer lost':
      return { kind: 'resetAfter' };
    case '500 after':
      return { kind: 'statusAfter', status: 500 };
    case 'timeout':
      return { kind: 'hang' };
    case 'stalled':
      return { kind: 'stall' };
    case 'slow':
      return { kind: 'delay', ms: Math.ceil(random * SLOW_MS) };
    case 'garbage':
      return answer(200, '<html><body>It works!</body></html>', { 'content-type': 'text/html' });
    case 'truncated':
      return answer(200, '{"kid":"https://');
    case '412':
      return isConditional(request) ? answer(412, error('UpdateConditionNotSatisfied')) : undefined;
    case 'duplicate':
      return request.method === 'POST' ? { kind: 'repeat' } : undefined;
    case 'reorder':
      return request.method === 'GET'
        ? { kind: 'reverse' }
        : { kind: 'delay', ms: Math.ceil(random * SLOW_MS) };
  }
}

/** A write of one row; that of a transaction has its conditions inside. */
const isConditional = ({ method }: ProxiedRequest): boolean =>
  ['PUT', 'MERGE', 'PATCH', 'DELETE'].includes(method);
