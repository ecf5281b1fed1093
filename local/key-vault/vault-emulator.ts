// Key Vault on this machine: any number of vaults, each on an origin of its own, and a port to control them.
import { type LocalCertificates, makeLocalCertificates } from '../certificates.ts';
import { type ControlServer, startControlServer } from './control-server.ts';
import {
  type EmulatedVault,
  startEmulatedVault,
  type VaultOptions,
  type VaultSurroundings,
} from './emulated-vault.ts';
import type { VaultEvent } from './events.ts';
import { makeKeyPool } from './key-material.ts';
import type { AnsweredRequest } from './vault-server.ts';

export interface VaultEmulatorOptions {
  readonly certificates?: LocalCertificates;
  /** Of the control endpoint; 0, the default: any free one. */
  readonly controlPort?: number;
  /** PKCS#8: handed out before any key is generated, each once (`generatePrivateKeyPem` makes them). */
  readonly privateKeyPems?: readonly string[];
  /** Default: every bearer token. */
  authenticate?(token: string): Promise<boolean> | boolean;
  /** Where the challenge sends callers. */
  readonly authority?: string;
  /** The part of the vaults' ARM ids before `/providers`. */
  readonly resourceGroupId?: string;
  /** Called for every request that was answered, or deliberately was not. */
  onRequest?(vault: string, request: AnsweredRequest): void;
}

export interface VaultEmulator extends AsyncDisposable {
  /** What clients of the vaults must trust. */
  readonly caPem: string;
  readonly controlUrl: string;
  /** Names are 3 to 24 letters, digits and hyphens, and unique. */
  addVault(name: string, options?: VaultOptions): Promise<EmulatedVault>;
  /** Throws where there is none of that name. */
  vault(name: string): EmulatedVault;
  vaults(): readonly EmulatedVault[];
  /** Returns what ends it. A listener that throws stops nobody. */
  onEvent(listener: (event: VaultEvent) => void): () => void;
  close(): Promise<void>;
}

const NIL = '00000000-0000-0000-0000-000000000000';
const TICK_MS = 250;
const VAULT_NAME = /^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$/;

export async function startVaultEmulator(options: VaultEmulatorOptions = {}): Promise<VaultEmulator> {
  const { caPem, certPem, keyPem } = options.certificates ?? (await makeLocalCertificates());
  const vaults = new Map<string, EmulatedVault>();
  const listeners = new Set<(event: VaultEvent) => void>();
  const around: VaultSurroundings = {
    certPem,
    keyPem,
    pool: makeKeyPool(options.privateKeyPems),
    resourceGroupId: options.resourceGroupId ?? `/subscriptions/${NIL}/resourceGroups/local`,
    authority: options.authority ?? `https://login.microsoftonline.com/${NIL}`,
    authenticate: options.authenticate ?? (() => true),
    emit(event) {
      for (const listener of listeners) notify(listener, event);
    },
    onRequest: options.onRequest ?? (() => {}),
  };
  const vault = (name: string): EmulatedVault => {
    const found = vaults.get(name.toLowerCase());
    if (found === undefined) throw new RangeError(`There is no vault ${name}.`);
    return found;
  };
  const addVault = async (name: string, vaultOptions: VaultOptions = {}): Promise<EmulatedVault> => {
    if (!VAULT_NAME.test(name)) throw new RangeError(`Not a vault name: ${name}`);
    if (vaults.has(name.toLowerCase())) throw new RangeError(`There is a vault ${name} already.`);
    const added = await startEmulatedVault(name, vaultOptions, around);
    vaults.set(name.toLowerCase(), added);
    return added;
  };
  const all = () => [...vaults.values()];

  const control: ControlServer = await startControlServer(options.controlPort ?? 0, {
    vault,
    vaults: all,
    addVault,
  });
  const ticker = setInterval(() => {
    for (const each of all()) void each.tick();
  }, TICK_MS).unref();
  const close = async () => {
    clearInterval(ticker);
    listeners.clear();
    await Promise.all([control.close(), ...all().map((each) => each.close())]);
  };
  return {
    caPem,
    controlUrl: control.url,
    addVault,
    vault,
    vaults: all,
    onEvent(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

// An event is never a reason for a key operation to fail.
function notify(listener: (event: VaultEvent) => void, event: VaultEvent): void {
  try {
    listener(event);
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error));
  }
}
