import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type * as Pglite from '@electric-sql/pglite'
import type { PGlite } from '@electric-sql/pglite'
import { TenantryError, UnavailableError } from '../core/errors.js'

/**
 * Opens PGlite, in memory or in a directory. Two processes over one directory would silently lose each other's rows, so a lock file
 * beside the directory refuses the second one.
 */
export async function openPGlite(place: true | string): Promise<PGlite> {
  const pglite = await loadPGlite()
  if (place === true) return inMemory(pglite)
  const directory = resolve(place)
  let release = (): void => undefined
  try {
    release = lockDirectory(directory)
    const database = await pglite.PGlite.create({ dataDir: directory })
    const close = database.close.bind(database)
    database.close = () => close().finally(release)
    return database
  } catch (error) {
    release()
    if (error instanceof TenantryError) throw error
    const { code = 'its files cannot be read' } = error as NodeJS.ErrnoException
    throw new UnavailableError(`the embedded database in ${directory} cannot be opened: ${code}`)
  }
}

let opened = 0
let image: Promise<Blob | undefined> | undefined

/**
 * Making a cluster takes several times as long as loading the image of one. A process that opens a second database, as tests do,
 * keeps an image of it (45 MB) for the third and all further ones.
 */
async function inMemory({ PGlite }: typeof Pglite): Promise<PGlite> {
  const loadDataDir = await image
  if (loadDataDir !== undefined) return PGlite.create({ loadDataDir })
  const database = await PGlite.create()
  if (++opened === 2) image = database.dumpDataDir('none').catch(() => undefined)
  await image
  return database
}

async function loadPGlite() {
  try {
    return await import('@electric-sql/pglite')
  } catch {
    throw new UnavailableError('the embedded database is not installed: npm install @electric-sql/pglite')
  }
}

function lockDirectory(directory: string): () => void {
  const file = `${directory}.lock`
  mkdirSync(dirname(directory), { recursive: true })
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => {
        rmSync(file, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = holderOf(file)
    if (holder !== undefined && isAlive(holder)) {
      throw new UnavailableError(`the embedded database in ${directory} is in use by process ${holder}`)
    }
    // The process that made the file is gone.
    rmSync(file, { force: true })
  }
}

function holderOf(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
