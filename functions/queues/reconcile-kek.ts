// Queue `reconcile-keks`: look at one KEK.
import type { ReconcileMessage } from '../../shared/domain/message.ts';
import { parseReconcileMessage } from './parse-message.ts';
import { makeMessageHandler, type RejectPort, readInsertedAt } from './take-message.ts';

export interface ReconcileKekPorts extends RejectPort {
  /** `insertedAt`: when the message was queued, so that a later look at the KEK answers it too. */
  readonly reconcileKek: (message: ReconcileMessage, insertedAt: Date | null) => Promise<void>;
}

export const makeReconcileKekHandler = (ports: ReconcileKekPorts) =>
  makeMessageHandler(
    'reconcileKek',
    parseReconcileMessage,
    (message, context) => ports.reconcileKek(message, readInsertedAt(context)),
    ports,
  );
