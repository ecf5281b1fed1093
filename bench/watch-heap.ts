// Imported into a process that is measured (NODE_OPTIONS=--import): after each full collection it says how much of the
// heap is alive. Resident memory says what V8 has taken; this says what the program needs.
import { constants, PerformanceObserver } from 'node:perf_hooks';

const observer = new PerformanceObserver((list) => {
  const isMajor = list.getEntries().some((entry) => {
    const detail: unknown = Reflect.get(entry, 'detail');
    return (
      typeof detail === 'object' &&
      detail !== null &&
      Reflect.get(detail, 'kind') === constants.NODE_PERFORMANCE_GC_MAJOR
    );
  });
  if (isMajor) process.stderr.write(`live-heap ${process.memoryUsage().heapUsed}\n`);
});
observer.observe({ entryTypes: ['gc'] });
