// What is loaded when it is first needed.

/**
 * Makes it once, by the first call; a call after one that failed tries again.
 * In Azure an instance runs one function of the app: what that doesn't need isn't read at its start.
 */
export function loadOnce<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
