import type { JsonObject } from '../../event/json.ts'
import { joinPath } from '../file-fields.ts'
import { readInnerJson } from '../inner-json.ts'
import { firstText, textOf } from '../shape.ts'
import { readCommand } from '../shell-words.ts'

/** What a tool call does to the world, as far as its name and arguments tell. */
export type ToolKind = 'read' | 'write' | 'command' | 'fetch' | 'other'

export interface ToolUse {
  readonly name: string | undefined
  readonly kind: ToolKind
  readonly mcpServer: string | undefined
  readonly arguments: JsonObject | undefined
  readonly paths: readonly string[]
  readonly command: string | undefined
  readonly directory: string | undefined
  readonly url: string | undefined
}

const KINDS: readonly (readonly [ToolKind, RegExp])[] = [
  ['command', /^(?:bash|shell|local_shell|run_shell_command|exec_command|container\.exec|powershell|unified_exec)$/],
  ['fetch', /^(?:webfetch|web_fetch|fetch|fetch_url)$/],
  ['write', /write|edit|replace|patch|create|delete|move|rename/],
  ['read', /read|^(?:grep|glob|ls|search_file_content|grep_search|list_directory|view_image)$/],
]
const PATCHED_FILE = /^\*\*\* (?:Add|Update|Delete) File: (.+)$/gm
const WEB_ADDRESS = /https?:\/\/[^\s"'<>\\)]+/i

/**
 * Reads a tool call from the attributes of agent telemetry. Every agent has its own attribute names and they do not clash, so one
 * reader serves all: Claude `tool_input` and `tool_parameters`, Codex `arguments`, Gemini `function_args`, each a JSON text, maybe cut.
 */
export function readTool(attributes: JsonObject): ToolUse {
  const input = readInnerJson(attributes.tool_input ?? attributes.arguments ?? attributes.function_args)
  const parameters = readInnerJson(attributes.tool_parameters)
  const args: JsonObject = { ...parameters, ...input }
  const rawName = firstText(attributes, 'tool_name', 'function_name')
  const mcp = mcpNames(rawName, args, attributes)
  const name = mcp.tool ?? rawName
  const kind = KINDS.find(([, pattern]) => pattern.test(name?.toLowerCase() ?? ''))?.[0] ?? 'other'

  const directory = firstText(args, 'workdir', 'working_directory', 'cwd', 'dir_path', 'directory')
  const words = Array.isArray(args.command ?? args.cmd)
    ? ((args.command ?? args.cmd) as readonly unknown[]).filter((word) => typeof word === 'string')
    : undefined
  const command = kind === 'command' ? (words?.join(' ') ?? firstText(args, 'full_command', 'command', 'cmd')) : undefined
  const use = command === undefined ? undefined : readCommand(words ?? command, directory)
  return {
    name,
    kind,
    mcpServer: mcp.server,
    arguments: input ?? parameters,
    paths: use?.paths ?? pathsIn(args, directory),
    command,
    directory: kind === 'command' ? directory : undefined,
    url: use?.urls[0] ?? (kind === 'fetch' ? (firstText(args, 'url') ?? WEB_ADDRESS.exec(textOf(args.prompt) ?? '')?.[0]) : undefined),
  }
}

function pathsIn(args: JsonObject, directory: string | undefined): string[] {
  const single = firstText(args, 'file_path', 'notebook_path', 'absolute_path', 'path', 'dir_path')
  if (single !== undefined) return [joinPath(directory, single)]
  const several = [args.paths, args.include].find(Array.isArray) ?? []
  const patch = textOf(args.input) ?? textOf(args.patch) ?? ''
  const patched = patch.includes('*** ') ? [...patch.matchAll(PATCHED_FILE)].map((match) => match[1]!) : []
  return [...several.filter((item) => typeof item === 'string'), ...patched].map((path) => joinPath(directory, path))
}

function mcpNames(
  name: string | undefined,
  args: JsonObject,
  attributes: JsonObject,
): { server: string | undefined; tool: string | undefined } {
  const joined = /^mcp__(.+?)__(.+)$/.exec(name ?? '')
  return {
    server: firstText(attributes, 'mcp_server_name', 'mcp_server.name', 'mcp_server') ?? firstText(args, 'mcp_server_name') ?? joined?.[1],
    tool: firstText(attributes, 'mcp_tool_name', 'mcp_tool.name') ?? firstText(args, 'mcp_tool_name') ?? joined?.[2],
  }
}
