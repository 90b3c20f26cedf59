import { newId } from '../core/ids.js'
import { openSession, type Session } from '../database/session.js'

/**
 * Creates an organization for trials and tests, and returns its id. The database must be migrated; the url is the owner's, or
 * `embedded` is the directory of an embedded database that no other process has open.
 */
export async function createOrganization(
  where: Session | string | { readonly embedded: string },
  values: { readonly name?: string } = {},
): Promise<string> {
  if (typeof where === 'object' && 'query' in where) return insertOrganization(where, values)
  const session = await openSession(typeof where === 'string' ? { url: where } : where)
  try {
    return await insertOrganization(session, values)
  } finally {
    await session.close()
  }
}

async function insertOrganization(session: Session, values: { readonly name?: string }): Promise<string> {
  const id = newId()
  const slug = `org-${id}`
  await session.query(
    'insert into platform.organizations (id, name, slug, temporal_namespace) values ($1, $2, $3, $3)',
    [id, values.name ?? slug, slug],
  )
  return id
}

/** Creates a person, as the owner of the database, and returns their id. */
export async function createUser(session: Session, values: { email?: string } = {}): Promise<string> {
  const id = newId()
  await session.query('insert into platform.users (id, email) values ($1, $2)', [
    id,
    values.email ?? `${id}@example.com`,
  ])
  return id
}
