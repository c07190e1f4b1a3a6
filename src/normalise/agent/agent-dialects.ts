import type { JsonObject } from '../../event/json.ts'
import { entryOf, firstText, textOf } from '../shape.ts'

/** How one vendor's agent telemetry differs from the others'. */
export interface AgentDialect {
  /** The source name. */
  readonly name: string
  readonly title: string
  /** Sigma log source service. */
  readonly service: string
  /** `service.name` of its resources. */
  readonly services: RegExp
  /** Names of its instrumentation scopes, for resources whose service name was configured away. */
  readonly scopes: RegExp
  /** `gen_ai.agent.name` for a service name. */
  agent(service: string | undefined): string
  /** The unified `event.action` of a vendor's event name. */
  action(vendorName: string | undefined): string | undefined
  /** The words of its permission mode, with `bypass` added where they mean that nothing is asked any more. */
  modes(attributes: JsonObject): readonly string[]
}

/** Unified: Cordon's word for "runs every tool without asking", whatever the vendor calls it. */
const BYPASS = 'bypass'

export const DIALECTS: readonly AgentDialect[] = [
  {
    name: 'agent.claude_cowork',
    title: 'Claude Cowork and Claude Code',
    service: 'claude_cowork',
    services: /^(?:cowork|claude[-_]code|claude)(?:$|[-_])/i,
    scopes: /^com\.anthropic\.claude_code/,
    agent: (service) => (/^cowork/i.test(service ?? '') ? 'cowork' : 'claude'),
    action: (name) => name?.replace(/^claude_code\./, ''),
    modes(attributes) {
      const mode = firstText(attributes, 'to_mode')
      return mode === undefined ? [] : mode === 'bypassPermissions' ? [BYPASS, mode] : [mode]
    },
  },
  {
    name: 'agent.codex',
    title: 'OpenAI Codex',
    service: 'codex',
    services: /^codex(?:$|[-_])/i,
    scopes: /^codex_otel/,
    agent: () => 'codex',
    action: (name) => renamed(name?.replace(/^codex\./, ''), { conversation_starts: 'session_configured' }),
    modes(attributes) {
      const approval = firstText(attributes, 'approval_policy')
      const sandbox = firstText(attributes, 'sandbox_policy')
      const words = [approval, sandbox].filter((word) => word !== undefined)
      const open = approval === 'never' && sandbox?.toLowerCase().replaceAll(/[^a-z]/g, '') === 'dangerfullaccess'
      return open ? [BYPASS, ...words] : words
    },
  },
  {
    name: 'agent.gemini_cli',
    title: 'Gemini CLI',
    service: 'gemini_cli',
    services: /^gemini[-_]cli(?:$|[-_])/i,
    scopes: /^gemini[-_]cli/,
    agent: () => 'gemini',
    action: (name) =>
      renamed(name?.replace(/^gemini_cli\.(?:plan\.)?/, ''), {
        tool_call: 'tool_result',
        config: 'session_configured',
        approval_mode_switch: 'permission_mode_changed',
      }),
    modes(attributes) {
      const mode = firstText(attributes, 'to_mode', 'approval_mode')
      return mode === undefined ? [] : mode.toLowerCase() === 'yolo' ? [BYPASS, mode] : [mode]
    },
  },
]

/** The dialect of a resource: by its service name, else by a scope of it. Undefined for services that are no known agent. */
export function dialectOf(resource: JsonObject, scopes: readonly string[]): AgentDialect | undefined {
  const service = textOf(resource['service.name'])
  const byService = service === undefined ? undefined : DIALECTS.find((dialect) => dialect.services.test(service))
  return byService ?? DIALECTS.find((dialect) => scopes.some((scope) => dialect.scopes.test(scope)))
}

function renamed(name: string | undefined, names: Readonly<Record<string, string>>): string | undefined {
  return entryOf(names, name) ?? name
}
