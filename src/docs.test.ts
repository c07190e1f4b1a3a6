import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { main } from './cli/main.ts'
import { configSchema } from './engine/config.ts'
import { responderNamed, SHIPPED_RESPONDER_FILES } from './engine/responder-files.ts'
import { NOTICE_CODES } from './response/recording.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const under = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .sort()
const DOCS = under('docs').filter((path) => path.endsWith('.md'))
const PAGES = [...DOCS, 'README.md', 'src/README.md', 'rules/README.md', 'examples/README.md', 'bench/README.md', 'lab/session/README.md']

/** The targets of a page's links, as paths from the root, with their anchors. */
function linksOf(page: string): readonly { readonly path: string; readonly anchor: string | undefined }[] {
  const prose = read(page).replaceAll(/^```.*?^```$/gms, '')
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!).filter((target) => !/^\w+:/.test(target))
  return targets.map((target) => {
    const [path = '', anchor] = target.split('#')
    return { path: path === '' ? page : join(dirname(page), path), anchor }
  })
}

/** The anchors that a page's headings make, as code hosts do. */
function anchorsOf(page: string): readonly string[] {
  const headings = [...read(page).matchAll(/^#+ (.*)$/gm)].map((match) => match[1]!)
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  )
}

/** The fenced blocks of a language. */
function blocksOf(page: string, language: string): readonly string[] {
  return [...read(page).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1]!)
}

test.each(PAGES)('every link of %s leads somewhere', (page) => {
  const lost = linksOf(page).filter(({ path, anchor }) => {
    if (!existsSync(join(ROOT, path))) return true
    return anchor !== undefined && !anchorsOf(path).includes(anchor)
  })
  expect(lost).toEqual([])
})

test('the index leads to every page', () => {
  const indices = ['docs/README.md', 'docs/guides/sources/README.md', 'docs/guides/responders/README.md']
  const reached = new Set([...indices, ...indices.flatMap((index) => linksOf(index).map(({ path }) => path))])
  expect(DOCS.filter((page) => !reached.has(page))).toEqual([])
})

describe('docs/reference/errors.md', () => {
  const code = under('src')
    .filter((path) => path.endsWith('.ts') && !/\.test\.ts$|testbed|testing/.test(path))
    .map((path) => read(path).replaceAll(/\/\*.*?\*\//gs, ''))
    .join('\n')
  // What throws, reports or answers a code: an error's first argument, a property, the alternative to somebody else's code.
  const USES =
    /(?:CordonError\(|super\(|report\(|\b(?:code|notYaml|invalid|INVALID)\b(?::| =)|error\.code :|refuse\()\s*'([A-Z0-9]+(?:_[A-Z0-9]+)+)'/g
  const used = new Set([...[...code.matchAll(USES)].map((match) => match[1]!), ...NOTICE_CODES])
  const listed = [...read('docs/reference/errors.md').matchAll(/^\| `([A-Z0-9_]+)` \| (.*) \|$/gm)]

  test('has every code of the source, and no other', () => {
    expect(listed.map(([, name]) => name!).toSorted()).toEqual([...used].toSorted())
  })

  test('says something of each', () => {
    expect(listed.filter(([, , text]) => text!.length < 15).map(([, name]) => name)).toEqual([])
  })
})

describe('what the pages show works', () => {
  const fragments = PAGES.flatMap((page) => blocksOf(page, 'yaml').map((text) => [page, text] as const))
  const configs = fragments.filter(([, text]) => /^(?:# cordon\.yml|sources:|responders:|listen:)/.test(text))

  test.each(configs)('%s: a piece of cordon.yml', (_, text) => {
    const config = configSchema.parse(parse(text))
    for (const { use, name: _, ...settings } of config.responders) {
      const responder = responderNamed(use, [SHIPPED_RESPONDER_FILES])!
      expect(responder.config.safeParse(settings).error).toBeUndefined()
    }
  })

  const lines = PAGES.flatMap((page) => blocksOf(page, 'sh').flatMap((text) => text.split('\n')))
  const SUBCOMMANDS = ['alerts', 'incidents', 'actions', 'policy', 'privacy', 'audit', 'rules', 'nodes', 'keys']
  const commands = lines.flatMap((line) => /(?:^|\| )(?:node bin\/cordon\.mjs|cordon) (.*?)(?:\s+#.*|\s*[|>].*)?$/.exec(line)?.[1] ?? [])

  test.each([...new Set(commands)])('cordon %s', async (command) => {
    const words = command.split(/\s+/)
    const help: string[] = []
    const io = {
      out: (...lines: readonly string[]) => void help.push(...lines),
      err: () => {},
      terminal: false,
      style: (_: string, text: string) => text,
    }
    expect(await main(['node', 'cordon', ...words.slice(0, SUBCOMMANDS.includes(words[0]!) ? 2 : 1), '--help'], io)).toBe(0)
    const text = help.join('\n')
    for (const word of [words[0]!, ...words.filter((word) => word.startsWith('--'))]) expect(text).toContain(word)
  })

  test('and there are some', () => {
    expect(configs.length).toBeGreaterThan(6)
    expect(commands.length).toBeGreaterThan(6)
  })
})
