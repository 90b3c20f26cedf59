import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { PGlite } from '@electric-sql/pglite'
import { TenantryError, UnavailableError } from '../core/errors.js'
import { lockDirectory } from './directory-lock.js'
import { type Contents, openNew } from './pglite-image.js'

/**
 * Opens PGlite, in memory or in a directory. Two processes over one directory would silently lose each other's rows, so a lock file
 * beside the directory refuses the second one. A new database has `contents`; by default it is empty.
 */
export async function openPGlite(place: true | string, contents?: Contents): Promise<PGlite> {
  const pglite = await loadPGlite()
  if (place === true) return openNew(pglite, undefined, contents)
  const directory = resolve(place)
  let release = (): void => undefined
  try {
    release = await lockDirectory(directory)
    const isEmpty = !existsSync(join(directory, 'PG_VERSION'))
    const database = await (isEmpty
      ? openNew(pglite, directory, contents)
      : pglite.PGlite.create({ dataDir: directory }))
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

async function loadPGlite() {
  try {
    return await import('@electric-sql/pglite')
  } catch {
    throw new UnavailableError('the embedded database is not installed: npm install @electric-sql/pglite')
  }
}
