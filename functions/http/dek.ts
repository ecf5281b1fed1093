// The release of a DEK to its own server (design 6 and 9).
import { keyUrl } from '../../shared/domain/key-id.ts';
import type { ReleaseDek } from '../../shared/operations/release-dek.ts';
import type { Handlers } from './route.ts';

export interface DekPorts {
  readonly releaseDek: ReleaseDek;
}

export const makeDekHandlers = ({ releaseDek }: DekPorts): Pick<Handlers, 'releaseDek'> => ({
  releaseDek: async ({ params: { serverId }, body: { publicKey }, caller }) => {
    const { principalId } = caller;
    const { kek, wrapped, jwe, leaseExpiresOn } = await releaseDek({ serverId, principalId, publicKey });
    return {
      status: 200,
      body: {
        serverId,
        dekId: wrapped.dekId,
        jwe,
        leaseExpiresOn: leaseExpiresOn.toISOString(),
        keyId: keyUrl(kek, wrapped.kekVersion),
        wrappedDek: { ...wrapped },
      },
    };
  },
});
