// Steps of a property that fast-check prints by their labels.
import fc from 'fast-check';

export interface Step<S> {
  readonly label: string;
  readonly act: (system: S) => void | Promise<void>;
  readonly [fc.toStringMethod]: () => string;
}

export const step = <S>(label: string, act: Step<S>['act']): Step<S> => ({
  label,
  act,
  [fc.toStringMethod]: () => label,
});
