import { describe, expect, test } from 'vitest';
import { readTraceContext } from '../../../shared/domain/trace-context.ts';

const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

describe('readTraceContext', () => {
  test('reads what is there, beside whatever else a message says', () => {
    expect(readTraceContext({ kek: {}, traceparent, tracestate: 'vendor=1,other=2' })).toEqual({
      traceparent,
      tracestate: 'vendor=1,other=2',
    });
  });

  test('keeps a state that is as long as W3C has it passed on', () => {
    const tracestate = `v=${'1'.repeat(510)}`;
    expect(readTraceContext({ traceparent, tracestate })).toEqual({ traceparent, tracestate });
  });

  test.each([
    ['not there', undefined],
    ['longer than W3C has it passed on', `v=${'1'.repeat(511)}`],
    ['not text', 7],
    ['with a line break', 'v=1\r\nx: y'],
    ['empty', ''],
  ])('leaves out a state that is %s', (_, tracestate) => {
    expect(readTraceContext({ traceparent, tracestate })).toEqual({ traceparent });
  });

  test.each([
    ['a message of 0.1.0', { kek: {}, cause: {} }],
    ['no text', { traceparent: { toString: () => traceparent } }],
    ['too short', { traceparent: traceparent.slice(1) }],
    ['with something before it', { traceparent: `x${traceparent}` }],
    ['too long', { traceparent: `${traceparent}-00` }],
    ['upper case', { traceparent: traceparent.toUpperCase() }],
    ['text', traceparent],
    ['null', null],
    ['nothing', undefined],
  ])('says nothing of %s', (_, carrier) => {
    expect(readTraceContext(carrier)).toBeNull();
  });
});
