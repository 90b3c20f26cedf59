import { ConflictError, InvalidInputError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import { openSession, type Session } from '../database/session.js'

/**
 * Creates the bare row of an organization for trials and tests, without roles, owner or plan, and returns its id. The database must be
 * migrated; the url is the owner's, or `embedded` is the directory of an embedded database that no other process has open.
 */
export async function createOrganization(
  where: Session | string | { readonly embedded: string } | undefined,
  values: { readonly name?: string } = {},
): Promise<string> {
  if (where === undefined || where === '') {
    throw new InvalidInputError('createOrganization', "needs the owner's url, which is often in DATABASE_ADMIN_URL")
  }
  if (typeof where === 'object' && 'query' in where) return insertOrganization(where, values)
  const session = await openSession(typeof where === 'string' ? { url: where } : where)
  try {
    return await insertOrganization(session, values)
  } finally {
    await session.close()
  }
}

/** The same, on a session; its id may be given. */
export async function insertOrganization(
  session: Session,
  { id = newId(), name }: { readonly id?: string; readonly name?: string } = {},
): Promise<string> {
  const slug = `org-${id}`
  try {
    await session.query(
      'insert into platform.organizations (id, name, slug, temporal_namespace) values ($1, $2, $3, $3)',
      [id, name ?? slug, slug],
    )
  } catch (error) {
    throw understood(error)
  }
  return id
}

function understood(error: unknown): unknown {
  switch ((error as { code?: unknown }).code) {
    case '23505':
      return new ConflictError('organizations', ['name'])
    case '42501':
      return new InvalidInputError(
        'createOrganization',
        "needs the owner's url: this login may not create organizations",
      )
    case '42P01':
      return new InvalidInputError(
        'createOrganization',
        'needs a migrated database: run `npx tenantry migrate up` first',
      )
    default:
      return error
  }
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
