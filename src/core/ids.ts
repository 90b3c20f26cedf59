import { v7 } from 'uuid'
import { InvalidInputError, InvalidOrgIdError } from './errors.js'

declare const organization: unique symbol

/** The id of an organization that was looked at: nothing else can be bound. */
export type OrgId = string & { readonly [organization]: true }

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A UUID as Postgres prints it. Upper case is refused, not mended: one organization must not have two spellings. */
export const isUuid = (value: unknown): value is string =>
  typeof value === 'string' && uuid.test(value) && value.length === 36

export function parseOrgId(value: unknown): OrgId {
  if (!isUuid(value)) throw new InvalidOrgIdError()
  return value as OrgId
}

export function parseId(value: unknown, field = 'id'): string {
  if (!isUuid(value)) throw new InvalidInputError(field, 'must be a UUID in lower case')
  return value
}

/** Time-ordered, and in the order of their making within this process. */
export const newId = (): string => v7()
