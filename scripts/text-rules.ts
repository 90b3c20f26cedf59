import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folders = ['src', 'test', 'scripts', 'examples', 'bench', 'docs']
const made = new Set(['node_modules', 'dist', 'drizzle', 'fixtures', 'generated'])
const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*$/
// Names of folders without a subject. The tests of the public types may have the name `types`.
const drawer = /^(libs?|util(itie)?s?|helpers?|common|misc|types?)$/
const drawersAllowed = new Set(['test/types'])
// In two halves, so that this line does not match itself.
// Names that say what a thing is in the language or the pattern, not what it is here.
const vague =
  /^\s*(?:export )?(?:abstract )?(?:class|interface|type) (I[A-Z][a-z]\w*|\w*(?:Manager|Service|Model|Dto))\b/
const unfinished = /\b(?:TO|FIX)(?:DO|ME)\b(?!\(#\d+\))/

/** Checks that no other tool makes: names of files, folders and classes, the depth of src, and unfinished work without an issue. */
export function textFaults(root: string): string[] {
  return folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => walk(root, folder))
    .flatMap((path) => [...nameFaults(path), ...contentFaults(path, readFileSync(join(root, path), 'utf8'))])
}

function nameFaults(path: string): string[] {
  const parts = path.split('/')
  const places = parts.map((part, i) => ({ part, place: parts.slice(0, i + 1).join('/') }))
  return [
    ...places
      .filter(({ part }) => part !== 'README.md' && !part.startsWith('.') && !kebabCase.test(part))
      .map(({ place }) => `${place}: names are kebab-case`),
    ...places
      .filter(({ part, place }) => drawer.test(part.replace(/\..*/, '')) && !drawersAllowed.has(place))
      .map(({ place }) => `${place}: says nothing about what is in it`),
    ...(parts[0] === 'src' && parts.length > 4 ? [`${path}: no folder is deeper than src/schema/shared`] : []),
  ]
}

function contentFaults(path: string, content: string): string[] {
  return content
    .split('\n')
    .flatMap((line, i) => [
      ...(unfinished.test(line) ? [`${path}:${i + 1}: unfinished work names its issue, as in TODO(#12)`] : []),
      ...(path.endsWith('.ts') && vague.test(line) ? [`${path}:${i + 1}: the name says nothing about what it is`] : []),
    ])
}

function walk(root: string, folder: string): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true })
  return entries.flatMap((entry) => {
    if (made.has(entry.name)) return []
    const path = `${folder}/${entry.name}`
    return entry.isDirectory() ? walk(root, path) : [path]
  })
}
