export { type EmbeddedTenancy, openEmbeddedTenancy } from './embedded-tenancy.js'
export { createOrganization, createUser } from './fixtures.js'
export {
  type ContractCalls,
  type ContractCase,
  type ContractOptions,
  type IsolationCase,
  isolationCase,
} from './isolation-contract.js'
export type { Wall } from './walls.js'
export { type ServerSource, startTestServer, type TestServer, type TestServerOptions } from './server.js'
export { createTestDatabase, type TestDatabase, type TestTemplate } from './template.js'
