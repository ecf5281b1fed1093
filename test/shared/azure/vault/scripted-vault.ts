// An HTTPS origin that challenges like Key Vault and then answers whatever a test says.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';
import { type LocalCertificates, makeLocalCertificates } from '../../../../local/certificates.ts';
import { systemClock } from '../../../../shared/azure/runtime.ts';
import { type KeyVaultOptions, makeKeyVault } from '../../../../shared/azure/vault/key-vault.ts';
import { type KekId, parseKekId } from '../../../../shared/domain/key-id.ts';
import type { KeyVault } from '../../../../shared/ports/key-vault.ts';
import { CollectingMeter } from '../../../fakes/telemetry.ts';

export interface ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

export interface ScriptedAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON, a string as it is. */
  readonly body?: object | string;
}

/** What is sent for a request that bears a token; or the response itself, to be ill-treated. */
export type Script = (
  request: ScriptedRequest,
  response: ServerResponse,
) => ScriptedAnswer | undefined | Promise<ScriptedAnswer | undefined>;

export interface ScriptedVault {
  readonly kek: KekId;
  readonly url: string;
  readonly vault: KeyVault;
  readonly meter: CollectingMeter;
  /** Requests that bore a token. */
  readonly requests: readonly ScriptedRequest[];
}

export interface ScriptedVaults {
  open(script: Script, options?: Partial<KeyVaultOptions>): Promise<ScriptedVault>;
  caPem(): string;
}

export const token = async () => ({ token: 'token', expiresOnTimestamp: Date.now() + 3_600_000 });

const CHALLENGE =
  'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"';

export function useScriptedVaults(): ScriptedVaults {
  let certificates: LocalCertificates;
  const closers: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    certificates = await makeLocalCertificates();
  });
  afterAll(() => Promise.all(closers.map((close) => close())));
  return {
    caPem: () => certificates.caPem,
    async open(script, options = {}) {
      const requests: ScriptedRequest[] = [];
      const server = createServer({ cert: certificates.certPem, key: certificates.keyPem });
      server.on('request', (request, response) => void answer(script, requests, request, response));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      closers.push(async () => {
        server.close();
        server.closeAllConnections();
      });
      const address = server.address();
      const host = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
      const meter = new CollectingMeter();
      const vault = makeKeyVault({
        credential: { getToken: token },
        verifyChallenge: false,
        limits: { share: 1, maxInstances: 1 },
        caPem: certificates.caPem,
        clock: systemClock,
        meter,
        ...options,
      });
      return { kek: parseKekId(host, 'orders'), url: `https://${host}`, vault, meter, requests };
    },
  };
}

async function answer(
  script: Script,
  requests: ScriptedRequest[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.headers.authorization === undefined) {
    // The SDK sends one POST without its body and must put it back: it fails to when others are answered before.
    if (request.method === 'POST' && chunks.length === 0) await sleep(30);
    response.writeHead(401, { 'WWW-Authenticate': CHALLENGE }).end();
    return;
  }
  const { method = '', url = '' } = request;
  const seen = { method, path: url.split('?')[0] ?? '', body: Buffer.concat(chunks).toString() };
  requests.push(seen);
  const scripted = await script(seen, response);
  if (scripted === undefined) return;
  const { status = 200, headers = {}, body } = scripted;
  const text = typeof body === 'object' ? JSON.stringify(body) : (body ?? '');
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(text);
}
