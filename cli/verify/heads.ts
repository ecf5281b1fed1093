// Where chains of the audit end, as signed statements say it: what an export of the audit is held against.
import type { JWTPayload } from 'jose';
import * as z from 'zod';
import { AuditHeadsDocument } from '../../shared/api/table-export.ts';
import type { ChainReport } from './check-chains.ts';

export interface Head {
  readonly chain: string;
  readonly sequence: number;
  readonly hash: string;
  /** The chain was at least so long when it was signed; null: the statement is about something else. */
  readonly signedAt: string | null;
}

const AuditHead = z.object({ chain: z.string(), sequence: z.int().positive(), hash: z.string() });

/** Every head that a sound statement names. */
export function toHeads(claims: JWTPayload): readonly Head[] {
  const all = AuditHeadsDocument.safeParse(claims).data;
  if (all !== undefined) return all.heads.map((head) => ({ ...head, signedAt: all.at }));
  const one = AuditHead.safeParse(claims['auditHead']).data;
  return one === undefined ? [] : [{ ...one, signedAt: null }];
}

/** Chains that end before they did when their heads were signed, in words. */
export function findCutOff(chains: readonly ChainReport[], heads: readonly Head[]): readonly string[] {
  return heads.flatMap(({ chain, sequence, signedAt }) => {
    if (signedAt === null) return [];
    const last = chains.find((one) => one.chain === chain)?.last ?? 0;
    if (last >= sequence) return [];
    const here = last === 0 ? 'is not here' : `ends with record ${last}`;
    return [`${chain} ${here}, and had ${sequence} records at ${signedAt}: it was cut off, or is older`];
  });
}
