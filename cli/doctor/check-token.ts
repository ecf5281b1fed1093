// What the caller's own token says, read and not checked: the app does that. Nothing of it is printed but names.
import { decodeJwt, type JWTPayload } from 'jose';
import { ROLES } from '../../shared/domain/caller.ts';
import type { TokenSource } from '../token.ts';
import { type Finding, finding } from './finding.ts';

const SOON_MS = 5 * 60_000;

export async function checkToken(token: TokenSource, now: Date): Promise<readonly Finding[]> {
  let claims: JWTPayload;
  try {
    claims = decodeJwt(await token());
  } catch (error) {
    // An opaque token can't be read here; what the source throws says its own remedy.
    if (!(error instanceof Error) || !error.name.startsWith('JWT')) throw error;
    return [
      finding(
        'token',
        'unseen',
        'it is no JWT, and can not be read here',
        'The app says whether it accepts it.',
      ),
    ];
  }
  return [checkExpiry(claims, now), checkRoles(claims)];
}

function checkExpiry({ exp }: JWTPayload, now: Date): Finding {
  if (exp === undefined)
    return finding('token', 'error', 'it never expires: the app refuses it', 'Get one that does.');
  const left = exp * 1000 - now.getTime();
  const until = new Date(exp * 1000).toISOString();
  if (left <= 0) return finding('token', 'error', `it expired at ${until}`, 'Get a new one.');
  return left < SOON_MS
    ? finding('token', 'info', `it expires soon, at ${until}`, 'Get a new one before long work.')
    : finding('token', 'ok', `it expires at ${until}`);
}

/** The claim's name is the app's setting: `roles` unless it was changed. */
function checkRoles({ roles }: JWTPayload): Finding {
  const given: readonly unknown[] = Array.isArray(roles)
    ? roles
    : typeof roles === 'string'
      ? roles.split(/\s+/)
      : [];
  const known = ROLES.filter((role) => given.includes(role));
  if (known.includes('Fleet.Read')) return finding('roles', 'ok', known.join(', '));
  return finding(
    'roles',
    known.length === 0 ? 'unseen' : 'info',
    known.length === 0 ? 'the claim `roles` holds none of pg-cmk' : `${known.join(', ')}, and not Fleet.Read`,
    'Assign Fleet.Read to look at the fleet; roles in another claim (PGCMK_AUTH_ROLES_CLAIM) are not seen here.',
  );
}
