// azd's predown hook (azure.yaml): ends with 1, and so keeps azd down from beginning, while it would delete what is not ours.
import { refuseDown } from './refuse-down.ts';

const refusal = refuseDown(process.env);
if (refusal !== null) {
  console.error(`predown: ${refusal}`);
  process.exitCode = 1;
}
