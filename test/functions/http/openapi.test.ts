import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { makeAppStateHandlers } from '../../../functions/http/app-state.ts';
import { makeOpenApi } from '../../../functions/http/openapi.ts';
import { STATUS_OF } from '../../../functions/http/problem.ts';
import { routes } from '../../../shared/api/routes.ts';
import { VERSION } from '../../../shared/version.ts';

const readJson = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8'));

describe('the OpenAPI document', () => {
  const document = makeOpenApi(VERSION);

  test('in docs/ is the one that is served; `npm run openapi` writes it anew', () => {
    expect(readJson('docs/openapi.json')).toEqual(JSON.parse(JSON.stringify(document)));
  });

  test('has every route, and asks for a token where one is needed', () => {
    const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path));
    expect(operations).toHaveLength(Object.keys(routes).length);
    for (const { operationId, security } of operations) {
      const isOpen = ['readHealth', 'readOpenApi'].includes(operationId);
      expect({ operationId, security }).toEqual({ operationId, security: isOpen ? [] : [{ bearer: [] }] });
    }
  });

  test('names every error code', () => {
    for (const code of Object.keys(STATUS_OF)) expect(document.info.description).toContain(code);
  });

  test('has a schema for every answer that is no problem, and Problem for every one that is', () => {
    for (const [path, methods] of Object.entries(document.paths ?? {})) {
      for (const { responses } of Object.values(methods)) {
        for (const [status, { content }] of Object.entries<{ content: Record<string, unknown> }>(responses)) {
          const isProblem = Number(status) >= 400 && path !== '/health';
          const type = isProblem ? 'application/problem+json' : 'application/json';
          if (path !== '/health') expect(Object.keys(content), `${path} ${status}`).toEqual([type]);
        }
      }
    }
  });
});

test('anybody may ask for it, so it is made once', async () => {
  const ports = { checkHealth: async () => [], version: VERSION, now: () => new Date(0) };
  const { readOpenApi } = makeAppStateHandlers(ports);
  const asked = { params: {}, query: {}, body: null, caller: null, ifMatch: null };
  const [first, second] = [await readOpenApi(asked), await readOpenApi(asked)];
  expect(first.body['paths']).toBeDefined();
  expect(first.body['paths']).toBe(second.body['paths']);
});

test('the version is that of package.json', () => {
  expect(readJson('package.json')).toMatchObject({ version: VERSION });
});
