// A request read whole and a response to be written whole: all that the handlers of this host deal in.
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface HostRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface HostResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
}

export async function readRequest(message: IncomingMessage): Promise<HostRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(Buffer.from(chunk));
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  const url = new URL(message.url ?? '/', `http://${headers['host'] ?? '127.0.0.1'}`);
  return { method: message.method ?? 'GET', url, headers, body: Buffer.concat(chunks) };
}

export function writeResponse(target: ServerResponse, response: HostResponse): void {
  target.statusCode = response.status;
  for (const [name, value] of Object.entries(response.headers ?? {})) target.setHeader(name, value);
  target.end(response.body);
}

export function jsonResponse(status: number, value: unknown): HostResponse {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify(value),
  };
}

export function textResponse(status: number, body: string): HostResponse {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}
