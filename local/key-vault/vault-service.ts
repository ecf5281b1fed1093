// One request of one vault, from the bearer token to the answer. Knows nothing of sockets.
import { performCrypto } from './crypto-operations.ts';
import { performKeyOperation } from './key-operations.ts';
import { currentVersion } from './key-store.ts';
import { isCryptoOperation, type Operation } from './operations.ts';
import { parseRoute, type Route } from './routes.ts';
import type { Throttle } from './throttle.ts';
import type { Answer, VaultContext } from './vault-context.ts';
import { forbidden, throttled, unauthorized, VaultError } from './vault-error.ts';

export interface VaultRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly authorization: string | undefined;
  readonly body: Buffer;
}

export interface VaultResponse extends Answer {
  readonly headers: Readonly<Record<string, string>>;
  readonly operation: Operation | null;
  readonly innerCode: string | null;
}

export interface VaultServiceOptions {
  readonly context: VaultContext;
  readonly throttle: Throttle;
  /** What the challenge sends callers to for a token. */
  readonly authority: string;
  authenticate(token: string): Promise<boolean> | boolean;
}

const MAKES_KEY: ReadonlySet<Operation> = new Set<Operation>(['create', 'import', 'rotate']);

export type VaultService = (request: VaultRequest) => Promise<VaultResponse>;

export function makeVaultService(options: VaultServiceOptions): VaultService {
  const { context } = options;

  return async (request) => {
    let operation: Operation | null = null;
    try {
      await assertAuthenticated(options, request.authorization);
      const route = parseRoute(request.method, request.target);
      operation = route.operation;
      assertReachable(context, route.operation);
      assertWithinLimits(options, route);
      const answer = await perform(context, route, request.body);
      return { ...answer, headers: {}, operation, innerCode: null };
    } catch (error) {
      return refuse(toVaultError(error), operation);
    }
  };
}

function perform(context: VaultContext, route: Route, body: Buffer): Promise<Answer> {
  const { operation, name, version } = route;
  return isCryptoOperation(operation)
    ? performCrypto(context, operation, context.store.getVersion(name, version), body)
    : performKeyOperation(context, operation, route, body);
}

async function assertAuthenticated(
  { authenticate, authority }: VaultServiceOptions,
  authorization: string | undefined,
): Promise<void> {
  const [scheme = '', token = ''] = authorization?.split(' ') ?? [];
  if (scheme.toLowerCase() !== 'bearer' || token === '') {
    throw unauthorized('AKV10000: Request is missing a Bearer or PoP token.', authority);
  }
  if (!(await authenticate(token))) throw unauthorized('The bearer token was not accepted.', authority);
}

function assertReachable(context: VaultContext, operation: Operation): void {
  const { rbac, rbacCode, firewall, firewallCode } = context.switches();
  if (firewall === 'closed') {
    const message =
      firewallCode === 'ForbiddenByFirewall'
        ? 'Client address is not authorized and caller is not a trusted service.'
        : 'Public network access is disabled and request is not from a trusted service nor via an approved private link.';
    throw forbidden(firewallCode, message);
  }
  if (rbac === 'denied' || (Array.isArray(rbac) && rbac.includes(operation))) {
    throw forbidden(rbacCode, `Caller is not authorized to perform action ${operation} on resource.`);
  }
}

function assertWithinLimits({ context, throttle }: VaultServiceOptions, { operation, name }: Route): void {
  const { throttle: limits, retryAfter } = context.switches();
  if (limits === 'off') return;
  const record = context.store.find(name);
  const current = record === undefined ? null : currentVersion(record);
  const key = current === null ? null : { kty: current.kty, bits: current.material.bits };
  const wait = throttle.admit({ key, makesKey: MAKES_KEY.has(operation) }, limits);
  if (wait !== null) throw throttled(retryAfter ? wait : null);
}

function refuse(error: VaultError, operation: Operation | null): VaultResponse {
  const counts: Readonly<Record<number, string>> = { 401: 'unauthorized', 429: 'throttled' };
  return {
    status: error.status,
    body: error.toBody(),
    headers: error.headers,
    count: counts[error.status] ?? `${operation ?? 'request'}:refused`,
    operation,
    innerCode: error.innerCode,
  };
}

function toVaultError(error: unknown): VaultError {
  if (error instanceof VaultError) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new VaultError(500, 'InternalServerError', null, `The emulator failed: ${text}`);
}
