import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type * as Pglite from '@electric-sql/pglite'
import type { PGlite } from '@electric-sql/pglite'

/**
 * Opens an empty database. Making a cluster takes several times as long as loading the image of one (40 MB). Processes share an image
 * in the directory that TENANTRY_EMBEDDED_CACHE names. Without it, each process keeps one from its second database on, as only tests
 * open so many.
 */
export async function openEmpty({ PGlite }: typeof Pglite, dataDir?: string): Promise<PGlite> {
  const where = dataDir === undefined ? {} : { dataDir }
  const images = shared(process.env.TENANTRY_EMBEDDED_CACHE) ?? ofThisProcess
  const loadDataDir = await images.load()
  if (loadDataDir !== undefined) return PGlite.create({ ...where, loadDataDir })
  const database = await PGlite.create(where)
  await images.keep(() => database.dumpDataDir('none'))
  return database
}

interface Images {
  load(): Promise<Blob | undefined>
  keep(dump: () => Promise<Blob>): Promise<void>
}

let opened = 0
let image: Promise<Blob | undefined> | undefined

const ofThisProcess: Images = {
  load: async () => image,
  async keep(dump) {
    if (++opened === 2) image = dump().catch(() => undefined)
    await image
  },
}

/** A directory that cannot be read or written to costs time only. */
function shared(directory: string | undefined): Images | undefined {
  if (directory === undefined || directory === '') return undefined
  const file = join(directory, `pglite-${installedVersion()}.tar`)
  return {
    load: () =>
      readFile(file).then(
        (content) => new Blob([content]),
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
  await writeFile(part, Buffer.from(await image.arrayBuffer()))
  await rename(part, file)
}

function installedVersion(): string {
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  const { version } = JSON.parse(readFileSync(join(dirname(entry), '../package.json'), 'utf8')) as { version: string }
  return version
}
