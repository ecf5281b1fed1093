// What a route of the HTTP API is.
import * as z from 'zod';
import type { Role } from '../domain/caller.ts';

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Below /api, as the Functions host and OpenAPI both write it. */
  readonly path: string;
  /** null: open to anybody. */
  readonly role: Role | null;
  readonly tag: 'Servers' | 'Keys' | 'Audit' | 'App';
  readonly summary: string;
  readonly description?: string;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: z.ZodType | null;
  /** By status, the answers that are no problems. */
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema: z.ZodType }>>;
  /** The resource has an ETag: its answers carry it, and If-Match is honoured. */
  readonly tagged: boolean;
  /** The body may be left out: its defaults count. */
  readonly bodyOptional?: true;
}

/** Routes that take nothing there. */
export const nothing = z.object({});

export const answer = <S extends z.ZodType>(description: string, schema: S) => ({ description, schema });
