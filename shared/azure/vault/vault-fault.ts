// What the SDK throws, as the values that the domain classifies. Nothing of a body gets into them but its codes:
// a body may hold a plaintext DEK.
import * as z from 'zod';
import { toInstantInRange } from '../../domain/instant.ts';
import type { VaultFault } from '../../domain/vault-answer.ts';
import { TokenUnavailable } from './token-source.ts';

/** An answer that parses and isn't what was asked for. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
}

/** No answer within the deadline. */
export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed';
}

/** The last response to a call, as `onResponse` showed it. */
export interface SeenResponse {
  readonly status: number;
  readonly date: Date | null;
  readonly retryAfterSeconds: number | null;
  readonly body: unknown;
}

interface RawResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | undefined };
  readonly parsedBody?: unknown;
}

export function toSeenResponse(response: RawResponse): SeenResponse {
  const date = parseDate(response.headers.get('date'));
  return {
    status: response.status,
    date,
    retryAfterSeconds: parseRetryAfter(response.headers, date),
    body: response.parsedBody,
  };
}

function parseDate(text: string | undefined): Date | null {
  const date = new Date(text ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? null : toInstantInRange(date);
}

/** RFC 9110 section 10.2.3, and the two headers in milliseconds that Azure has. A date counts from the vault's own. */
function parseRetryAfter(headers: RawResponse['headers'], vaultNow: Date | null): number | null {
  for (const name of ['retry-after-ms', 'x-ms-retry-after-ms']) {
    const milliseconds = Number(headers.get(name) ?? Number.NaN);
    if (milliseconds >= 0) return milliseconds / 1000;
  }
  const text = headers.get('retry-after');
  if (text === undefined) return null;
  if (/^\d+$/.test(text.trim())) return Number(text);
  const until = parseDate(text);
  if (until === null || vaultNow === null) return null;
  return Math.max(0, (until.getTime() - vaultNow.getTime()) / 1000);
}

const Inner = z.object({ code: z.string() });
const Body = z.object({
  error: z.object({
    code: z.string().nullish().catch(null),
    // On the wire it is `innererror`; the SDK's details say `innerError`.
    innererror: Inner.nullish().catch(null),
    innerError: Inner.nullish().catch(null),
  }),
});

function parseCodes(body: unknown): { code: string | null; innerCode: string | null } {
  const parsed = Body.safeParse(body);
  if (!parsed.success) return { code: null, innerCode: null };
  const { code, innererror, innerError } = parsed.data.error;
  return { code: code ?? null, innerCode: innererror?.code ?? innerError?.code ?? null };
}

/** As far as it is looked at: a RestError, or what the network threw. */
const Thrown = z.object({
  name: z.string().catch(''),
  message: z.string().catch(''),
  code: z.string().optional().catch(undefined),
  statusCode: z.number().optional().catch(undefined),
  details: z.unknown().optional(),
});

const CERTIFICATE_REFUSED =
  /^(CERT_|CRL_|UNABLE_TO_|ERROR_IN_C|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH|ERR_TLS_|ERR_SSL_|EPROTO)/;

type NetworkCause = Extract<VaultFault, { kind: 'network' }>['cause'];

const NETWORK_CAUSES: Readonly<Record<string, NetworkCause>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  ESOCKETTIMEDOUT: 'timeout',
  ENOTFOUND: 'vault-name',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  EHOSTUNREACH: 'other',
  EHOSTDOWN: 'other',
  ENETUNREACH: 'other',
  ENETDOWN: 'other',
  EADDRNOTAVAIL: 'other',
  EMFILE: 'other',
  REQUEST_SEND_ERROR: 'other',
};

/**
 * Why a call gave no good answer. Cause `vault-name` says only that this name doesn't resolve: whether others do is
 * the caller's to find out.
 * @param seen the last response, for what the SDK leaves out of its errors: the status of an answer without a body,
 *   and the inner code of a listing
 */
export function toVaultFault(error: unknown, seen: SeenResponse | null): VaultFault {
  if (error instanceof DeadlinePassed) return { kind: 'network', cause: 'timeout' };
  if (error instanceof TokenUnavailable) return { kind: 'identity' };
  if (error instanceof UnexpectedAnswer) return { kind: 'answer', what: error.message };
  const thrown = Thrown.safeParse(error).data ?? Thrown.parse({});
  if (isIdentityError(thrown.name)) return { kind: 'identity' };
  if (seen !== null && seen.status >= 300) {
    return httpFault(seen.status, parseCodes(seen.body), seen.retryAfterSeconds);
  }
  if (thrown.statusCode !== undefined && thrown.statusCode >= 300) {
    const codes = parseCodes(thrown.details);
    return httpFault(thrown.statusCode, { ...codes, code: codes.code ?? thrown.code ?? null }, null);
  }
  return fromTransport(thrown, seen);
}

const httpFault = (
  status: number,
  codes: { readonly code: string | null; readonly innerCode: string | null },
  retryAfterSeconds: number | null,
): VaultFault => ({ kind: 'http', status, ...codes, retryAfterSeconds });

const isIdentityError = (name: string): boolean =>
  /^(CredentialUnavailable|Authentication|AggregateAuthentication|AuthenticationRequired)(Error)?$/.test(
    name,
  );

function fromTransport(thrown: z.infer<typeof Thrown>, seen: SeenResponse | null): VaultFault {
  const { code, name, message } = thrown;
  if (code !== undefined && CERTIFICATE_REFUSED.test(code)) return { kind: 'network', cause: 'tls' };
  const cause = code === undefined ? undefined : NETWORK_CAUSES[code];
  if (cause !== undefined) return { kind: 'network', cause };
  if (name === 'AbortError') return { kind: 'network', cause: 'timeout' };
  // The connection ended inside a body: the SDK calls that a parse error, of a response that nobody has seen.
  if (code === 'PARSE_ERROR' && seen === null) return { kind: 'network', cause: 'reset' };
  // A parser's message quotes what it couldn't parse.
  const isPlain = code === undefined && (name === 'Error' || name === 'TypeError');
  const what = isPlain ? `${name}: ${message}`.replaceAll(/\s+/g, ' ').slice(0, 200) : `${code ?? name}`;
  return { kind: 'answer', what };
}
