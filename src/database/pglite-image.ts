import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type * as Pglite from '@electric-sql/pglite'
import type { PGlite } from '@electric-sql/pglite'

/** The contents of a new database. */
export interface Contents {
  /** Names the image: another name for other contents. */
  readonly name: string
  /** Brings an empty database to these contents. */
  readonly prepare: (database: PGlite) => Promise<void>
}

const nothing: Contents = { name: 'empty', prepare: () => Promise.resolve() }

/**
 * Makes a new database. Making a cluster and migrating it takes several times as long as loading an image (45 MB). Processes share
 * the images in the directory that TENANTRY_EMBEDDED_CACHE names. Without it, each process keeps one from its second database on, as
 * only tests open so many.
 */
export async function openNew(
  pglite: typeof Pglite,
  dataDir: string | undefined,
  { name, prepare }: Contents = nothing,
): Promise<PGlite> {
  const where = dataDir === undefined ? {} : { dataDir }
  const images = shared(process.env.TENANTRY_EMBEDDED_CACHE, name) ?? ofThisProcess(name)
  const loadDataDir = await images.load()
  if (loadDataDir !== undefined) return pglite.PGlite.create({ ...where, loadDataDir })
  const database = await (name === nothing.name ? pglite.PGlite.create(where) : openNew(pglite, dataDir))
  try {
    await prepare(database)
  } catch (error) {
    await database.close()
    throw error
  }
  await images.keep(() => database.dumpDataDir('none'))
  return database
}

interface Images {
  load(): Promise<Blob | undefined>
  keep(dump: () => Promise<Blob>): Promise<void>
}

const opened = new Map<string, number>()
const kept = new Map<string, Promise<Blob | undefined>>()

const ofThisProcess = (name: string): Images => ({
  load: async () => kept.get(name),
  async keep(dump) {
    const count = (opened.get(name) ?? 0) + 1
    opened.set(name, count)
    if (count === 2)
      kept.set(
        name,
        dump().catch(() => undefined),
      )
    await kept.get(name)
  },
})

/** A directory that cannot be read or written to costs time only, and so does a damaged image: it is made again. */
function shared(directory: string | undefined, name: string): Images | undefined {
  if (directory === undefined || directory === '') return undefined
  const file = join(directory, `pglite-${installedVersion()}-${name}.image`)
  return {
    load: () =>
      readFile(file).then(
        (content) => (isWhole(content) ? new Blob([content.subarray(sumBytes)]) : undefined),
        () => undefined,
      ),
    keep: (dump) =>
      dump()
        .then((made) => save(file, made))
        .catch(() => undefined),
  }
}

/** Under a name of its own until it is whole: others may read or write an image at the same time. */
async function save(file: string, image: Blob): Promise<void> {
  const part = `${file}.${randomUUID()}`
  await mkdir(dirname(file), { recursive: true })
  const content = Buffer.from(await image.arrayBuffer())
  const sum = Buffer.alloc(sumBytes)
  sum.writeUInt32BE(crc32(content))
  try {
    await writeFile(part, Buffer.concat([sum, content]))
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

// A file begins with the checksum of the image that follows.
const sumBytes = 4
const isWhole = (content: Buffer): boolean =>
  content.length > sumBytes && crc32(content.subarray(sumBytes)) === content.readUInt32BE()

function installedVersion(): string {
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  const { version } = JSON.parse(readFileSync(join(dirname(entry), '../package.json'), 'utf8')) as { version: string }
  return version
}
