import { ConflictError, ForbiddenError, type Tenancy } from 'tenantry'

/** What better-auth knows of whoever is signed in. */
interface Account {
  readonly id: string
  readonly email: string
  readonly emailVerified: boolean
}

/** The id of the person in tenantry. Their first request registers them: `users.external_id` is better-auth's id. */
export async function personOf({ users }: Tenancy, account: Account): Promise<string> {
  const known = await users.findIdByExternalId(account.id)
  if (known !== undefined) return known
  try {
    const { email, emailVerified } = account
    return (await users.register({ externalId: account.id, email, emailConfirmed: emailVerified })).id
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    // Another request of the same person was faster. Otherwise the person is suspended, or somebody else has the address.
    const registered = await users.findIdByExternalId(account.id)
    if (registered === undefined) throw new ForbiddenError(undefined, 'this account cannot be used here')
    return registered
  }
}
