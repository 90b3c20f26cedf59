import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blockFaults, programOf } from '../../scripts/code-blocks.js'

const root = join(import.meta.dirname, '../..')

/** The compiler errors of a module beside the schema of the example, by their lines. */
function faultsOf(text: string): string[] {
  const block = { document: 'line', line: 1, file: 'examples/your-own-tables/src/asked.ts', text: text.trim() }
  return blockFaults(programOf(root, [block]), [block])
}

const asked = `
declare const org: import('tenantry').Org
export const known = org.can('agents:read')
export const own = org.can('tickets:read')
export const misspelt = org.can('tickets:raed')
`

test.for([
  ['', ['tickets:read', 'tickets:raed']],
  ["import './permissions.js'", ['tickets:raed']],
  // As the doc comment of Permissions says.
  ["declare module 'tenantry' { interface Permissions { 'tickets:read': true } }", ['tickets:raed']],
] as const)('org.can knows the permissions of the library, and those of the host by: %s', ([told, unknown]) => {
  expect(faultsOf(`${told}\n${asked}`)).toEqual(
    unknown.map(
      (name) =>
        expect.stringContaining(`Argument of type '"${name}"' is not assignable to parameter of type`) as string,
    ),
  )
})

test('a config names built-in roles that need it, and permissions that it has', () => {
  expect(
    faultsOf(`
import { defineConfig } from 'tenantry'
const paths = { schema: './schema.ts', migrations: './drizzle' }
const permissions = { 'tickets:read': 'See tickets' }
export const none = defineConfig(paths)
export const sound = defineConfig({ ...paths, permissions, roles: { member: ['tickets:read'], customer: [] } })
export const misspelt = defineConfig({ ...paths, permissions, roles: { member: ['tickets:raed'] } })
export const unknown = defineConfig({ ...paths, permissions, roles: { members: ['tickets:read'] } })
export const owner = defineConfig({ ...paths, permissions, roles: { owner: ['tickets:read'] } })
export const library = defineConfig({ ...paths, permissions, roles: { member: ['agents:read'] } })
export const nothing = defineConfig({ ...paths, roles: { member: ['tickets:read'] } })
export const undescribed = defineConfig({ ...paths, permissions: { 'tickets:read': true } })
export const key: keyof import('tenantry').PermissionsOf<typeof sound> = 'tickets:read'
export const other: keyof import('tenantry').PermissionsOf<typeof sound> = 'tickets:raed'
`).map((fault) => fault.split(' ')[0]),
  ).toEqual(['line:6:', 'line:7:', 'line:8:', 'line:9:', 'line:10:', 'line:11:', 'line:13:'])
})
