// The later of two instants, of which one may not be there.

/** null: neither is there. */
export const laterOf = <T extends Date | null>(one: Date | null, other: T): Date | T =>
  one !== null && (other === null || one > other) ? one : other;
