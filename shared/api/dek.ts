// The release of a DEK to its own server (design 9).
import * as z from 'zod';
import { Instant, KeyUrl, ServerId } from './common.ts';
import { RegisteredServer } from './servers.ts';

export const DekBody = z
  .strictObject({
    publicKey: z.looseObject({ kty: z.string(), crv: z.string() }).meta({
      description: 'A public JWK, P-256 or X25519, made for this request and thrown away after it.',
    }),
  })
  .meta({ id: 'DekBody' });

export const ReleasedDek = z
  .object({
    serverId: ServerId,
    dekId: z.string(),
    jwe: z.string().meta({
      description:
        'Compact JWE, ECDH-ES and A256GCM: the 32 bytes of the DEK. Its protected header names the server (`sub`), the DEK (`dekId`) and the end of the lease (`exp`).',
    }),
    leaseExpiresOn: Instant,
    keyId: KeyUrl,
    wrappedDek: RegisteredServer.shape.wrappedDek,
  })
  .meta({ id: 'ReleasedDek' });
export type ReleasedDek = z.infer<typeof ReleasedDek>;
