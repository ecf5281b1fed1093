import { describe, expect, test } from 'vitest';
import { parseRoute } from '../../../local/host/routes.ts';

describe('parseRoute', () => {
  test.each([
    ['api/health', '/api/HEALTH', {}],
    ['api/health', '/api/health/', {}],
    ['api/health', '/api/health/x', undefined],
    ['api/servers/{id}', '/api/servers', undefined],
    ['api/servers/{id?}', '/api/servers', {}],
    ['api/servers/{id=all}', '/api/servers', { id: 'all' }],
    ['api/servers/{id}/dek', '/api/servers/a%2Fb/dek', { id: 'a/b' }],
    ['api/servers/{id}/dek', '/api/servers/a%zz/dek', { id: 'a%zz' }],
    ['api/{*rest}', '/api/a/b', { rest: 'a/b' }],
    ['api/{*rest}', '/api', {}],
    ['api/{n:int}', '/api/12', { n: '12' }],
    ['api/{n:int}', '/api/twelve', undefined],
    ['api/{n:alpha:bool}', '/api/true', { n: 'true' }],
  ])('%s on %s', (template, path, expected) => {
    expect(parseRoute(template).match(path)).toEqual(expected);
  });

  test('ranks literals before parameters before the rest', () => {
    const templates = ['a/{*rest}', 'a/{b}', 'a/b', 'a/b/{c}', '{a}/b'];
    const ranked = [...templates].sort((x, y) => (parseRoute(x).rank < parseRoute(y).rank ? -1 : 1));
    expect(ranked).toEqual(['a/b/{c}', 'a/b', 'a/{b}', 'a/{*rest}', '{a}/b']);
  });

  test.each(['a/{b}-{c}', 'a/{b:range(1,2)}', 'a/{b'])('refuses %s', (template) => {
    expect(() => parseRoute(template)).toThrow('not supported');
  });
});
