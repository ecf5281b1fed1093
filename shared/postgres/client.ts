// pg's client, which by itself gives the password to any server in whatever way the server asks for it.
import type { Socket } from 'node:net';
import { Client, type ClientConfig } from 'pg';

export interface CmkClientConfig extends ClientConfig {
  readonly socket: Socket;
  /** See Password: false leaves only SCRAM. */
  readonly mayBeSent: boolean;
}

/** `SASL:` is how pg begins what it has against a login itself. */
const refusal = () =>
  new Error('SASL: the server asks for the password in the clear or as MD5, not by SCRAM-SHA-256');

export function makeClient({ socket, mayBeSent, ...config }: CmkClientConfig): Client {
  const all = { ...config, stream: () => socket };
  return mayBeSent ? new Client(all) : new ScramClient({ ...all, enableChannelBinding: true }, socket);
}

/** The two are pg's own, called when the server asks; connect.test.ts shows that they still are. */
class ScramClient extends Client {
  readonly #socket: Socket;

  constructor(config: ClientConfig, socket: Socket) {
    super(config);
    this.#socket = socket;
  }

  _handleAuthCleartextPassword(): void {
    this.#socket.destroy(refusal());
  }

  _handleAuthMD5Password(): void {
    this.#socket.destroy(refusal());
  }
}
