// Sound chains, to be broken by a test.
import type { AuditEntry } from '../../shared/api/audit.ts';
import { type ChainedRecord, chainRecord } from '../../shared/domain/audit.ts';

export function makeChain(chain: string, length: number): readonly AuditEntry[] {
  const entries: AuditEntry[] = [];
  let tail: ChainedRecord | null = null;
  for (let number = 1; number <= length; number += 1) {
    const body = JSON.stringify({
      at: `2026-11-24T11:00:0${number % 10}.000Z`,
      action: 'server.held',
      cause: { kind: 'operator', by: 'ann' },
      servers: [`orders-${number}`],
      versionBefore: null,
      versionAfter: null,
      reason: `reason ${number}`,
      detail: {},
    });
    tail = chainRecord(chain, tail, `outbox-${number}`, body);
    entries.push({ chain, ...tail });
  }
  return entries;
}

export const toLines = (entries: readonly AuditEntry[]): string =>
  entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
