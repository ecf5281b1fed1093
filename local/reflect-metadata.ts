// The three functions of the Reflect metadata proposal that tsyringe, and with it @peculiar/x509, calls: import this
// file before that library. (The npm package `reflect-metadata` does the same for everything else too.)

type Entries = Map<unknown, unknown>;

const metadata = new WeakMap<object, Entries>();

Object.assign(Reflect, { defineMetadata, getMetadata, getOwnMetadata });

function defineMetadata(key: unknown, value: unknown, target: object): void {
  const entries: Entries = metadata.get(target) ?? new Map();
  metadata.set(target, entries.set(key, value));
}

function getOwnMetadata(key: unknown, target: object): unknown {
  return metadata.get(target)?.get(key);
}

function getMetadata(key: unknown, target: object): unknown {
  const own = getOwnMetadata(key, target);
  const parent = Object.getPrototypeOf(target);
  return own === undefined && parent !== null ? getMetadata(key, parent) : own;
}
