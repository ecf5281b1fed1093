// What can be wrong with keys, from what the API says of them.
import type { Key } from '../../shared/api/keys.ts';
import { type Finding, finding } from './finding.ts';

const DAY_MS = 86_400_000;
const WARN_DAYS = 30;
const ERROR_DAYS = 3;
/** Event Grid tells of new versions and of what nears its end; between two of those a year may pass. */
const QUIET_DAYS = 400;
/** Some sweeps: the census is older than that only where none runs. */
const STALE_CENSUS_MS = 3_600_000;

export const checkKeys = (keys: readonly Key[], now: Date): readonly Finding[] => [
  finding('keys', 'ok', `${keys.length} are held`),
  ...keys.flatMap((key) => [
    ...checkVersions(key, now),
    ...checkExpiry(key, now),
    ...checkRotation(key),
    ...checkEvents(key, now),
    ...checkCensus(key, now),
  ]),
];

const nameOf = ({ vault, name }: Key): string => `${vault}/${name}`;

const checkVersions = (key: Key, now: Date): readonly Finding[] =>
  key.versions
    .filter(({ inUse, status }) => inUse && status !== 'usable')
    .map(({ version, status, verdict, reason, remedy, since }) => {
      const minutes = Math.round((now.getTime() - new Date(since).getTime()) / 60_000);
      const time = minutes === 0 ? 'less than a minute' : `${minutes} min`;
      const isLost = verdict === 'revoke';
      const what = isLost ? 'access is taken away' : 'access is not taken away for it so far';
      return finding(
        `key ${nameOf(key)}`,
        isLost ? 'error' : 'warning',
        `version ${version} has been ${status} for ${time}: ${reason ?? 'no reason'}; ${what}`,
        remedy,
      );
    });

function checkExpiry(key: Key, now: Date): readonly Finding[] {
  return key.versions.flatMap(({ version, inUse, expiresOn }) => {
    if (!inUse || expiresOn === null) return [];
    const days = (new Date(expiresOn).getTime() - now.getTime()) / DAY_MS;
    if (days > WARN_DAYS) return [];
    const when =
      days <= 0 ? `expired at ${expiresOn}` : `expires in ${Math.floor(days)} days, at ${expiresOn}`;
    const remedy =
      version === key.target
        ? 'Create a new version, or extend the expiry; pg-cmk impact --of expire shows what would happen.'
        : 'Servers are still on it: see pg-cmk servers --version, and pg-cmk rotate.';
    return [
      finding(
        `key ${nameOf(key)}`,
        days <= ERROR_DAYS ? 'error' : 'warning',
        `version ${version} ${when}`,
        remedy,
      ),
    ];
  });
}

function checkRotation(key: Key): readonly Finding[] {
  const { rotation, hold, policy } = key;
  const check = `key ${nameOf(key)}`;
  return [
    ...(rotation.state === 'halted'
      ? [
          finding(
            check,
            'warning',
            `its rotation halted after ${rotation.failures} failures`,
            'See pg-cmk keys show --count; resume by pg-cmk rotate.',
          ),
        ]
      : []),
    ...(rotation.state === 'blocked'
      ? [
          finding(
            check,
            'warning',
            `its rotation is blocked: ${rotation.reason} of ${rotation.newest}`,
            'Make the newest version usable; everything stays on the old one so far.',
          ),
        ]
      : []),
    ...(policy.rewrapPaused
      ? [finding(check, 'info', 'its rotations are paused', 'pg-cmk keys policy --resume')]
      : []),
    ...(hold === null
      ? []
      : [
          finding(
            check,
            'warning',
            `held by ${hold.by} since ${hold.since}: ${hold.reason}`,
            'pg-cmk keys restore, once it is over.',
          ),
        ]),
    ...(key.target === null
      ? [
          finding(
            check,
            'warning',
            'no version is proven, so nothing can be wrapped',
            'See pg-cmk keys show.',
          ),
        ]
      : []),
  ];
}

/** What runs where the subscription lives: not visible from here. */
const listSubscriptions = ({ vault }: Key): string =>
  `az eventgrid event-subscription list --source-resource-id $(az keyvault show --name ${vault.split('.')[0]} --query id -o tsv)`;

function checkEvents(key: Key, now: Date): readonly Finding[] {
  const check = `events ${nameOf(key)}`;
  const { lastEventAt } = key;
  if (lastEventAt === null) {
    return [
      finding(
        check,
        'warning',
        'no event of it ever arrived: only the probe sees a change',
        `Look at the subscription: ${listSubscriptions(key)}`,
      ),
    ];
  }
  const days = (now.getTime() - new Date(lastEventAt).getTime()) / DAY_MS;
  return days > QUIET_DAYS
    ? [
        finding(
          check,
          'warning',
          `the last event arrived ${Math.floor(days)} days ago`,
          `Look at the subscription: ${listSubscriptions(key)}`,
        ),
      ]
    : [finding(check, 'ok', `the last event arrived at ${lastEventAt}`)];
}

function checkCensus(key: Key, now: Date): readonly Finding[] {
  const { countedAt, notSettled } = key;
  const isStale = countedAt !== null && now.getTime() - new Date(countedAt).getTime() > STALE_CENSUS_MS;
  return [
    ...(isStale
      ? [
          finding(
            `key ${nameOf(key)}`,
            'warning',
            `its servers were last counted at ${countedAt}`,
            'Check that the timer sweepFleet runs.',
          ),
        ]
      : []),
    ...(notSettled !== null && notSettled > 0
      ? [
          finding(
            `key ${nameOf(key)}`,
            'info',
            `${notSettled} servers are not where they should be yet`,
            `pg-cmk servers --key ${nameOf(key)}`,
          ),
        ]
      : []),
    ...(key.newestExport === null
      ? [finding(`key ${nameOf(key)}`, 'info', 'no verified export of the tables is on record', null)]
      : []),
  ];
}
