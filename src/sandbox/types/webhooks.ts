/** Where an app's webhooks go, and which it subscribed to. */
export interface WebhookTarget {
  /** The target URL as the app has it: what is signed, and where requests go unless `via` says otherwise. */
  readonly url: string
  readonly clientSecret: string
  /** Where requests really go, as if a proxy stood at `url` and passed them on. */
  readonly via?: string
  readonly appId?: number
  /** `classic`: contact.creation where there is such a type, else as `generic`: object.creation with objectTypeId. Default classic. */
  readonly format?: 'classic' | 'generic'
  /** Which signatures requests carry. Default v3, and v1 as for older receivers. */
  readonly signatures?: readonly ('v1' | 'v2' | 'v3')[]
  /** Default everything. */
  readonly subscriptions?: readonly WebhookSubscription[]
}

/** One subscription: HubSpot has one for each property. */
export interface WebhookSubscription {
  /** As `contact.propertyChange`, or `object.propertyChange`. */
  readonly eventType: string
  /** For `object.*`: of which type alone. */
  readonly objectTypeId?: string
  /** For `propertyChange`: of which property alone; default any. */
  readonly propertyName?: string
}

/** One request to the target and what came of it. */
export interface Delivery {
  readonly at: number
  /** Highest attemptNumber of its events. */
  readonly attempt: number
  readonly events: readonly WebhookEvent[]
  /** Status of the answer; 0: none within five seconds. */
  readonly status: number
  readonly ms: number
}

/** An event as it is sent. */
export type WebhookEvent = Readonly<Record<string, unknown>>

/** What became of an app's webhooks so far. */
export interface WebhookCounts {
  readonly events: number
  readonly waiting: number
  readonly requests: number
  readonly delivered: number
  /** Events given up after the last attempt. */
  readonly lost: number
}

/** What can be done about webhooks. */
export interface WebhookStore {
  /** Sets where webhooks go; null: nowhere. What waits is dropped. */
  setWebhooks(target: WebhookTarget | null): void
  webhooks(): { target: Omit<WebhookTarget, 'clientSecret'> | null } & WebhookCounts
  /** The latest requests, oldest first. */
  deliveries(): readonly Delivery[]
  /** Sends events as they are given, as if HubSpot had made them. */
  sendWebhooks(events: readonly WebhookEvent[]): void
  /** Resolves when nothing waits or is under way. */
  webhooksSent(): Promise<void>
}
