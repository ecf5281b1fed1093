// Imported into a process that is measured (NODE_OPTIONS=--import): says after each full collection how much of the heap
// was left by it. Resident memory says what V8 has taken; this says what the program needs.
import { GCProfiler } from 'node:v8';

const EVERY_MS = 1000;

let profiler = new GCProfiler();
profiler.start();
setInterval(() => {
  const { statistics } = profiler.stop();
  profiler = new GCProfiler();
  profiler.start();
  for (const { gcType, afterGC } of statistics) {
    if (gcType === 'MarkSweepCompact')
      process.stderr.write(`live-heap ${afterGC.heapStatistics.usedHeapSize}\n`);
  }
}, EVERY_MS).unref();
