// The audit log of the vaults, through an event hub: up to ten minutes late, but it tells of disabling, enabling,
// deleting and recovering, which Key Vault's events don't, and of who did it.
import { parseAuditRecord, readRecordId, splitRecords } from './parse-audit-record.ts';
import { type EventPorts, orReject, takeAll } from './take-events.ts';

const SOURCE = 'keyVaultAuditLog';

/** Takes one message or an array of them. One bad record spoils nothing: it is recorded, the others are taken. */
export const makeKeyVaultAuditLogHandler =
  ({ submitHint, rejectInput, vaultRules }: EventPorts) =>
  async (input: unknown): Promise<void> => {
    const takeRecord = async (record: unknown): Promise<void> => {
      const hint = await orReject(
        () => parseAuditRecord(record, vaultRules),
        (problem) => rejectInput({ source: SOURCE, id: readRecordId(record), problem }),
      );
      if (hint !== 'ignored') await submitHint(hint);
    };
    const takeMessage = async (message: unknown): Promise<void> => {
      const records = await orReject(
        () => splitRecords(message),
        (problem) => rejectInput({ source: SOURCE, id: null, problem }),
      );
      if (records !== 'ignored') await takeAll(records, takeRecord);
    };
    await takeAll(Array.isArray(input) ? input : [input], takeMessage);
  };
