// What is due for the current version of a key as time passes: near-expiry and expiry notices, rotation by policy.
import { parseDurationSeconds } from './duration.ts';
import type { KeyRecord, KeyVersion, LifetimeAction, RotationPolicy } from './key-record.ts';

export type DueAction = 'nearExpiry' | 'expired' | 'rotate';

const DEFAULT_NOTICE_SECONDS = 30 * 86_400;

/** For the current version only: the service announces nothing about older ones. Disabled versions are announced too. */
export function decideDue(key: KeyVersion, policy: KeyRecord['policy'], now: number): readonly DueAction[] {
  const due: DueAction[] = [];
  if (key.exp !== null) {
    if (!key.nearExpiryRaised && now >= key.exp - noticeSeconds(policy)) due.push('nearExpiry');
    if (!key.expiredRaised && now >= key.exp) due.push('expired');
  }
  if (policy?.lifetimeActions.some((action) => isRotationDue(action, key, now)) === true) due.push('rotate');
  return due;
}

// The policy's own notice counts only together with an expiry time on it (azure-facts 1.2).
function noticeSeconds(policy: RotationPolicy | null): number {
  const notice = policy?.lifetimeActions.find((action) => action.action.type === 'Notify');
  const text = policy?.expiryTime === null ? undefined : notice?.trigger.timeBeforeExpiry;
  return (text === undefined ? null : parseDurationSeconds(text)) ?? DEFAULT_NOTICE_SECONDS;
}

function isRotationDue({ action, trigger }: LifetimeAction, key: KeyVersion, now: number): boolean {
  if (action.type !== 'Rotate') return false;
  const afterCreate = parseDurationSeconds(trigger.timeAfterCreate ?? '');
  const beforeExpiry = parseDurationSeconds(trigger.timeBeforeExpiry ?? '');
  if (afterCreate !== null) return now >= key.created + afterCreate;
  return beforeExpiry !== null && key.exp !== null && now >= key.exp - beforeExpiry;
}

/** `exp` of a version that is rotated in now. */
export function expiryOfRotated(policy: RotationPolicy | null, now: number): number | null {
  const seconds = parseDurationSeconds(policy?.expiryTime ?? '');
  return seconds === null ? null : now + seconds;
}
