// The control endpoint: plain HTTP and JSON, for people with curl. The routes are in control-routes.ts.
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { ControlError, type ControlledVaults, performControl } from './control-routes.ts';
import { VaultError } from './vault-error.ts';

export interface ControlServer {
  readonly url: string;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1 << 16;

export async function startControlServer(port: number, vaults: ControlledVaults): Promise<ControlServer> {
  const server = createServer(async (request, response) => {
    const { status, body } = await answer(vaults, request);
    response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' });
    response.end(`${JSON.stringify(body, null, 2)}\n`);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the control endpoint has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  vaults: ControlledVaults,
  request: IncomingMessage,
): Promise<{ readonly status: number; readonly body: unknown }> {
  try {
    const { method = 'GET', url = '/' } = request;
    return { status: 200, body: await performControl(vaults, method, url, await readJson(request)) };
  } catch (error) {
    if (error instanceof ControlError) {
      return { status: error.status, body: { error: error.message, accepts: error.accepts } };
    }
    if (error instanceof VaultError) {
      return { status: error.status, body: { error: error.message, code: error.innerCode ?? error.code } };
    }
    return { status: 500, body: { error: error instanceof Error ? error.message : String(error) } };
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw new ControlError(400, 'The body is too long.');
  }
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new ControlError(400, 'The body is not JSON.');
  }
}
