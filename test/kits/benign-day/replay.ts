import { Inventory } from '../../../src/context/inventory.ts'
import { Posture } from '../../../src/context/posture.ts'
import type { AlertRevision } from '../../../src/detectors/alert.ts'
import type { Detector } from '../../../src/detectors/detector.ts'
import { type ReplayPiece, replayPieces } from '../../../src/engine/offline/replay.ts'
import { agentTree } from '../../../src/engine/rules/rules.ts'
import type { JsonObject } from '../../../src/event/json.ts'
import { normaliserFor, recognise } from '../../../src/normalise/index.ts'
import { Privacy } from '../../../src/privacy/privacy.ts'
import { linesOf } from '../../../src/sources/lines.ts'
import { type Day, inventoryOf } from './day.ts'

export interface DayResult {
  readonly alerts: readonly AlertRevision[]
  /** How many records were read, by the source that they were recognised as. */
  readonly records: ReadonlyMap<string, number>
  /** What could not be read, in words: there should be nothing. */
  readonly bad: readonly string[]
}

/** The day as the engine would have taken it in, one delivery after the other, against the rules that the detector has. */
export async function replayDay({ people, deliveries }: Day, detector: Detector): Promise<DayResult> {
  const records = new Map<string, number>()
  const bad: string[] = []
  const count = (value: JsonObject) => {
    const { name } = recognise(value)
    records.set(name, (records.get(name) ?? 0) + 1)
  }
  let place = 0
  async function* pieces(): AsyncGenerator<ReplayPiece> {
    for (const { source, body } of deliveries) {
      const framer = normaliserFor(source).framer()
      const lines = [...linesOf(Buffer.from(body))]
      // A delivery is a text of its own; in the log each record has a place that no other has.
      const framed = [...lines.flatMap((line) => framer.push(line, 0)), ...framer.flush()].map((record) => ({ ...record, line: ++place }))
      for (const record of framed) if ('value' in record) count(record.value)
      yield { read: lines.length, records: framed }
    }
  }
  const { alerts } = await replayPieces(pieces(), {
    detector,
    normaliser: undefined,
    context: {
      inventory: Inventory.parse(inventoryOf(people), 'inventory.yml', 0),
      tree: agentTree(detector.rules),
      posture: new Posture(),
    },
    privacy: Privacy.DEFAULT,
    onBadRecord: ({ code, reason }) => bad.push(`${code}: ${reason}`),
    whyNot: [],
    onWhyNot: () => {},
    onProgress: () => {},
  })
  return { alerts, records, bad }
}
