import { describe } from 'vitest';
import type { CmkError } from '../../shared/domain/errors.ts';
import { makeMemoryStores } from '../fakes/memory-stores.ts';
import { describeKekStore } from './kek-store.ts';
import { describeOutboxStore } from './outbox-store.ts';
import { describeServerStore } from './server-store.ts';
import type { StartStores } from './stores.ts';

const start: StartStores = () => {
  const invalid: CmkError[] = [];
  const stores = makeMemoryStores({ onInvalid: (error) => invalid.push(error) });
  const { spoilServer, spoilKek } = stores;
  return { stores, invalid, spoilServer, spoilKek, stop: () => undefined };
};

describe('stores in memory', () => {
  describeKekStore(start);
  describeServerStore(start);
  describeOutboxStore(start);
});
