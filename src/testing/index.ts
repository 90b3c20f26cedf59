export { type EmbeddedTenancy, openEmbeddedTenancy } from './embedded-tenancy.js'
export { createOrganization, createUser } from './fixtures.js'
export { type ServerSource, startTestServer, type TestServer, type TestServerOptions } from './server.js'
export { createTestDatabase, type TestDatabase, type TestTemplate } from './template.js'
