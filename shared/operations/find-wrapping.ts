// Any server's wrapping under a key version.
import type { KekId } from '../domain/key-id.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { SampleWrapping } from './observe-kek.ts';

/** Reads on until one is found: rarely asked, only where no canary can be made. */
export const makeFindWrapping =
  ({ servers }: { readonly servers: ServerStore }) =>
  async (kek: KekId, version: string): Promise<SampleWrapping | undefined> => {
    let after: string | null = null;
    do {
      const page = await servers.page(kek, { after, from: null, to: null, limit: 1000 });
      const found = page.rows.find(({ value }) => value.wrapped.kekVersion === version);
      if (found !== undefined) return { serverId: found.value.serverId, wrapped: found.value.wrapped };
      after = page.next;
    } while (after !== null);
    return undefined;
  };
