import { newId } from '../../src/core/ids.js'
import type { Team, useTeams } from './use-teams.js'

/** People who are invited, beside the teams of a test file. */
export function useGuests(teams: ReturnType<typeof useTeams>) {
  const address = () => `guest-${newId()}@example.com`
  return {
    address,
    /** Somebody who has an account with that address. */
    person: async (email = address(), confirmed = true) => {
      const userId = await teams.newUser({ email })
      if (confirmed) await teams.system().users.confirmEmail(userId)
      return { email, userId, user: teams.tenancy.forUser(userId) }
    },
    invite: (team: Team, email: string, role = 'member') => team.org.invitations.create({ email, role }),
    expire: (id: string) =>
      teams.database.admin.query(
        `update platform.organization_invitations set expires_at = now() - interval '1 second' where id = $1`,
        [id],
      ),
  }
}
