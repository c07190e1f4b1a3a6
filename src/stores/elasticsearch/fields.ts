import { ECS_FIELDS } from './ecs-fields.ts'

/** One field of the documents that Cordon stores. */
export interface Field {
  /** Type as ECS names it, such as `keyword` or `match_only_text`; what a server makes of it is in templates.ts. */
  readonly type: string
  readonly indexed: boolean
  /** Has a multi-field `text` for full-text search. */
  readonly text: boolean
}

/** Fields by their names, nested as the documents are. */
export interface FieldTree {
  readonly fields: ReadonlyMap<string, Field>
  readonly objects: ReadonlyMap<string, FieldTree>
}

/**
 * What Cordon's documents have besides ECS (docs/design.md section 2, "Names outside ECS"), in the notation of ecs-fields.ts. Of
 * Beats it has what names a Windows event. Under `cordon` is what is no part of the event: which rules judged it, its place in the events log, and of a document that
 * Elasticsearch would not take as it is the reason and the whole text.
 */
const OWN_FIELDS = `
. | native:object
logsource | category product service
device | groups owner protected:boolean
device.mdm | id
device.posture | compliant:boolean disk_encrypted:boolean enrolled:boolean
user | groups mfa
file | classification
gen_ai.conversation | id
mcp.server | name
ai.permission | decision mode source
token | decision expires:date id label op path purpose reason
dlp | at_least:boolean
dlp.pii | count:long
dlp.secret | kind
context.device context.file context.process context.user | observed:date source
winlog | channel computer_name event_id provider_name record_id
winlog.logon | id type
cordon | bundle copy:boolean document:object! offset:long partition:long refused
`

interface MutableTree {
  readonly fields: Map<string, Field>
  readonly objects: Map<string, MutableTree>
}

/** Every field that is searchable by its own name: ECS and {@link OWN_FIELDS}. */
export const FIELDS: FieldTree = treeOf(ECS_FIELDS + OWN_FIELDS)

function treeOf(notation: string): FieldTree {
  const root: MutableTree = { fields: new Map(), objects: new Map() }
  for (const line of notation.trim().split(/\n+/)) {
    const [objects = '', fields = ''] = line.split(' | ')
    for (const object of objects.split(' ')) {
      const tree = object === '.' ? root : subtree(root, object.split('.'))
      for (const field of fields.split(' ')) {
        const [, name, type = 'keyword', unindexed, text] = /^([^:!+]+)(?::(\w+))?(!)?(\+text)?$/.exec(field)!
        tree.fields.set(name!, { type, indexed: unindexed === undefined, text: text !== undefined })
      }
    }
  }
  return root
}

function subtree(tree: MutableTree, path: readonly string[]): MutableTree {
  return path.reduce((at, name) => {
    const next = at.objects.get(name) ?? { fields: new Map(), objects: new Map() }
    at.objects.set(name, next)
    return next
  }, tree)
}
