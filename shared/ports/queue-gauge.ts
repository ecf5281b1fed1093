// How full the queues are.

export interface QueueDepth {
  /** As the queue is named; poison queues end in `-poison`. */
  readonly queue: string;
  /** About so many messages; those out of sight are counted too. */
  readonly messages: number;
}

export interface QueueGauge {
  /** Of every queue of the app. @throws CmkError StoreUnavailable (retryable) */
  depths(): Promise<readonly QueueDepth[]>;
}
