import { createHash } from 'node:crypto'
import { quoted } from '../core/statements/column-plan.js'
import { bodyOf, literal } from './sql.js'

const longest = 55

/** A name that Postgres keeps whole, and to which a few letters may still be added. */
export function fitted(name: string): string {
  if (Buffer.byteLength(name) <= longest) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8)
  // By characters: half of one would be stored as another.
  const start = Array.from(name)
  while (Buffer.byteLength(start.join('')) > longest - digest.length - 1) start.pop()
  return `${start.join('')}_${digest}`
}

/** The schema of what the adoption of a schema needs until it is complete. */
export const homeOf = (schema: string): string => fitted(`tenantry_adopt_${schema}`)

/** The name in SQL of an object in it. */
export const inHome = (home: string, name: string): string => `${quoted(home)}.${quoted(fitted(name))}`

/** Which organization belongs to a key. What the application has written into `platform.organizations` stays as it is. */
export const knownOrganizations = (home: string): string => inHome(home, 'organizations_of')

/** The table of the rows for which no organization was found. */
export const quarantineOf = (table: string): string => fitted(`quarantined_${table}`)

/** The statement that takes away what default privileges have given somebody in the home. */
export const closeHome = (home: string): string =>
  `do ${bodyOf(`
declare
  given record;
begin
  for given in
    select format('table %s', c.oid::regclass) as name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role
    from pg_class c cross join aclexplode(c.relacl) a
    where c.relnamespace = ${literal(quoted(home))}::regnamespace and c.relkind in ('r', 'S') and a.grantee <> c.relowner
    union
    select format('schema %I', n.nspname), case a.grantee when 0 then 'public' else a.grantee::regrole::text end
    from pg_namespace n cross join aclexplode(n.nspacl) a
    where n.oid = ${literal(quoted(home))}::regnamespace and a.grantee <> n.nspowner
  loop
    execute format('revoke all on %s from %s', given.name, given.role);
  end loop;
end`)}`
