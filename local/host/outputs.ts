// Output bindings: what a successful invocation left for storage queues. HTTP results are the server's business.
import type { TypedData } from './core-types.ts';
import type { WriteOutputs } from './invoke.ts';
import { limited, type QueueClients } from './queue-clients.ts';

export function makeWriteOutputs(clients: QueueClients): WriteOutputs {
  return async (fn, response) => {
    for (const binding of fn.outputs) {
      if (binding.type.toLowerCase() !== 'queue') continue;
      const value =
        binding.name === '$return'
          ? response.returnValue
          : response.outputData?.find(({ name }) => name === binding.name)?.data;
      if (value === undefined || value === null) continue;
      const { queue } = clients.forBinding(fn, binding);
      await queue.createIfNotExists(limited());
      for (const text of toMessages(value)) await queue.sendMessage(clients.encode(text), limited());
    }
  };
}

/** An array becomes one message an element; anything else is one message. */
function toMessages(value: TypedData): readonly string[] {
  if (value.json !== undefined) {
    const parsed: unknown = JSON.parse(value.json);
    if (!Array.isArray(parsed)) return [value.json];
    return parsed.map((item: unknown) => (typeof item === 'string' ? item : JSON.stringify(item)));
  }
  if (value.bytes !== undefined) return [Buffer.from(value.bytes).toString('utf8')];
  return [value.string ?? String(value.int ?? value.double ?? '')];
}
