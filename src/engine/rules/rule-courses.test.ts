import { expect, it } from 'vitest'
import { loadClean } from '../../sigma/testing.ts'
import { runRuleTests } from './rule-tests.ts'

const FIRST_SEEN = `
title: An agent uses an MCP server
name: mcp_server_used
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: ai_agent}
detection: {s: {mcp.server.name: '*'}, condition: s}
---
title: An agent uses a new MCP server
id: 00000000-0000-4000-8000-000000000002
level: medium
correlation:
    type: value_count
    rules: [mcp_server_used]
    group-by: [device.id]
    timespan: 30d
    condition: {field: mcp.server.name, gte: 2}
x-cordon:
    first_seen: {learn: 7d}
    tests:
        - name: a new one after a week
          events:
              - {'@timestamp': 2026-03-01T10:00:00Z, device.id: d1, mcp.server.name: files}
              - {'@timestamp': 2026-03-08T10:00:00Z, device.id: d1, mcp.server.name: shell}
              - {'@timestamp': 2026-03-08T10:05:00Z, device.id: d1, mcp.server.name: shell}
          expect: {alerts: 1, entities: {device: d1}}
          shuffle: true
        - {name: a new one while it learns, like: a new one after a week, set: {'1.@timestamp': 2026-03-08T09:59:59Z}, expect: {alerts: 0}}
        - {name: one that is known, like: a new one after a week, set: {1.mcp.server.name: files, 2.mcp.server.name: files}, expect: {alerts: 0}}
        - {name: on another device, like: a new one after a week, set: {1.device.id: d2, 2.device.id: d2}, expect: {alerts: 0}}
        - name: one that was forgotten
          events:
              - {'@timestamp': 2026-01-01T10:00:00Z, device.id: d1, mcp.server.name: files}
              - {'@timestamp': 2026-01-01T10:00:00Z, device.id: d1, mcp.server.name: shell}
              - {'@timestamp': 2026-01-20T10:00:00Z, device.id: d1, mcp.server.name: files}
              - {'@timestamp': 2026-02-10T10:00:00Z, device.id: d1, mcp.server.name: shell}
          expect: {alerts: 1}
        - name: a group that was forgotten learns anew
          events:
              - {'@timestamp': 2026-01-01T10:00:00Z, device.id: d1, mcp.server.name: files}
              - {'@timestamp': 2026-02-10T10:00:00Z, device.id: d1, mcp.server.name: shell}
          expect: {alerts: 0}
`

const SILENCE = `
title: A heartbeat
name: heartbeat
id: 00000000-0000-4000-8000-000000000001
level: informational
logsource: {product: linux}
detection: {s: {event.action: heartbeat}, condition: s}
---
title: A device has gone quiet
id: 00000000-0000-4000-8000-000000000002
level: medium
correlation: {type: event_count, rules: [heartbeat], group-by: [device.id], timespan: 16m, condition: {lt: 1}}
x-cordon:
    silence: true
    tests:
        - name: nothing for a quarter of an hour, while others are heard
          events:
              - {'@timestamp': 2026-03-01T10:00:00Z, device.id: d1, event.action: heartbeat}
              - {'@timestamp': 2026-03-01T10:16:00Z, device.id: d2, event.action: heartbeat}
              - {'@timestamp': 2026-03-01T10:18:00Z, device.id: d2, event.action: heartbeat}
          expect: {alerts: 1, entities: {device: d1}, unknown: false}
          shuffle: true
        - {name: it is not over yet, like: 'nothing for a quarter of an hour, while others are heard', set: {'2.@timestamp': 2026-03-01T10:16:30Z}, expect: {alerts: 0}}
        - {name: it was heard again, like: 'nothing for a quarter of an hour, while others are heard', set: {1.device.id: d1}, expect: {alerts: 0}}
        - name: an event that no rule is for tells the time, too
          events:
              - {'@timestamp': 2026-03-01T10:00:00Z, device.id: d1, event.action: heartbeat}
              - {'@timestamp': 2026-03-01T11:00:00Z, device.id: d2, event.action: login}
          expect: {alerts: 1, entities: {device: d1}}
        - name: each silence is one alert
          events:
              - {'@timestamp': 2026-03-01T10:00:00Z, device.id: d1, event.action: heartbeat}
              - {'@timestamp': 2026-03-01T11:00:00Z, device.id: d1, event.action: heartbeat}
              - {'@timestamp': 2026-03-01T12:00:00Z, device.id: d1, event.action: heartbeat}
          expect: {alerts: 2}
`

const GAPS = `
title: Telemetry of an agent
name: telemetry
id: 00000000-0000-4000-8000-000000000001
level: informational
logsource: {product: ai_agent}
detection: {s: {event.sequence: '*'}, condition: s}
---
title: Telemetry of an agent is missing
id: 00000000-0000-4000-8000-000000000002
level: medium
correlation:
    type: value_count
    rules: [telemetry]
    group-by: [gen_ai.conversation.id]
    timespan: 1d
    condition: {field: event.sequence, gte: 2}
x-cordon:
    gaps: {wait: 5m}
    tests:
        - name: two of five
          events:
              - {'@timestamp': 2026-03-01T10:00:00Z, gen_ai.conversation.id: c1, event.sequence: 1}
              - {'@timestamp': 2026-03-01T10:00:01Z, gen_ai.conversation.id: c1, event.sequence: 2}
              - {'@timestamp': 2026-03-01T10:00:02Z, gen_ai.conversation.id: c1, event.sequence: 5}
              - {'@timestamp': 2026-03-01T10:10:00Z, gen_ai.conversation.id: c1, event.sequence: 6}
          expect: {alerts: 1, unknown: false, entities: {agent_session: c1}}
          shuffle: true
        - {name: they are of another session, like: two of five, set: {2.gen_ai.conversation.id: c2, 3.event.sequence: 3}, expect: {alerts: 0}}
        - name: late, but in time
          events:
              - {'@timestamp': 2026-03-01T10:00:00Z, gen_ai.conversation.id: c1, event.sequence: 1}
              - {'@timestamp': 2026-03-01T10:00:02Z, gen_ai.conversation.id: c1, event.sequence: 3}
              - {'@timestamp': 2026-03-01T10:05:00Z, gen_ai.conversation.id: c1, event.sequence: 2}
              - {'@timestamp': 2026-03-01T11:00:00Z, gen_ai.conversation.id: c1, event.sequence: 4}
          expect: {alerts: 0}
        - {name: too late, like: 'late, but in time', set: {'2.@timestamp': 2026-03-01T10:06:01Z}, expect: {alerts: 1}}
`

const RELIANCE = `
title: A broker is alive
name: broker_alive
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: broker}
detection: {s: {event.action: heartbeat}, condition: s}
---
title: A broker has gone silent
name: broker_silent
id: 00000000-0000-4000-8000-000000000002
level: low
correlation: {type: event_count, rules: [broker_alive], group-by: [observer.name], timespan: 5m, condition: {lt: 1}}
x-cordon: {mode: shadow, silence: true, time: {grace: 1m}}
---
title: A file is read
name: file_read
id: 00000000-0000-4000-8000-000000000003
level: low
logsource: {category: file_access}
detection: {s: {event.action: read}, condition: s}
---
title: A broker allows it
name: broker_allows
id: 00000000-0000-4000-8000-000000000004
level: low
logsource: {product: broker}
detection: {s: {event.action: token.used}, condition: s}
---
title: A file is read without leave
id: 00000000-0000-4000-8000-000000000005
level: high
correlation: {type: temporal, rules: [file_read, broker_allows], group-by: [device.id], timespan: 5m, condition: file_read and not broker_allows}
x-cordon:
    mode: enforce
    time: {grace: 1m}
    relies_on: [broker_silent]
    response: [{do: create_incident}, {do: quarantine_device}]
    tests:
        - name: the broker is there, and falls silent when the window is over
          events:
              - {'@timestamp': 2026-03-01T09:58:00Z, logsource: {product: broker}, event.action: heartbeat, observer.name: b1}
              - {'@timestamp': 2026-03-01T10:00:00Z, logsource: {category: file_access}, event.action: read, device.id: d1}
              - {'@timestamp': 2026-03-01T10:02:00Z, logsource: {product: broker}, event.action: heartbeat, observer.name: b1}
              - {'@timestamp': 2026-03-01T10:07:00Z, logsource: {product: broker}, event.action: heartbeat, observer.name: b1}
              - {'@timestamp': 2026-03-01T11:00:00Z, logsource: {product: broker}, event.action: other}
          expect: {alerts: 1, unknown: false, actions: [create_incident, quarantine_device]}
        - {name: nobody has ever heard of it, like: 'the broker is there, and falls silent when the window is over', set: {0.observer.name: null, 2.observer.name: null, 3.observer.name: null}, expect: {alerts: 1, unknown: false}}
        - name: it was silent
          like: 'the broker is there, and falls silent when the window is over'
          set: {'2.@timestamp': 2026-03-01T10:04:01Z, '3.@timestamp': 2026-03-01T10:09:00Z}
          expect: {alerts: 1, unknown: true, actions: [create_incident]}
        - {name: it fell silent before the window was over, like: 'the broker is there, and falls silent when the window is over', set: {'3.@timestamp': 2026-03-01T11:00:00Z}, expect: {alerts: 1, unknown: true}}
        - {name: it does not come back, like: 'the broker is there, and falls silent when the window is over', set: {2.event.action: none, '2.@timestamp': 2026-03-01T11:00:00Z, '3.@timestamp': 2026-03-01T10:02:00Z}, expect: {alerts: 1, unknown: true}}
`

it.each([
  ['gaps', GAPS],
  ['first_seen', FIRST_SEEN],
  ['silence', SILENCE],
  ['relies_on', RELIANCE],
])('%s, as its tests say', async (_, text) => {
  const results = await runRuleTests(loadClean(text))
  expect(results.flatMap(({ test, problems }) => problems.map((problem) => `${test.name}: ${problem}`))).toEqual([])
})
