// The record that the server itself keeps, in schema pgcmk of the maintenance database. It travels in the same WAL as
// the flags it explains, so neither a failover nor a point-in-time restore can separate them.
import type { Client } from 'pg';
import { readMissingRights } from './missing-rights.ts';
import type { Order } from './order-transaction.ts';
import { rightsMissing } from './server-error.ts';

const CREATE = `
  CREATE SCHEMA pgcmk;
  COMMENT ON SCHEMA pgcmk IS 'pg-cmk: what was closed when the key was lost, to be reopened. Do not edit.';
  CREATE TABLE pgcmk.access (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL CHECK (epoch >= 0),
    desired text NOT NULL CHECK (desired IN ('granted', 'revoked')),
    changed_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE pgcmk.closed_databases (
    oid oid PRIMARY KEY,
    name text NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT now()
  );`;
