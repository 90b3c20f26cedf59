// A step of `npm run check`: the code in the documents compiles, and docs/reference and docs/schema.md match the types and tables.
// `--write` updates them.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blockFaults, codeBlocks, programOf } from './code-blocks.js'
import { referenceOf } from './reference.js'
import { schemaPage } from './schema-page.js'

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '')

const documents = ['README.md', ...markdownIn('docs')]
const blocks = documents.flatMap((path) => codeBlocks(path, readFileSync(join(root, path), 'utf8')))
const program = programOf(root, blocks)
const reference = referenceOf(program, root)
const tables = schemaPage(program, root)
const pages = new Map([...reference.pages].map(([name, text]) => [`docs/reference/${name}`, text]))
pages.set('docs/schema.md', tables.text)

if (process.argv.includes('--write')) {
  for (const [path, text] of pages) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}
const all = [...reference.faults, ...tables.faults, ...stalePages(), ...blockFaults(program, blocks)]
if (all.length > 0) {
  console.error(all.join('\n'))
  process.exit(1)
}

function stalePages(): string[] {
  return [...pages].flatMap(([path, text]) => {
    if (existsSync(join(root, path)) && readFileSync(join(root, path), 'utf8') === text) return []
    return [`${path} is not what the types say: run \`npx tsx scripts/documents.ts --write\``]
  })
}

function markdownIn(path: string): string[] {
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${path}/${name}`)
}
