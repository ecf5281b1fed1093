// The Escrow port on blobs: one blob per server and KEK, written once.
import * as z from 'zod';
import { CmkError, isCmkError } from '../domain/errors.ts';
import { isSameKek, type KekId, parseKekId } from '../domain/key-id.ts';
import { WRAP_ALGORITHM, type WrappedDek } from '../domain/wrapped-dek.ts';
import type { Escrow } from '../ports/escrow.ts';
import { openContainer, statusOf } from './blob-container.ts';
import { storageUnavailable, withinLimit } from './storage-client.ts';
import type { StorageConnection } from './tables/storage-connection.ts';

const CONTAINER = 'dek-escrow';

const Filed = z.object({
  schema: z.literal(1),
  serverId: z.string(),
  vault: z.string(),
  key: z.string(),
  wrapped: z.object({
    kekVersion: z.string().regex(/^[0-9a-f]{32}$/),
    algorithm: z.literal(WRAP_ALGORITHM),
    format: z.enum(['bound-1', 'bare-0']),
    dekId: z.string().regex(/^[0-9a-f]{32}$/),
    ciphertext: z.string().regex(/^[\w-]+$/),
  }),
});

/** `{serverId}/{vault}/{key}.json`; a vault's port, which only an emulator has, is set off by `_`. */
export const escrowBlobName = (serverId: string, kek: KekId): string =>
  `${serverId}/${kek.vault.replace(':', '_')}/${kek.name}.json`;

/** A name that is none of ours ends a list: a purge must not pass over a wrapping in silence. */
function fromBlobName(name: string, serverId: string): KekId {
  const [vault = '', key = ''] = name.slice(serverId.length + 1).split('/');
  try {
    return parseKekId(vault.replace('_', ':'), key.replace(/\.json$/, ''));
  } catch (cause) {
    throw new CmkError(
      'InvalidRow',
      `in the escrow of ${serverId} is a blob that the app did not put there`,
      {
        remedy: `Look at the blob ${name} in ${CONTAINER}, and take it away.`,
        cause,
      },
    );
  }
}

export function makeBlobEscrow(connection: StorageConnection): Escrow {
  const open = openContainer(connection, CONTAINER);
  const blobOf = async (serverId: string, kek: KekId) =>
    (await open()).getBlockBlobClient(escrowBlobName(serverId, kek));

  const find = async (serverId: string, kek: KekId): Promise<WrappedDek | undefined> => {
    const blob = await blobOf(serverId, kek);
    let text: string;
    try {
      text = (
        await withinLimit((abortSignal) => blob.downloadToBuffer(undefined, undefined, { abortSignal }))
      ).toString();
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw storageUnavailable('the escrow could not be read', error);
    }
    return parseFiled(text, serverId, kek);
  };

  return {
    async file(serverId, kek, wrapped) {
      const filed: z.input<typeof Filed> = { schema: 1, serverId, vault: kek.vault, key: kek.name, wrapped };
      const text = JSON.stringify(filed);
      const blob = await blobOf(serverId, kek);
      try {
        await withinLimit((abortSignal) =>
          blob.upload(text, Buffer.byteLength(text), {
            abortSignal,
            conditions: { ifNoneMatch: '*' },
            blobHTTPHeaders: { blobContentType: 'application/json' },
          }),
        );
        return wrapped;
      } catch (error) {
        // 409 BlobAlreadyExists, or 412: someone was first, perhaps an attempt of ours whose answer was lost.
        if (![409, 412].includes(statusOf(error)))
          throw storageUnavailable('the escrow took no wrapping', error);
        const held = await find(serverId, kek);
        if (held === undefined) throw storageUnavailable('the escrow has a wrapping and then has not', error);
        return held;
      }
    },
    find,
    placeOf: (serverId, kek) => `the blob ${escrowBlobName(serverId, kek)} in ${CONTAINER}`,
    async list(serverId) {
      const container = await open();
      try {
        return await withinLimit(async (abortSignal) => {
          const keks: KekId[] = [];
          for await (const { name } of container.listBlobsFlat({ prefix: `${serverId}/`, abortSignal }))
            keks.push(fromBlobName(name, serverId));
          return keks;
        });
      } catch (error) {
        throw isCmkError(error) ? error : storageUnavailable('the escrow could not be listed', error);
      }
    },
    async remove(serverId, kek) {
      const blob = await blobOf(serverId, kek);
      try {
        await withinLimit((abortSignal) => blob.deleteIfExists({ deleteSnapshots: 'include', abortSignal }));
      } catch (error) {
        throw storageUnavailable('the escrow did not give up a wrapping', error);
      }
    },
  };
}

function parseFiled(text: string, serverId: string, kek: KekId): WrappedDek {
  try {
    const filed = Filed.parse(JSON.parse(text));
    if (filed.serverId !== serverId || !isSameKek(parseKekId(filed.vault, filed.key), kek)) {
      throw new RangeError('it is about another server or KEK');
    }
    return filed.wrapped;
  } catch (cause) {
    // The cause may quote the text.
    throw new CmkError('InvalidRow', `the escrow of ${serverId} does not parse`, {
      remedy: `Look at the blob ${escrowBlobName(serverId, kek)} in ${CONTAINER}; put back an earlier version of it.`,
      detail: { problem: cause instanceof RangeError ? cause.message : 'malformed' },
    });
  }
}
