/** An object type as callers name it: `contacts`, `contact`, `0-1`, `vehicle`, `2-1234567`, `p8675309_vehicle`. */
export type ObjectName = string
/** A record's id; the sandbox hands ids out as text, as HubSpot does, and takes numbers too. */
export type RecordId = string | number
/** A time: epoch milliseconds, an ISO string, or a Date. */
export type Time = number | string | Date
