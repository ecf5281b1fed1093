// The checks of a server before it is registered: one connection, and whatever can be said of it.
import { type CmkError, isCmkError } from '../domain/errors.ts';
import {
  type CheckCode,
  failed,
  passed,
  type RegistrationCheck,
  skipped,
  warned,
} from '../domain/registration-check.ts';
import { type AccessSpec, isTokenSafe, type PostgresAccess } from '../domain/server-spec.ts';
import type { AccessInspection, ServerAccess } from '../ports/server-access.ts';

/** In the order in which a connection comes to each. */
const STAGES = [
  'ServerNotReachable',
  'ServerCertificateRefused',
  'ServerLoginRefused',
  'ServerRightsLacking',
  'MaintenanceDatabaseOpen',
] as const satisfies readonly CheckCode[];

/** None for a server that only its DEK is cared for. */
export type CheckServer = (access: AccessSpec) => Promise<readonly RegistrationCheck[]>;

/** A server that can't be reached is only warned of: it may be registered before its first start. */
export function makeCheckServer({ access: port }: { readonly access: ServerAccess }): CheckServer {
  return async (access) => {
    if (access.kind === 'none') return [];
    const tls = checkTls(access);
    if (tls.outcome === 'failed')
      return [...STAGES.map((code) => skipped(code, 'The server is not connected to.')), tls];
    return [...(await inspect(port, access)), tls];
  };
}

function checkTls(access: PostgresAccess): RegistrationCheck {
  const code = 'ServerTlsWeak';
  const { tls } = access;
  if (!isTokenSafe(access))
    return failed(
      code,
      `auth entra with tls ${tls} would hand a token to any host.`,
      'Use tls verify-full with auth entra, or auth setting.',
    );
  return tls === 'require' || tls === 'disable'
    ? warned(
        code,
        `With tls ${tls} anyone in between can read and change what is sent.`,
        'Use tls verify-full.',
      )
    : passed(code, `The server proves who it is: tls ${tls}.`);
}

async function inspect(port: ServerAccess, access: PostgresAccess): Promise<readonly RegistrationCheck[]> {
  try {
    return checkInspection(await port.inspect(access), access);
  } catch (error) {
    if (!isCmkError(error)) throw error;
    return checkFailure(error, access);
  }
}

function checkInspection(
  { missingRights, publicConnect }: AccessInspection,
  access: PostgresAccess,
): readonly RegistrationCheck[] {
  const lacking = missingRights.filter((sentence) => sentence !== publicConnect);
  return [
    ...passUpTo('ServerRightsLacking', access),
    lacking.length === 0
      ? passed('ServerRightsLacking', 'The app may close and reopen every database, and end sessions.')
      : failed('ServerRightsLacking', 'A revocation would not be complete.', `${lacking.join('; ')}.`),
    publicConnect === null
      ? passed('MaintenanceDatabaseOpen', 'The maintenance database is closed to PUBLIC.')
      : failed(
          'MaintenanceDatabaseOpen',
          `Anyone may connect to "${access.maintenanceDatabase}", also when access is revoked.`,
          `Run REVOKE CONNECT ON DATABASE ${quote(access.maintenanceDatabase)} FROM PUBLIC;`,
        ),
  ];
}

/** A name as SQL has it. */
const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

function checkFailure(error: CmkError, access: PostgresAccess): readonly RegistrationCheck[] {
  const { message, remedy } = error;
  const rest = (code: (typeof STAGES)[number]) =>
    STAGES.slice(STAGES.indexOf(code) + 1).map((one) => skipped(one, 'The connection did not come to it.'));
  switch (error.code) {
    case 'ServerUnreachable':
      return [warned('ServerNotReachable', message, remedy), ...rest('ServerNotReachable')];
    case 'ServerTlsFailed':
      return [
        passed('ServerNotReachable', 'The server answers.'),
        failed('ServerCertificateRefused', message, remedy),
        ...rest('ServerCertificateRefused'),
      ];
    case 'SecretSettingMissing':
    case 'ServerHostRefused':
      return [
        ...skipUpToLogin(),
        failed('ServerLoginRefused', message, remedy),
        ...rest('ServerLoginRefused'),
      ];
    case 'ServerAuthFailed':
      // No token for a moment: the server itself was not asked, and has refused nothing.
      return error.retryable
        ? [...skipUpToLogin(), warned('ServerLoginRefused', message, remedy), ...rest('ServerLoginRefused')]
        : [
            ...passUpTo('ServerLoginRefused', access),
            failed('ServerLoginRefused', message, remedy),
            ...rest('ServerLoginRefused'),
          ];
    case 'ServerRightsMissing':
      return [
        ...passUpTo('ServerRightsLacking', access),
        failed('ServerRightsLacking', message, remedy),
        ...rest('ServerRightsLacking'),
      ];
    default:
      throw error;
  }
}

const skipUpToLogin = () =>
  (['ServerNotReachable', 'ServerCertificateRefused'] as const).map((code) =>
    skipped(code, 'There is nothing to log in with, so the server was not connected to.'),
  );

function passUpTo(code: (typeof STAGES)[number], { tls }: PostgresAccess): readonly RegistrationCheck[] {
  const isChecked = tls === 'verify-full' || tls === 'verify-ca';
  const all = [
    passed('ServerNotReachable', 'The server answers.'),
    isChecked
      ? passed('ServerCertificateRefused', "The server's certificate is accepted.")
      : skipped('ServerCertificateRefused', `tls ${tls} looks at no certificate.`),
    passed('ServerLoginRefused', "The app's login is accepted."),
  ];
  return all.slice(0, STAGES.indexOf(code));
}
