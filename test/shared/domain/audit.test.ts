import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  CHAIN_START,
  type ChainedRecord,
  chainRecord,
  findBrokenRecord,
} from '../../../shared/domain/audit.ts';

const NAME = 'contoso.vault.azure.net|orders';

const chainOf = (...bodies: readonly string[]): ChainedRecord[] => {
  const chain: ChainedRecord[] = [];
  for (const body of bodies) chain.push(chainRecord(NAME, chain.at(-1) ?? null, `o:${chain.length}`, body));
  return chain;
};
const chain = chainOf('{"a":1}', '{"a":2}', '{"a":3}');
const tampered = (index: number, change: Partial<ChainedRecord>) =>
  chain.map((record, at) => (at === index ? { ...record, ...change } : record));

describe('chainRecord', () => {
  test('the first record follows 64 zeros', () => {
    const hash = createHash('sha256')
      .update(`pg-cmk/audit-1\n${NAME}\n1\no:0\n${'0'.repeat(64)}\n{"a":1}`)
      .digest('hex');
    expect(CHAIN_START).toBe('0'.repeat(64));
    expect(chain[0]).toEqual({
      sequence: 1,
      outboxId: 'o:0',
      previousHash: CHAIN_START,
      hash,
      body: '{"a":1}',
    });
  });

  test('each next one holds the hash of the one before', () => {
    expect(chain.map((record) => record.sequence)).toEqual([1, 2, 3]);
    expect(chain[1]?.previousHash).toBe(chain[0]?.hash);
    expect(chain[2]?.previousHash).toBe(chain[1]?.hash);
  });
});

describe('findBrokenRecord', () => {
  test('finds nothing in a sound chain, or in none', () => {
    expect(findBrokenRecord(NAME, chain)).toBeNull();
    expect(findBrokenRecord(NAME, [])).toBeNull();
  });

  test('finds a chain, or the rest of one, that is given out for another', () => {
    expect(findBrokenRecord('contoso.vault.azure.net|payments', chain)).toBe(1);
    expect(findBrokenRecord('app', chain)).toBe(1);
    const mixed = chainRecord('app', chain[1] ?? null, 'o:2', '{"a":3}');
    expect(findBrokenRecord(NAME, tampered(2, mixed))).toBe(3);
  });

  test.each([
    ['its body', { body: '{"a":9}' }],
    ['its outbox id', { outboxId: 'o:9' }],
    ['its hash', { hash: 'f'.repeat(64) }],
    ['its previous hash', { previousHash: 'f'.repeat(64) }],
  ] as const)('finds the record that was tampered with in %s', (_, change) => {
    for (const index of [0, 1, 2]) expect(findBrokenRecord(NAME, tampered(index, change))).toBe(index + 1);
  });

  test('finds a record whose sequence was changed', () => {
    expect(findBrokenRecord(NAME, tampered(1, { sequence: 7 }))).toBe(7);
  });

  test('finds the record after one that was forged with a hash of its own', () => {
    const forged = chainRecord(NAME, chain[0] ?? null, 'o:1', '{"a":9}');
    expect(findBrokenRecord(NAME, tampered(1, forged))).toBe(3);
  });

  test.each([
    ['the first is missing', chain.slice(1), 2],
    ['one in the middle is missing', chain.filter((_, index) => index !== 1), 3],
    ['two changed places', [chain[0], chain[2], chain[1]], 3],
    ['one is there twice', [chain[0], chain[0]], 1],
  ])('finds that %s', (_, records, sequence) => {
    expect(
      findBrokenRecord(
        NAME,
        records.filter((record) => record !== undefined),
      ),
    ).toBe(sequence);
  });
});
