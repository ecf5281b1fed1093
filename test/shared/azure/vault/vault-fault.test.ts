import { describe, expect, test } from 'vitest';
import { TokenUnavailable } from '../../../../shared/azure/vault/token-source.ts';
import {
  DeadlinePassed,
  type SeenResponse,
  toSeenResponse,
  toVaultFault,
  UnexpectedAnswer,
} from '../../../../shared/azure/vault/vault-fault.ts';

const error = (fields: object) => Object.assign(new Error('Something happened'), fields);

const seen = (fields: Partial<SeenResponse>): SeenResponse => ({
  status: 200,
  date: null,
  retryAfterSeconds: null,
  body: undefined,
  ...fields,
});

const http = (status: number, code: string | null, innerCode: string | null = null) => ({
  kind: 'http',
  status,
  code,
  innerCode,
  retryAfterSeconds: null,
});

describe('toVaultFault', () => {
  test.each([
    ['ECONNREFUSED', 'refused'],
    ['ECONNRESET', 'reset'],
    ['EPIPE', 'reset'],
    ['ETIMEDOUT', 'timeout'],
    ['ENOTFOUND', 'vault-name'],
    ['EAI_AGAIN', 'dns'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
    ['EPROTO', 'tls'],
    ['EHOSTUNREACH', 'other'],
    ['REQUEST_SEND_ERROR', 'other'],
    ['PARSE_ERROR', 'reset'],
  ])('%s is of the network: %s', (code, cause) => {
    expect(toVaultFault(error({ name: 'RestError', code }), null)).toEqual({ kind: 'network', cause });
  });

  test.each([[new DeadlinePassed()], [error({ name: 'AbortError' })]])(
    'a deadline is a timeout',
    (thrown) => {
      expect(toVaultFault(thrown, null)).toEqual({ kind: 'network', cause: 'timeout' });
    },
  );

  test.each([
    [new TokenUnavailable()],
    [error({ name: 'CredentialUnavailableError' })],
    [error({ name: 'AuthenticationError', statusCode: 400 })],
    [error({ name: 'AggregateAuthenticationError' })],
    [error({ name: 'AuthenticationRequiredError' })],
  ])('no token is of the identity', (thrown) => {
    expect(toVaultFault(thrown, null)).toEqual({ kind: 'identity' });
  });

  test.each([
    [{ error: { code: 'Forbidden', innererror: { code: 'KeyDisabled' } } }, 'KeyDisabled'],
    [{ error: { code: 'Forbidden', innerError: { code: 'KeyDisabled' } } }, 'KeyDisabled'],
    [{ error: { code: 'Forbidden', innererror: null } }, null],
    [{ error: { code: 'Forbidden', innererror: 'KeyDisabled' } }, null],
  ])('finds the inner code in %j, in the response or in the details', (body, innerCode) => {
    const expected = http(403, 'Forbidden', innerCode);
    expect(toVaultFault(error({}), seen({ status: 403, body }))).toEqual(expected);
    const thrown = error({ name: 'RestError', code: 'Forbidden', statusCode: 403, details: body });
    expect(toVaultFault(thrown, null)).toEqual(expected);
  });

  test.each([
    ['401 without a body', 401, undefined],
    ['503 in HTML', 503, '<html>'],
    ['429 without a body', 429, undefined],
    ['a redirect', 302, ''],
    ['an error in another shape', 500, { error: 'no' }],
  ])('keeps the status of %s, whatever the SDK made of it', (_, status, body) => {
    const thrown = new TypeError("Cannot read properties of undefined (reading 'error')");
    expect(toVaultFault(thrown, seen({ status, body }))).toEqual(http(status, null));
  });

  test('of a later page, for which no response was seen, the error tells', () => {
    const thrown = error({ name: 'RestError', code: 'Forbidden', statusCode: 403 });
    expect(toVaultFault(thrown, seen({}))).toEqual(http(403, 'Forbidden'));
  });

  test('anything else is an answer that nobody understands', () => {
    expect(toVaultFault(new UnexpectedAnswer('why'), seen({}))).toEqual({ kind: 'answer', what: 'why' });
    expect(toVaultFault(new Error('Key x  expired\nat y'), null)).toEqual({
      kind: 'answer',
      what: 'Error: Key x expired at y',
    });
    expect(toVaultFault('text', null)).toEqual({ kind: 'answer', what: '' });
  });

  test('never quotes what could not be parsed', () => {
    const quoting = error({
      name: 'RestError',
      code: 'PARSE_ERROR',
      statusCode: 200,
      message: 'body: c2VjcmV0',
    });
    expect(JSON.stringify(toVaultFault(quoting, seen({})))).not.toContain('c2VjcmV0');
    const syntax = new SyntaxError('Unexpected token in c2VjcmV0');
    expect(JSON.stringify(toVaultFault(syntax, seen({})))).not.toContain('c2VjcmV0');
  });
});

describe('toSeenResponse', () => {
  const see = (headers: Record<string, string>) =>
    toSeenResponse({ status: 429, headers: { get: (name) => headers[name] } });

  test.each([
    [{ 'retry-after': '7' }, 7],
    [{ 'retry-after-ms': '1500' }, 1.5],
    [{ 'x-ms-retry-after-ms': '250', 'retry-after': '9' }, 0.25],
    [{ 'retry-after': 'Tue, 24 Nov 2026 10:00:20 GMT', date: 'Tue, 24 Nov 2026 10:00:00 GMT' }, 20],
    [{ 'retry-after': 'Tue, 24 Nov 2026 09:00:00 GMT', date: 'Tue, 24 Nov 2026 10:00:00 GMT' }, 0],
    [{ 'retry-after': 'Tue, 24 Nov 2026 10:00:20 GMT' }, null],
    [{ 'retry-after': 'soon' }, null],
    [{}, null],
  ])('reads when to come back from %j', (headers, seconds) => {
    expect(see(headers).retryAfterSeconds).toBe(seconds);
  });

  test('reads the vault’s clock', () => {
    const date = 'Tue, 24 Nov 2026 10:00:00 GMT';
    expect(see({ date }).date).toEqual(new Date('2026-11-24T10:00:00Z'));
    expect(see({ date: 'noon' }).date).toBeNull();
  });
});
