import type { WebhookEvent, WebhookTarget } from '../types.ts'
import type { ControlRoutes } from './route.ts'

/** Webhooks: where they go, what was sent. */
export const webhookRoutes: ControlRoutes = {
  'GET /webhooks': { about: 'Where webhooks go, and counts: {target, events, waiting, requests, delivered, lost}.', run: (store) => store.webhooks() },
  'PUT /webhooks': {
    about: 'Sends webhooks of everything from now on: {url, clientSecret, via?, format?, signatures?, subscriptions?, appId?}.',
    needs: ['url', 'clientSecret'],
    run: (store, _, body) => store.setWebhooks(body as unknown as WebhookTarget),
  },
  'DELETE /webhooks': { about: 'Sends none any more.', run: (store) => store.setWebhooks(null) },
  'POST /webhooks/events': {
    about: 'Sends events as they are given: {events: [{…}]}.',
    needs: ['events'],
    run: (store, _, { events }) => store.sendWebhooks(events as WebhookEvent[]),
  },
  'GET /webhooks/deliveries': { about: 'The latest requests: {at, attempt, events, status, ms}.', run: (store) => ({ deliveries: store.deliveries() }) },
}
