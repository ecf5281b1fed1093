// Any server's wrapping under a key version.
import type { KekId } from '../domain/key-id.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { SampleWrapping } from './observe-kek.ts';
import { pagesOf } from './server-pages.ts';

/** Reads on until one is found: rarely asked, only where no canary can be made. */
export const makeFindWrapping =
  ({ servers }: { readonly servers: ServerStore }) =>
  async (kek: KekId, version: string): Promise<SampleWrapping | undefined> => {
    for await (const page of pagesOf(servers, kek, 1000)) {
      const found = page.rows.find(({ value }) => value.wrapped.kekVersion === version);
      if (found !== undefined) return { serverId: found.value.serverId, wrapped: found.value.wrapped };
    }
    return undefined;
  };
