// A step of `npm run check`: the code in the documents compiles, and docs/reference matches the types. `--write` updates it.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blockFaults, codeBlocks, programOf } from './code-blocks.js'
import { referenceOf } from './reference.js'

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '')
const folder = join(root, 'docs/reference')

const documents = ['README.md', ...markdownIn('docs')]
const blocks = documents.flatMap((path) => codeBlocks(path, readFileSync(join(root, path), 'utf8')))
const program = programOf(root, blocks)
const { pages, faults } = referenceOf(program, root)

if (process.argv.includes('--write')) {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of pages) writeFileSync(join(folder, name), text)
}
const all = [...faults, ...stalePages(), ...blockFaults(program, blocks)]
if (all.length > 0) {
  console.error(all.join('\n'))
  process.exit(1)
}

function stalePages(): string[] {
  return [...pages].flatMap(([name, text]) => {
    const path = join(folder, name)
    if (existsSync(path) && readFileSync(path, 'utf8') === text) return []
    return [`docs/reference/${name} is not what the types say: run \`npx tsx scripts/documents.ts --write\``]
  })
}

function markdownIn(path: string): string[] {
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${path}/${name}`)
}
