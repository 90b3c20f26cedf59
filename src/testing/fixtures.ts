import { newId } from '../core/ids.js'
import type { Session } from '../database/session.js'

/** Makes an organization, as the owner of the database, and gives its id. */
export async function createOrganization(session: Session, values: { name?: string } = {}): Promise<string> {
  const id = newId()
  const slug = `org-${id}`
  await session.query(
    'insert into platform.organizations (id, name, slug, temporal_namespace) values ($1, $2, $3, $3)',
    [id, values.name ?? slug, slug],
  )
  return id
}

/** Makes a person, as the owner of the database, and gives their id. */
export async function createUser(session: Session, values: { email?: string } = {}): Promise<string> {
  const id = newId()
  await session.query('insert into platform.users (id, email) values ($1, $2)', [
    id,
    values.email ?? `${id}@example.com`,
  ])
  return id
}
