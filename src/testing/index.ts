export { type EmbeddedTenancy, openEmbeddedTenancy } from './embedded-tenancy.js'
export { type AgentToolLink, Factories, factories, type FlagChoice, type ToolChoice } from './factories.js'
export type { Given } from './factory-values.js'
export { type InDatabase, type InProject, ProjectFactories } from './project-factories.js'
export { createOrganization, createUser } from './fixtures.js'
export { addMember, asMember, newOrg, type NewOrgOptions } from './members.js'
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
