import { Posture } from '../../context/posture.ts'
import { ProcessTree } from '../../context/process-tree.ts'
import { CordonError } from '../../event/error.ts'
import { ElasticsearchPoll } from '../../sources/elasticsearch.ts'
import { FileTail } from '../../sources/file-tail.ts'
import type { Intake } from '../../sources/source.ts'
import { pollName } from '../config.ts'
import type { Parts } from '../parts.ts'
import { activeAgents } from '../rules/rules.ts'
import { connectElasticsearch } from '../store/elasticsearch.ts'
import { CutEvents } from './cut-events.ts'
import { DeadLetters } from './dead-letters.ts'
import { Ingest } from './ingest.ts'
import { IngestStore } from './ingest-store.ts'
import { PollMemories } from './poll-memory.ts'
import { polledIndex } from './polled-index.ts'
import { Ticking } from './ticking.ts'

const DAY = 86_400_000
/** What was last said of a device so long ago is forgotten. */
const POSTURE_AGE = 90 * DAY
/** How long a sender's next dead letter of the same code is only counted. */
const QUIET = 60_000

export interface IngestStage {
  readonly intake: Intake
  readonly cutEvents: CutEvents
  readonly tails: readonly FileTail[]
  /** By name. */
  readonly polls: ReadonlyMap<string, ElasticsearchPoll>
}

/**
 * Sources → events log: the intake for the HTTP listener, the configured files, and a tick in every partition each second. At the end
 * the sources stop first, and then the node says goodbye, so that nobody waits for it.
 */
export function startIngest(parts: Parts): IngestStage {
  const { config, paths, site, streams, bundles, privacy, metrics, observer, probe, onClose } = parts
  const store = new IngestStore(paths.ingest)
  onClose(() => store.close())
  const tree = new ProcessTree(activeAgents(bundles))
  tree.load(store.processes(Date.now() - DAY))
  const posture = new Posture()
  posture.load(store.posture(Date.now() - POSTURE_AGE))
  const say = firstOfAKind((where, problem) => observer.onError(where, problem))
  const cutEvents = new CutEvents()
  const ingest = new Ingest({
    streams,
    deadLetters: new DeadLetters(streams, paths.deadLetterKey, privacy),
    privacy,
    tree,
    posture,
    postureFrom: (sender) => config.posture.senders?.includes(sender) ?? true,
    store,
    inventory: () => site.inventory.current(),
    labels: () => site.labels.current(),
    bundle: () => bundles.active(),
    probe,
    report: ({ source = 'recognised', transport, sender }, { accepted, duplicates, deadLettered }, refused, cut) => {
      metrics.records.add(accepted, { source, transport, outcome: 'accepted' })
      metrics.records.add(duplicates, { source, transport, outcome: 'duplicate' })
      metrics.records.add(deadLettered, { source, transport, outcome: 'dead_letter' })
      if (cut > 0) {
        metrics.cutEvents.add(cut, { source, transport })
        cutEvents.add(sender, cut, Date.now())
      }
      for (const { code, reason, line } of refused) {
        metrics.deadLetters.add(1, { source, code })
        say(`dead letter of ${sender}, line ${line}`, `${sender} ${code}`, new CordonError(code, reason))
      }
    },
  })

  const files = config.sources.filter((source) => source.type === 'file')
  const tails = files.map(({ path, source, device, from }) => {
    const name = `file:${path}`
    return new FileTail({
      path,
      name,
      source,
      from,
      intake: ingest.intake(device),
      resume: store.position(name),
      onProblem: (problem) => observer.onError(`source ${path}`, problem),
    })
  })
  const polls = openPolls(parts, ingest)
  const sources = [...tails, ...polls.values()]
  const ticking = new Ticking({
    node: config.node,
    send: (tick) => ingest.tick(tick),
    paused: () => ingest.paused || sources.some(({ problem }) => problem !== undefined),
    onError: (error) => observer.onError('tick', error),
  })
  onClose(() => ticking.leave())
  for (const source of sources) {
    source.start()
    onClose(() => source.stop())
  }
  return { intake: ingest.intake(), cutEvents, tails, polls }
}

function openPolls({ config, paths, observer, onClose }: Parts, ingest: Ingest): ReadonlyMap<string, ElasticsearchPoll> {
  const configured = config.sources.flatMap((source, at) => (source.type === 'elasticsearch' ? [{ ...source, at }] : []))
  if (configured.length === 0) return new Map()
  const memories = new PollMemories(paths.polls)
  onClose(() => memories.close())
  return new Map(
    configured.map((poll) => {
      const { at, source, device, index, query, time_field: timeField, from, every, overlap } = poll
      const name = pollName(poll)
      const elasticsearch = connectElasticsearch(poll, '', `sources[${at}]`)
      onClose(() => elasticsearch.close())
      const reader = new ElasticsearchPoll({
        name,
        source,
        intake: ingest.intake(device),
        index: polledIndex(elasticsearch, { index, query, timeField }),
        memory: memories.of(name),
        from,
        every,
        overlap,
        onProblem: (problem) => observer.onError(`source ${name}`, problem),
      })
      return [name, reader]
    }),
  )
}

/** Passes on the first problem of each kind in a while: a million bad lines are one line of the log, and a number in the metrics. */
function firstOfAKind(pass: (where: string, problem: CordonError) => void): (where: string, kind: string, problem: CordonError) => void {
  const said = new Map<string, number>()
  return (where, kind, problem) => {
    const now = Date.now()
    if (now - (said.get(kind) ?? 0) < QUIET) return
    said.set(kind, now)
    pass(where, problem)
  }
}
