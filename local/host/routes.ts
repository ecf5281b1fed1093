// ASP.NET route templates as HTTP functions use them: literals, {name}, {name:constraint}, {name?}, {name=default},
// {*rest}; one parameter a segment.

type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | {
      readonly kind: 'parameter' | 'rest';
      readonly name: string;
      readonly optional: boolean;
      readonly fallback: string | undefined;
      readonly accepts: (value: string) => boolean;
    };

export interface Route {
  /** Path parameters, or undefined when the path is another's. */
  match(path: string): Readonly<Record<string, string>> | undefined;
  /** Orders routes: the lower is tried first. Literals go before parameters, parameters before the rest. */
  readonly rank: string;
}

const constraints: Readonly<Record<string, RegExp>> = {
  int: /^-?\d{1,10}$/,
  long: /^-?\d{1,19}$/,
  guid: /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i,
  alpha: /^[a-z]+$/i,
  bool: /^(?:true|false)$/i,
};

/** @throws Error for a template outside the subset */
export function parseRoute(template: string): Route {
  const segments = splitPath(template).map(parseSegment);
  const rank = segments.map(({ kind }) => ({ literal: '0', parameter: '1', rest: '2' })[kind]).join('');
  return { rank: `${rank}~`, match: (path) => match(segments, splitPath(path)) };
}

function splitPath(path: string): readonly string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function parseSegment(text: string): Segment {
  if (!/[{}]/.test(text)) return { kind: 'literal', text: text.toLowerCase() };
  const parts = /^\{(\*{0,2})(\w+)((?::[^:=?{}]+)*)(?:=([^{}?]*))?(\?)?\}$/.exec(text);
  if (parts === null) throw new Error(`route segment '${text}' is not supported`);
  const [, star, name = '', constraintList = '', fallback, optional] = parts;
  const patterns = constraintList.split(':').filter(Boolean).map(toPattern);
  return {
    kind: star === '' ? 'parameter' : 'rest',
    name,
    optional: optional !== undefined || star !== '' || fallback !== undefined,
    fallback,
    accepts: (value) => patterns.every((pattern) => pattern.test(value)),
  };
}

function toPattern(constraint: string): RegExp {
  const pattern = constraints[constraint.toLowerCase()];
  if (pattern === undefined) throw new Error(`route constraint '${constraint}' is not supported`);
  return pattern;
}

function match(segments: readonly Segment[], path: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  let at = 0;
  for (const segment of segments) {
    if (segment.kind === 'literal') {
      if (path[at]?.toLowerCase() !== segment.text) return undefined;
      at += 1;
      continue;
    }
    const raw = segment.kind === 'rest' ? path.slice(at) : path.slice(at, at + 1);
    at += raw.length;
    const value = raw.length === 0 ? segment.fallback : decode(raw);
    if (value === undefined) {
      if (!segment.optional) return undefined;
    } else if (segment.accepts(value)) {
      params[segment.name] = value;
    } else {
      return undefined;
    }
  }
  return at === path.length ? params : undefined;
}

function decode(segments: readonly string[]): string {
  try {
    return segments.map(decodeURIComponent).join('/');
  } catch {
    return segments.join('/');
  }
}
