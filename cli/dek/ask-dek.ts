// One request for the DEK: a key pair that lives for it alone, and every check of what comes back.
import { compactDecrypt, exportJWK, generateKeyPair } from 'jose';
import * as z from 'zod';
import { ReleasedDek } from '../../shared/api/dek.ts';
import { Dek } from '../../shared/domain/dek.ts';
import { CliError, cliError } from '../cli-error.ts';
import type { ApiClient } from '../client.ts';
import { EXIT } from '../exit-codes.ts';
import type { DekHost } from './host.ts';

export interface Lease {
  readonly dekId: string;
  /** By the monotonic clock of this machine. */
  readonly beganAtMs: number;
  readonly endsAtMs: number;
  /** By the app's clock; for people. */
  readonly expiresOn: string;
  readonly keyId: string;
  readonly wrappedDek: ReleasedDek['wrappedDek'];
}

export interface HeldDek {
  readonly dek: Dek;
  readonly lease: Lease;
}

const Header = z.object({
  typ: z.literal('pg-cmk-dek+jwe'),
  sub: z.string(),
  dekId: z.string(),
  iat: z.int(),
  exp: z.int(),
});

/**
 * The caller disposes of the DEK. The lease counts from before the request was sent, by this machine's own clock: so
 * it never ends later here than the app has it on record, whatever the two clocks say.
 * @throws ApiProblem, CliError of the client, and DekNotTrusted: what came is not the DEK of this server
 */
export async function askDek(
  api: ApiClient,
  host: Pick<DekHost, 'monotonicMs'>,
  serverId: string,
  signal?: AbortSignal,
): Promise<HeldDek> {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { crv: 'X25519' });
  const beganAtMs = host.monotonicMs();
  const { body } = await api.request('POST', `/api/servers/${encodeURIComponent(serverId)}/dek`, {
    body: { publicKey: await exportJWK(publicKey) },
    ...(signal === undefined ? {} : { signal }),
  });
  const parsed = ReleasedDek.safeParse(body);
  if (!parsed.success) {
    throw cliError(
      'AnswerNotUnderstood',
      'the app answered with something that is no released DEK',
      'Check that the app and pg-cmk are of the same release.',
      parsed.error,
    );
  }
  const answer = parsed.data;
  const { plaintext, protectedHeader } = await compactDecrypt(answer.jwe, privateKey, {
    keyManagementAlgorithms: ['ECDH-ES'],
    contentEncryptionAlgorithms: ['A256GCM'],
  }).catch((error: unknown) => {
    throw notTrusted('it does not open with the key of this request', error);
  });
  const dek = toDek(plaintext);
  try {
    const seconds = checkHeader(protectedHeader, answer, serverId);
    if (!dek.hasId(answer.dekId)) throw notTrusted('its bytes are not those of the DEK that it is named as');
    const { dekId, leaseExpiresOn: expiresOn, keyId, wrappedDek } = answer;
    const endsAtMs = beganAtMs + seconds * 1000;
    return { dek, lease: { dekId, beganAtMs, endsAtMs, expiresOn, keyId, wrappedDek } };
  } catch (error) {
    dek[Symbol.dispose]();
    throw error;
  }
}

/** Takes ownership of the bytes. */
function toDek(plaintext: Uint8Array): Dek {
  try {
    return new Dek(plaintext);
  } catch (error) {
    throw notTrusted('it has another length than a DEK', error);
  }
}

/** What is protected with the DEK must say the same as the answer around it. Returns the seconds of the lease. */
function checkHeader(protectedHeader: unknown, answer: ReleasedDek, serverId: string): number {
  const header = Header.safeParse(protectedHeader);
  if (!header.success) throw notTrusted('its protected header lacks what a DEK is sealed with', header.error);
  const { sub, dekId, iat, exp } = header.data;
  if (sub !== serverId || answer.serverId !== serverId) throw notTrusted(`it is sealed for ${sub}`);
  if (dekId !== answer.dekId || dekId !== answer.wrappedDek.dekId) {
    throw notTrusted('it is sealed as another DEK than the answer names');
  }
  if (exp !== Math.floor(Date.parse(answer.leaseExpiresOn) / 1000) || exp <= iat) {
    throw notTrusted('its lease is another than the answer names');
  }
  return exp - iat;
}

const notTrusted = (why: string, cause?: unknown) =>
  new CliError('DekNotTrusted', `what the app sent is not taken for the DEK: ${why}`, {
    remedy: 'Do not use it. Check what stands between this machine and the app, and look at the audit.',
    exitCode: EXIT.unexpected,
    cause,
  });
