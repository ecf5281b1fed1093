// So many at a time, the others in the order they came.

export interface Lane {
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function makeLane(width: number): Lane {
  let free = width;
  const waiting: (() => void)[] = [];
  return {
    async run(work) {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}
