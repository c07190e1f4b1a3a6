import type { Attributes } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]

/** A value that is read when someone looks. */
export interface Observed {
  readonly value: number
  readonly attributes?: Attributes
}

/** The instruments of a node, by OpenTelemetry, readable in Prometheus' text form. Names and units: docs/reference/metrics.md. */
export class Metrics {
  private readonly exporter = new PrometheusExporter({ preventServerStart: true })
  private readonly meter = new MeterProvider({ readers: [this.exporter] }).getMeter('cordon')

  readonly records = this.meter.createCounter('cordon_ingest_records', {
    description: 'Records that a source delivered, by source, transport and outcome',
  })
  readonly deadLetters = this.meter.createCounter('cordon_dead_letters', {
    description: 'Records that could not be read, by source and reason code',
  })
  readonly refusedRequests = this.meter.createCounter('cordon_refused_requests', {
    description: 'Requests refused, by listener and reason',
  })
  readonly redactions = this.meter.createCounter('cordon_redactions', {
    description: 'Distinct values taken out of events, by class and kind',
  })
  readonly cutEvents = this.meter.createCounter('cordon_cut_events', {
    description: 'Events that held more findings than are told one by one, by source and transport',
  })
  readonly matchedEvents = this.meter.createCounter('cordon_matched_events', { description: 'Events that passed the matcher' })
  readonly signals = this.meter.createCounter('cordon_signals', {
    description: 'Hits on their way to correlation, by rule: a rule whose signals are not rare is expensive',
  })
  readonly revisions = this.meter.createCounter('cordon_alert_revisions', { description: 'Alert revisions published' })
  readonly storedEvents = this.meter.createCounter('cordon_stored_events', {
    description: 'Events that were brought to Elasticsearch, by outcome',
  })
  readonly workerErrors = this.meter.createCounter('cordon_worker_errors', {
    description: 'Batches that failed and were tried again, by log and worker',
  })
  readonly timeToContain = this.meter.createHistogram('cordon_time_to_contain_seconds', {
    description: 'Event time to effect confirmed by reading it back, by verb',
    advice: { explicitBucketBoundaries: SECONDS },
  })
  readonly timeToAccepted = this.meter.createHistogram('cordon_time_to_accepted_seconds', {
    description: 'Event time to the request accepted by the vendor, by verb',
    advice: { explicitBucketBoundaries: SECONDS },
  })

  /** A gauge that is read when the metrics are. */
  observe(name: string, description: string, read: () => Promise<readonly Observed[]>): void {
    // The SDK repeats the last value of a series that is no longer observed, so what is gone is said to be none.
    const seen = new Map<string, Attributes>()
    this.meter.createObservableGauge(name, { description }).addCallback(async (result) => {
      const gone = new Map(seen)
      for (const { value, attributes = {} } of await read()) {
        const key = JSON.stringify(attributes)
        seen.set(key, attributes)
        gone.delete(key)
        result.observe(value, attributes)
      }
      for (const attributes of gone.values()) result.observe(0, attributes)
    })
  }

  /** The metrics in Prometheus' text exposition format. */
  async text(): Promise<string> {
    const { resourceMetrics } = await this.exporter.collect()
    return new PrometheusSerializer().serialize(resourceMetrics)
  }
}
