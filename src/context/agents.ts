import type { Json, JsonObject } from '../event/json.ts'
import { matchesWildcard } from './wildcard.ts'

/** An agent and what its processes are called. A pattern with a slash is a path with `*` and `?`; any other is a whole base name. */
export interface AgentPatterns {
  readonly name: string
  readonly patterns: readonly string[]
}

/** What the agents that come in the shipped list are installed as: npm packages and binaries have other names than the product. */
const KNOWN_PATTERNS: Readonly<Record<string, readonly string[]>> = {
  cowork: ['claude-cowork'],
  claude: ['claude-code', '*/claude/versions/*'],
  codex: ['codex_exec', 'codex-cli', 'codex_cli_rs', 'codex-linux-sandbox'],
  gemini: ['gemini-cli'],
}

/** The patterns for a list of agent names: the name itself, and what the known ones are installed as. */
export function agentPatterns(names: readonly string[]): readonly AgentPatterns[] {
  return names.map((name) => ({ name, patterns: [name, ...(Object.hasOwn(KNOWN_PATTERNS, name) ? KNOWN_PATTERNS[name]! : [])] }))
}

/** Answers which agent a process is by its own name, executable or script argument; undefined if it is none. Never by its thread name. */
export type AgentMatcher = (process: JsonObject) => string | undefined

export function compileAgents(agents: readonly AgentPatterns[]): AgentMatcher {
  const byName = new Map<string, string>()
  const byPath: { readonly pattern: string; readonly name: string }[] = []
  for (const { name, patterns } of agents) {
    for (const pattern of patterns) {
      if (pattern.includes('/')) byPath.push({ pattern, name })
      else byName.set(pattern.toLowerCase(), name)
    }
  }
  const named = (path: string | undefined): string | undefined => {
    if (path === undefined) return undefined
    return byName.get(baseName(path)) ?? byPath.find(({ pattern }) => matchesWildcard(pattern, path))?.name
  }
  return (process) => {
    const executable = text(process.executable)
    const args = argumentsOf(process)
    const own = named(executable) ?? named(text(process.name)) ?? named(args[0]) ?? named(args[0]?.split(' ')[0])
    if (own !== undefined) return own
    const script = scriptOf([executable, text(process.name), args[0]], args)
    return (
      named(script) ??
      packageNames(script)
        .map((name) => byName.get(name))
        .find((name) => name !== undefined)
    )
  }
}

/** Programs that run a script: what it is called says what the process is. `python3.12` is `python`. */
const INTERPRETERS = new Set(['node', 'nodejs', 'bun', 'deno', 'tsx', 'python', 'ruby', 'perl', 'sh', 'bash', 'dash', 'zsh'])
/** Options whose value is the next argument. */
const VALUED = new Set(['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file', '-W', '-X'])
/** Options after which there is no script, but code. */
const INLINE = new Set(['-c', '-e', '--eval', '-p', '--print', '-lc'])

/** The first argument of an interpreter that is no option: the script; with `python -m`, the module. */
function scriptOf(programs: readonly (string | undefined)[], args: readonly string[]): string | undefined {
  if (!programs.some((program) => program !== undefined && INTERPRETERS.has(baseName(program).replace(/[\d.]+$/, '')))) return undefined
  for (let at = 1; at < args.length; at++) {
    const argument = args[at]!
    if (argument === '-m') return args[at + 1]
    if (INLINE.has(argument)) return undefined
    if (VALUED.has(argument)) at++
    else if (!argument.startsWith('-') && argument !== 'run') return argument
  }
  return undefined
}

/** The names of the npm packages that a path leads through: `…/node_modules/@google/gemini-cli/bundle/gemini.js` → `gemini-cli`. */
function packageNames(path: string | undefined): readonly string[] {
  if (path === undefined) return []
  return [...path.matchAll(/node_modules\/(?:@[^/]+\/)?([^/]+)/g)].map((match) => match[1]!.toLowerCase())
}

/** `process.args`, else the words of `process.command_line`. Kernel audit has them from the process title, which a process may rewrite. */
function argumentsOf(process: JsonObject): readonly string[] {
  if (Array.isArray(process.args)) return process.args.filter((word) => typeof word === 'string')
  return text(process.command_line)?.split(/\s+/) ?? []
}

function text(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Lower-case last segment, without what scripts and Windows programs end in. */
function baseName(path: string): string {
  return path
    .slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)
    .toLowerCase()
    .replace(/\.(?:exe|[cm]?[jt]s|py|sh)$/, '')
}
