// What is written down of a rotation's course.
import type { AuditRecord, Cause } from '../domain/audit.ts';
import type { KekState } from '../domain/kek.ts';

/** Under the epoch and the target of `kek`, as it is from then on. */
export const toRotationRecord = (
  { epoch, target }: KekState,
  reason: 'wave' | 'halted' | 'resumed' | 'completed',
  cause: Cause,
  at: Date,
  detail: AuditRecord['detail'] = {},
): AuditRecord => ({
  at,
  action: 'kek.rotation',
  cause,
  servers: [],
  versionBefore: null,
  versionAfter: target,
  reason,
  detail: { epoch, ...detail },
});
