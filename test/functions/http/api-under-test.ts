// The HTTP API on a fake world: the real registrations, handlers and operations, without a network. Who calls is said
// by the test; what a token proves is tested with real ones elsewhere.
import { generateKeyPairSync } from 'node:crypto';
import { type HttpFunctionOptions, HttpRequest, InvocationContext } from '@azure/functions';
import { makeCursors } from '../../../functions/http/cursor.ts';
import type { HandlerPorts } from '../../../functions/http/handlers.ts';
import { registerApi } from '../../../functions/http/register-api.ts';
import type { HttpHandler } from '../../../functions/http/route.ts';
import { parseRoute } from '../../../local/host/routes.ts';
import { ROLES, type Role } from '../../../shared/domain/caller.ts';
import type { VerifyToken } from '../../../shared/ports/token-verifier.ts';
import { makeWorld, type World } from '../../fakes/world.ts';

export interface Call {
  readonly roles?: readonly Role[];
  readonly principalId?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what came is what the tests look at
  readonly body: any;
}

export interface ApiUnderTest {
  readonly world: World;
  readonly names: readonly string[];
  /** `path` below /api. A body that is text or bytes is sent as it is. */
  call(method: string, path: string, call?: Call): Promise<Reply>;
}

interface Registered {
  readonly options: Pick<HttpFunctionOptions, 'route' | 'methods' | 'authLevel'>;
  readonly handler: HttpHandler;
}

export interface ApiOptions {
  readonly world?: World;
  /** Replaces ports, to see what a handler makes of what they say. */
  readonly change?: Partial<HandlerPorts>;
  readonly verifyToken?: VerifyToken;
  readonly isConfigured?: boolean;
}

const signingKey = generateKeyPairSync('ed25519').privateKey;

export function makeApi(options: ApiOptions = {}): ApiUnderTest {
  const world = options.world ?? makeWorld();
  const registered = new Map<string, Registered>();
  const open = {
    checkHealth: async () => [],
    version: '1.2.3',
    now: () => world.clock.now(),
    ...options.change,
  };
  const handlers: HandlerPorts = {
    ...world.app,
    ...open,
    signer: world.signer,
    cursors: makeCursors(signingKey),
    ...options.change,
  };
  const app = {
    http: (name: string, { handler, ...rest }: HttpFunctionOptions): void => {
      // biome-ignore lint/suspicious/noExplicitAny: the library's type of a handler takes everything
      registered.set(name, { options: rest, handler: handler as any });
    },
  };
  // biome-ignore lint/suspicious/noExplicitAny: of the library's `http` only this is called
  registerApi(app as any, {
    open,
    handlers: options.isConfigured === false ? null : handlers,
    routes: { ...world.app, log: world.log, verifyToken: options.verifyToken ?? readSaid },
  });

  return {
    world,
    names: [...registered.keys()],
    call: async (method, path, call = {}) => {
      const url = new URL(`https://app.example/api/${path}`);
      for (const [name, { options: trigger, handler }] of registered) {
        const params = parseRoute(`api/${trigger.route}`).match(url.pathname);
        if (params === undefined || !trigger.methods?.some((one) => one === method)) continue;
        const request = toRequest(method, url, params, call);
        const context = new InvocationContext({ functionName: name, invocationId: 'invocation-1' });
        const reply = await handler(request, context);
        const text = typeof reply.body === 'string' ? reply.body : '';
        return {
          status: reply.status ?? 200,
          headers: new Headers(toRecord(reply.headers)),
          body: text === '' ? null : JSON.parse(text),
        };
      }
      throw new Error(`no route: ${method} ${path}`);
    },
  };
}

/** `Bearer anna|Fleet.Read,Fleet.Operate`. */
const readSaid: VerifyToken = async (authorization = '') => {
  const [principalId = '', said = ''] = authorization.replace('Bearer ', '').split('|');
  return { principalId, roles: ROLES.filter((role) => said.split(',').includes(role)) };
};

function toRequest(
  method: string,
  url: URL,
  params: Readonly<Record<string, string>>,
  call: Call,
): HttpRequest {
  const { roles = ROLES, principalId = 'anna', body, headers } = call;
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  return new HttpRequest({
    method,
    url: url.href,
    params: { ...params },
    query: Object.fromEntries(url.searchParams),
    headers: {
      authorization: `Bearer ${principalId}|${roles.join(',')}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? toBody(body) : { string: JSON.stringify(body) } }),
  });
}

const toBody = (body: string | Uint8Array) => (typeof body === 'string' ? { string: body } : { bytes: body });

const toRecord = (headers: unknown): Record<string, string> =>
  Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)]));
