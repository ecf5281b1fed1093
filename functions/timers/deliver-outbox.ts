// Timer: move audit records into their chains and publish own events. The timer's lock makes it the one writer.

export interface DeliverOutboxPorts {
  readonly deliverOutbox: () => Promise<void>;
}

export const makeDeliverOutboxHandler =
  ({ deliverOutbox }: DeliverOutboxPorts) =>
  (): Promise<void> =>
    deliverOutbox();
