// The parts of the bench, in the order in which they run.
import { coldImport } from './cold-import.ts';
import { detection, detectionOfKeks, detectionOfOneKek, detectionOfServers } from './detection.ts';
import { growth } from './growth.ts';
import { hints } from './hints.ts';
import { limits } from './limits.ts';
import type { BenchPart } from './part.ts';
import { profile } from './profile.ts';
import { reading } from './reading.ts';
import { rotation } from './rotation.ts';

export const PARTS: readonly BenchPart[] = [
  coldImport,
  rotation,
  limits,
  hints,
  detection,
  detectionOfOneKek,
  detectionOfServers,
  detectionOfKeks,
  reading,
  profile,
  growth,
];

/** Those that `npm run bench -- --short` runs. The time to load isn't one of them: it is no ratio. */
export const SHORT_PARTS: readonly string[] = ['rotation', 'limits', 'hints', 'growth'];
