import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { compile } from '../support/compiled.js'
import { root, run } from './installed.js'

/** An application with this package out of its tarball, and of other packages only what an installation without development dependencies has. */
export async function installTarball(): Promise<string> {
  const application = mkdtempSync(join(tmpdir(), 'tenantry-tarball-'))
  const copy = join(application, 'source')
  for (const path of ['package.json', 'drizzle', 'src', 'LICENSE', 'CHANGELOG.md']) {
    cpSync(join(root, path), join(copy, path), { recursive: true })
  }
  await compile(join(copy, 'src'), join(copy, 'dist'))
  const packed = await run(copy, 'npm', 'pack', '--ignore-scripts', '--json', '--pack-destination', application)
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }]
  for (const name of ['tenantry', 'tenantry-again']) {
    const installed = join(application, 'node_modules', name)
    mkdirSync(installed, { recursive: true })
    await run(application, 'tar', '-xzf', filename, '-C', installed, '--strip-components', '1')
  }
  linkNeeded(application)
  writeFileSync(join(application, 'package.json'), JSON.stringify({ name: 'application', type: 'module' }))
  return application
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, unknown>>
}

/** Optional peers are not among it. */
function linkNeeded(application: string): void {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const { dependencies, peerDependencies, peerDependenciesMeta } = manifest
  const peers = Object.keys(peerDependencies).filter((name) => !Object.hasOwn(peerDependenciesMeta, name))
  for (const name of [...Object.keys(dependencies), ...peers]) {
    const link = join(application, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), link)
  }
}
