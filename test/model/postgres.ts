// A PostgreSQL server of the machine: which databases take connections, which of them we have closed, and the newest
// order that it has seen.

export type OrderAnswer =
  | { readonly kind: 'applied' }
  | { readonly kind: 'overtaken'; readonly epoch: number }
  | { readonly kind: 'unreachable' };

export class Postgres {
  readonly open = new Set(['app', 'postgres', 'template1']);
  readonly closedByUs = new Set<string>();
  record: { readonly epoch: number; readonly desired: 'granted' | 'revoked' } | null = null;
  up = true;
  /** Orders that came too late. */
  refused = 0;
  readonly #forgetsClosed: boolean;

  constructor(forgetsClosed: boolean) {
    this.#forgetsClosed = forgetsClosed;
  }

  /** One transaction, fenced by the epoch. */
  order(work: 'revoke' | 'restore', epoch: number): OrderAnswer {
    if (!this.up) return { kind: 'unreachable' };
    const desired = work === 'revoke' ? 'revoked' : 'granted';
    const { record } = this;
    if (record !== null && (record.epoch > epoch || (record.epoch === epoch && record.desired !== desired))) {
      this.refused += 1;
      return { kind: 'overtaken', epoch: record.epoch };
    }
    this.record = { epoch, desired };
    if (work === 'revoke') {
      if (!this.#forgetsClosed) for (const name of this.open) this.closedByUs.add(name);
      this.open.clear();
    } else {
      for (const name of this.closedByUs) this.open.add(name);
      this.closedByUs.clear();
    }
    return { kind: 'applied' };
  }
}
