// bench/results/bench.json: one record for each part that was measured.
import { readFileSync } from 'node:fs';
import type { ColdImportResult } from './cold-import.ts';
import type { DetectionResult } from './detection.ts';
import type { HintsResult } from './hints.ts';
import type { LimitsResult } from './limits.ts';
import type { PartRecord } from './part.ts';
import type { ProfileResult } from './profile.ts';
import type { ReadingResult } from './reading.ts';
import type { Rotation } from './rotate.ts';
import type { RotationResult } from './rotation.ts';

/** A part that isn't there was not measured. */
export interface BenchFile {
  readonly 'cold-import'?: PartRecord<readonly ColdImportResult[]>;
  readonly rotation?: PartRecord<RotationResult>;
  readonly limits?: PartRecord<LimitsResult>;
  readonly hints?: PartRecord<HintsResult>;
  readonly detection?: PartRecord<readonly DetectionResult[]>;
  readonly 'detection-one-kek'?: PartRecord<readonly DetectionResult[]>;
  readonly 'detection-servers'?: PartRecord<readonly DetectionResult[]>;
  readonly 'detection-keks'?: PartRecord<readonly DetectionResult[]>;
  readonly reading?: PartRecord<ReadingResult>;
  readonly growth?: PartRecord<Rotation>;
  readonly profile?: PartRecord<ProfileResult>;
}

const path = new URL('./results/bench.json', import.meta.url);

export function readResults(): BenchFile {
  const read: BenchFile = JSON.parse(readFileSync(path, 'utf8'));
  return read;
}

export const detectionsOf = (file: BenchFile): readonly DetectionResult[] =>
  [file.detection, file['detection-one-kek'], file['detection-servers'], file['detection-keks']].flatMap(
    (record) => (record === undefined ? [] : record.results.flat()),
  );
