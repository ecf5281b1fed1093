// The store's ETag of the resource that a path names: what If-Match and If-None-Match are held against.

import { isCmkError } from '../../shared/domain/errors.ts';
import { kekTag } from '../../shared/domain/kek.ts';
import { parseKekId } from '../../shared/domain/key-id.ts';
import type { ReadServer } from '../../shared/operations/list-servers.ts';
import type { ReadKek } from '../../shared/operations/read-keks.ts';

export interface ReadTagPorts {
  readonly readServer: ReadServer;
  readonly readKek: ReadKek;
}

/** undefined: there is no such resource. */
export type ReadTag = (params: Readonly<Record<string, unknown>>) => Promise<string | undefined>;

export const makeReadTag =
  ({ readServer, readKek }: ReadTagPorts): ReadTag =>
  async ({ serverId, vault, name }) => {
    try {
      if (typeof serverId === 'string') return (await readServer(serverId)).stored.etag;
      return kekTag((await readKek(parseKekId(String(vault), String(name)))).stored.kek.value);
    } catch (error) {
      if (isCmkError(error, 'ServerNotFound') || isCmkError(error, 'KekNotFound')) return undefined;
      throw error;
    }
  };
