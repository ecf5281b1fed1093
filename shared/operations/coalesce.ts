// One run for many callers.

/**
 * Calls of one key that come while another of it is under way share the one run that follows: it begins after all of
 * them came, so it answers them all, and it fails for all of them. None is answered by a run that began before it came.
 * @param merge the one that stands for two that wait
 */
export function coalesce<T>(
  run: (input: T) => Promise<void>,
  { keyOf, merge }: { readonly keyOf: (input: T) => string; readonly merge: (held: T, coming: T) => T },
): (input: T) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  const waiting = new Map<string, { input: T; readonly done: Promise<void> }>();
  const start = (key: string, input: T): Promise<void> => {
    const current = run(input).finally(() => running.delete(key));
    running.set(key, current);
    return current;
  };
  return (input) => {
    const key = keyOf(input);
    const current = running.get(key);
    const next = waiting.get(key);
    if (next !== undefined) {
      next.input = merge(next.input, input);
      return next.done;
    }
    if (current === undefined) return start(key, input);
    const done: Promise<void> = current
      .catch(() => undefined)
      .then(() => {
        waiting.delete(key);
        return start(key, following.input);
      });
    const following = { input, done };
    waiting.set(key, following);
    return done;
  };
}
