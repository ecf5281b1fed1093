// Who calls the HTTP API (design 9).
import type { Caller } from '../domain/caller.ts';

/**
 * Who sent a request, by its `Authorization` header.
 * @throws CmkError AuthNotConfigured, IssuerUnavailable (retryable), TokenMissing, TokenMalformed,
 *   TokenAlgorithmRefused, TokenKeyUnknown, TokenSignatureWrong, TokenIssuerWrong, TokenAudienceWrong, TokenExpired,
 *   TokenNotYetValid
 */
export type VerifyToken = (authorization: string | undefined) => Promise<Caller>;
