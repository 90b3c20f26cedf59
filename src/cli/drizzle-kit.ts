import { UnavailableError } from '../core/errors.js'

export const kitIsMissing = 'drizzle-kit is not installed: npm install --save-dev drizzle-kit'

/** Loads a module that needs drizzle-kit, which is installed only where migrations are generated. */
export async function withDrizzleKit<Module>(load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new UnavailableError(kitIsMissing)
  }
}
