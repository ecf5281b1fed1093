// The hash chains of an export, checked line by line; memory doesn't grow with the export.
import { AuditEntry } from '../../shared/api/audit.ts';
import { CHAIN_START, chainRecord } from '../../shared/domain/audit.ts';
import { parseJson } from '../../shared/domain/parse-json.ts';

export type FaultKind =
  /** Not a record at all. */
  | 'unreadable'
  /** Its hash isn't that of what it says in the chain that it is said to be of. */
  | 'changed'
  /** The record before it, as it is here, isn't the one that it was chained to. */
  | 'unlinked'
  | 'doubled'
  | 'reordered'
  /** Records before it are not here. */
  | 'missing';

export interface Fault {
  readonly kind: FaultKind;
  /** Of the file, from 1. */
  readonly line: number;
  readonly sequence: number | null;
  readonly message: string;
}

export interface ChainReport {
  readonly chain: string;
  readonly records: number;
  readonly first: number;
  readonly last: number;
  /** Of the last record that was sound. */
  readonly head: string;
  /** The first record that doesn't follow; null: it is sound. */
  readonly fault: Fault | null;
}

export interface ChainsReport {
  readonly chains: readonly ChainReport[];
  /** A line that holds no record, and so belongs to no chain. */
  readonly unreadable: Fault | null;
}

export interface ChainCheck {
  readonly add: (text: string) => void;
  readonly report: () => ChainsReport;
  /** Where the record of that chain and sequence has another hash, or none was seen. */
  readonly hashAt: (chain: string, sequence: number) => string | undefined;
}

interface Tail {
  readonly sequence: number;
  readonly hash: string;
}

interface State {
  records: number;
  readonly first: number;
  last: Tail;
  fault: Fault | null;
  /** A gap that a record further on may turn out to have been moved from. */
  gap: { readonly from: number; readonly to: number } | null;
}

export interface ChainCheckOptions {
  /** The export was filtered: records may be left out between two others. */
  readonly isFiltered: boolean;
  /** Records to remember the hash of: what statements name as the head of a chain. */
  readonly wanted: ReadonlyMap<string, readonly number[]>;
}

export function makeChainCheck({ isFiltered, wanted }: ChainCheckOptions): ChainCheck {
  const chains = new Map<string, State>();
  const hashes = new Map<string, string>();
  let unreadable: Fault | null = null;
  let line = 0;

  const add = (text: string) => {
    line += 1;
    if (text.trim() === '') return;
    const entry = parseEntry(text);
    if (entry === null) {
      unreadable ??= { kind: 'unreadable', line, sequence: null, message: 'the line holds no record' };
      return;
    }
    if (wanted.get(entry.chain)?.includes(entry.sequence) === true) {
      hashes.set(`${entry.chain}\n${entry.sequence}`, entry.hash);
    }
    const state = chains.get(entry.chain);
    if (state === undefined) {
      const fault = findOwnFault(entry, line);
      const last = { sequence: entry.sequence, hash: entry.hash };
      chains.set(entry.chain, { records: 1, first: entry.sequence, last, fault, gap: null });
      return;
    }
    state.records += 1;
    if (state.fault !== null) {
      classify(state, entry);
      return;
    }
    state.fault = findOwnFault(entry, line) ?? findLinkFault(state.last, entry, line, isFiltered);
    if (state.fault?.kind === 'missing') {
      state.gap = { from: state.last.sequence + 1, to: entry.sequence - 1 };
    }
    if (state.fault === null) state.last = { sequence: entry.sequence, hash: entry.hash };
  };

  const report = () => ({
    unreadable,
    chains: [...chains].map(([chain, { records, first, last, fault }]) => ({
      chain,
      records,
      first,
      last: last.sequence,
      head: last.hash,
      fault,
    })),
  });

  return { add, report, hashAt: (chain, sequence) => hashes.get(`${chain}\n${sequence}`) };
}

const parseEntry = (text: string): AuditEntry | null => AuditEntry.safeParse(parseJson(text)).data ?? null;

/** What is wrong with a record by itself. */
function findOwnFault(entry: AuditEntry, line: number): Fault | null {
  const { chain, sequence, previousHash, outboxId, body, hash } = entry;
  const before = { sequence: sequence - 1, hash: previousHash };
  const expected = chainRecord(chain, before, outboxId, body);
  if (expected.hash !== hash || sequence < 1) {
    return { kind: 'changed', line, sequence, message: 'its hash is not that of what it says in this chain' };
  }
  if (sequence === 1 && previousHash !== CHAIN_START) {
    return { kind: 'unlinked', line, sequence, message: 'it is the first, and names one before it' };
  }
  return null;
}

function findLinkFault(last: Tail, entry: AuditEntry, line: number, isFiltered: boolean): Fault | null {
  const { sequence } = entry;
  const fault = (kind: FaultKind, message: string): Fault => ({ kind, line, sequence, message });
  if (sequence === last.sequence) return fault('doubled', `record ${sequence} comes twice`);
  if (sequence < last.sequence) return fault('reordered', `it comes after record ${last.sequence}`);
  if (sequence > last.sequence + 1) {
    if (isFiltered) return null;
    const gap = toRange(last.sequence + 1, sequence - 1);
    return fault('missing', `${gap} missing before it`);
  }
  if (entry.previousHash === last.hash) return null;
  return fault('unlinked', `it was chained to another record ${last.sequence} than the one here`);
}

const toRange = (from: number, to: number): string =>
  from === to ? `record ${from} is` : `records ${from} to ${to} are`;

/** What was taken for a gap was a change of the order, when its record comes later. */
function classify(state: State, { sequence }: AuditEntry): void {
  const { gap, fault } = state;
  if (gap === null || fault === null || sequence < gap.from || sequence > gap.to) return;
  state.fault = { ...fault, kind: 'reordered', message: `it comes before record ${sequence}` };
  state.gap = null;
}
