import { expect, test } from 'vitest'
import { ConflictError, InvalidInputError } from '../../src/core/errors.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'

const database = useDatabase()
const emptyDatabase = useEmptyDatabases()

test('the name of an organization that is taken is a ConflictError, without the values of the server', async () => {
  await createOrganization(database.admin, { name: 'Alpha' })
  const again = createOrganization(database.adminUrl, { name: 'Alpha' })
  await expect(again).rejects.toThrow(ConflictError)
  await expect(again).rejects.toThrow('organizations: name is already taken')
})

test.each([
  ['no url', () => undefined, "needs the owner's url, which is often in DATABASE_ADMIN_URL"],
  [
    'the url of the application',
    () => database.appUrl,
    "needs the owner's url: this login may not create organizations",
  ],
  ['an empty database', async () => (await emptyDatabase()).url, 'run `npx tenantry migrate up` first'],
])('with %s it says what it needs', async (_, where, message) => {
  const made = createOrganization(await where())
  await expect(made).rejects.toThrow(InvalidInputError)
  await expect(made).rejects.toThrow(message)
})
