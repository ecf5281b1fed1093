// The app's own public keys, by which its statements are checked offline.
import type { StatementSigner } from '../../shared/ports/statement-signer.ts';
import type { Handlers } from './route.ts';

export interface SigningKeyPorts {
  readonly signer: StatementSigner;
}

export const makeSigningKeyHandlers = ({ signer }: SigningKeyPorts): Pick<Handlers, 'readSigningKeys'> => ({
  readSigningKeys: async () => {
    const { keys } = await signer.publicKeys();
    return {
      status: 200,
      body: { keys: keys.map((key) => ({ ...key, kty: String(key['kty']), kid: String(key['kid']) })) },
    };
  },
});
