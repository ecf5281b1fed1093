// A key as the API shows it.
import { KeyDetail } from '../../shared/api/keys.ts';
import { parseAnswer } from '../answers.ts';
import { keyPath, type parseKey } from '../arguments.ts';
import type { ApiClient } from '../client.ts';

/** @param counted its servers are counted for the answer */
export async function readKey(
  api: ApiClient,
  key: ReturnType<typeof parseKey>,
  counted = false,
): Promise<KeyDetail> {
  const query = counted ? { count: 'now' } : {};
  return parseAnswer(KeyDetail, await api.request('GET', keyPath(key), { query }));
}
