import type { AlertRevision } from '../detectors/alert.ts'
import { describeUnknown, type Unknown } from '../detectors/unknown.ts'
import { formatTime } from '../event/time.ts'
import { entityName, type Incident, shortId } from '../incidents/incident.ts'
import type { Approval } from '../response/approval.ts'
import type { Effect } from '../response/effect.ts'

/** Documents as the API answers them and `--format json` prints them: times in RFC 3339, nothing that only the engine needs. */

export function alertView({ unknown, ...alert }: AlertRevision) {
  return {
    ...alert,
    ...(unknown === undefined ? {} : { unknown: unknown.map(unknownView) }),
    time: formatTime(alert.time),
    evidence: alert.evidence.map((item) => ({
      ...item,
      time: item.time === null ? null : formatTime(item.time),
      ingested: formatTime(item.ingested),
    })),
  }
}

function unknownView(one: Unknown) {
  const text = describeUnknown(one)
  if (!('from' in one)) return { ...one, text }
  return { ...one, text, from: formatTime(one.from), to: one.to === null ? null : formatTime(one.to) }
}

export function incidentView(incident: Incident) {
  const { version: _, quiet: __, openedAt, firstAlert, lastAlert, timeline, resolved, ...rest } = incident
  return {
    ...rest,
    short: shortId(incident.id),
    entity: { ...incident.entity, name: entityName(incident.entity) },
    openedAt: formatTime(openedAt),
    firstAlert: formatTime(firstAlert),
    lastAlert: formatTime(lastAlert),
    timeline: timeline.map((entry) => ({
      ...entry,
      at: formatTime(entry.at),
      ...(entry.last === undefined ? {} : { last: formatTime(entry.last) }),
    })),
    ...(resolved === undefined ? {} : { resolved: { ...resolved, at: formatTime(resolved.at) } }),
  }
}

export function actionView(effect: Effect) {
  const { version: _, lease: __, awaits: ___, dueAt: ____, times, approval, ...rest } = effect
  return {
    ...rest,
    short: shortId(effect.id),
    times: Object.fromEntries(Object.entries(times).map(([name, time]) => [name, formatTime(time)])),
    ...(approval === undefined ? {} : { approval: approvalView(approval) }),
    secondsToAccepted: seconds(times.event, times.accepted),
    secondsToConfirmed: seconds(times.event, times.confirmed),
  }
}

function approvalView({ digest, requester, asked, until, given }: Approval) {
  return {
    /** Of what is to be approved: an approval of anything else is void. */
    digest,
    requester,
    asked: formatTime(asked),
    until: formatTime(until),
    given: given.map((leave) => ({ ...leave, at: formatTime(leave.at) })),
  }
}

function seconds(from: number, to: number | undefined): number | null {
  return to === undefined ? null : Math.round(to - from) / 1_000
}
