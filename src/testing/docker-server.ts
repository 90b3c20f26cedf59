import { randomBytes } from 'node:crypto'
import { UnavailableError } from '../core/errors.js'
import { type FoundServer, serverSettings } from './found-server.js'

/**
 * Starts a container. Testcontainers removes it when this process is killed, by a helper image of its own (ryuk); where that
 * image cannot be pulled, run the tests with TESTCONTAINERS_RYUK_DISABLED=true.
 */
export async function startDockerServer(image: string): Promise<FoundServer> {
  const { PostgreSqlContainer } = await loadTestcontainers()
  const container = await new PostgreSqlContainer(image)
    .withUsername('postgres')
    .withPassword(randomBytes(16).toString('hex'))
    .withDatabase('postgres')
    .withCommand(['postgres', ...serverSettings.flatMap((setting) => ['-c', setting])])
    .start()
  return {
    url: container.getConnectionUri(),
    async stop() {
      await container.stop()
    },
  }
}

async function loadTestcontainers() {
  try {
    return await import('@testcontainers/postgresql')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new UnavailableError(
      'the package @testcontainers/postgresql is missing: npm install --save-dev @testcontainers/postgresql',
    )
  }
}
