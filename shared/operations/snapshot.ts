// A KEK as decisions see it: without the tags of the store.
import type { KekSnapshot } from '../domain/kek.ts';
import type { StoredKek } from '../ports/kek-store.ts';

export const toSnapshot = (stored: StoredKek): KekSnapshot => ({
  kek: stored.kek.value,
  versions: stored.versions.map((one) => one.value),
});
