import { type RawBuilder, sql } from 'kysely';

// In the collation of the leases' own names: in that of ids their index would serve nobody.
const leaseOf = (id: string): RawBuilder<boolean> => sql`name = ('site:' || ${sql.ref(id)}) collate "default"`;

/** Somebody works on the site with this id (a column), or did so until seconds ago. */
export const isHeld = (id: string): RawBuilder<boolean> =>
  sql`exists (select from mayfly.leases where ${leaseOf(id)} and expires_at > clock_timestamp())`;

/** Whoever worked on it died: the lease was not given back, and has run out. */
export const isOrphaned = (id: string): RawBuilder<boolean> =>
  sql`exists (select from mayfly.leases where ${leaseOf(id)} and holder is not null and expires_at <= clock_timestamp())`;
