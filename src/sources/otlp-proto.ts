import protobuf from 'protobufjs'
import { CordonError } from '../event/error.ts'
import { isObject, type JsonObject } from '../event/json.ts'

/** The part of opentelemetry-proto 1.x that a log request uses (opentelemetry/proto/{common,resource,logs,collector/logs}/v1). */
const SCHEMA = `
syntax = "proto3";
message AnyValue {
  oneof value {
    string string_value = 1;
    bool bool_value = 2;
    int64 int_value = 3;
    double double_value = 4;
    ArrayValue array_value = 5;
    KeyValueList kvlist_value = 6;
    bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
message InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
message EntityRef { string schema_url = 1; string type = 2; repeated string id_keys = 3; repeated string description_keys = 4; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; repeated EntityRef entity_refs = 3; }
message LogRecord {
  fixed64 time_unix_nano = 1;
  int32 severity_number = 2;
  string severity_text = 3;
  AnyValue body = 5;
  repeated KeyValue attributes = 6;
  uint32 dropped_attributes_count = 7;
  fixed32 flags = 8;
  bytes trace_id = 9;
  bytes span_id = 10;
  fixed64 observed_time_unix_nano = 11;
  string event_name = 12;
}
message ScopeLogs { InstrumentationScope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3; }
message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }
message ExportLogsPartialSuccess { int64 rejected_log_records = 1; string error_message = 2; }
message ExportLogsServiceResponse { ExportLogsPartialSuccess partial_success = 1; }
message Status { int32 code = 1; string message = 2; }
`

const { root } = protobuf.parse(SCHEMA)
const REQUEST = root.lookupType('ExportLogsServiceRequest')
const RESPONSE = root.lookupType('ExportLogsServiceResponse')
const STATUS = root.lookupType('Status')

/** Fields of one request. Two bytes make an empty message, which costs a hundred times as much in memory. */
const MOST_FIELDS = 2_000_000

class CountingReader extends protobuf.BufferReader {
  private fields = 0

  override tag(): number {
    if (++this.fields > MOST_FIELDS) throw new Error(`it has more than ${MOST_FIELDS} fields`)
    return super.tag()
  }
}

/** 64-bit integers as text and bytes as base64, as OTLP/JSON has them; NaN and infinities as text too. */
const AS_JSON = { longs: String, bytes: String, json: true } as const

/**
 * Decodes a protobuf log request to the shape of its OTLP/JSON form.
 *
 * @throws CordonError `OTLP_INVALID` if the bytes are no such request
 */
export function decodeLogsRequest(body: Buffer): JsonObject {
  let request: JsonObject
  try {
    request = REQUEST.toObject(REQUEST.decode(new CountingReader(body)), AS_JSON) as JsonObject
  } catch (error) {
    throw new CordonError('OTLP_INVALID', `not an OTLP log request in protobuf: ${(error as Error).message}`, { cause: error })
  }
  for (const record of logRecordsOf(request)) {
    // OTLP/JSON departs from protobuf's JSON here: ids are hexadecimal.
    if (typeof record.traceId === 'string') record.traceId = Buffer.from(record.traceId, 'base64').toString('hex')
    if (typeof record.spanId === 'string') record.spanId = Buffer.from(record.spanId, 'base64').toString('hex')
  }
  return request
}

/** How many log records a request has. */
export function countLogRecords(request: JsonObject): number {
  return logRecordsOf(request).length
}

export interface PartialSuccess {
  readonly rejectedLogRecords: number
  readonly errorMessage: string
}

export function encodeLogsResponse(partialSuccess: PartialSuccess | undefined): Uint8Array {
  return RESPONSE.encode(RESPONSE.fromObject(partialSuccess === undefined ? {} : { partialSuccess })).finish()
}

/** `google.rpc.Status`, which OTLP answers errors with. */
export function encodeStatus(code: number, message: string): Uint8Array {
  return STATUS.encode(STATUS.fromObject({ code, message })).finish()
}

function logRecordsOf(request: JsonObject): JsonObject[] {
  return objectsIn(request.resourceLogs)
    .flatMap((group) => objectsIn(group.scopeLogs))
    .flatMap((scoped) => objectsIn(scoped.logRecords))
}

function objectsIn(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
